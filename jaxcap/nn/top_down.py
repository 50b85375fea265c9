"""Top-down attention: a cell that chooses where to look, and a cell that chooses words.

Anderson et al. (2018), "Bottom-Up and Top-Down Attention for Image Captioning and Visual Question
Answering" (arXiv 1707.07998), section 3.2. Each step advances two cells of one kind. The attention
cell, of state h1, reads the word, the pooled features and the state h2 of the language cell; its
new h1 asks where to look. The language cell reads what is there and h1; its new h2 gives the
logits:

    a1    = x @ Wx + pooled @ W_pooled + h2 @ W_above + h1 @ Wh + b     (N, G)
    alpha = softmax(tanh(keys + h1' @ W_query) @ w_score)               (N, L)
    z     = sum_l alpha_l values_l                                      (N, C)
    a2    = z @ W_context + h1' @ Wx2 + h2 @ Wh2 + b2                   (N, G)

where h1' is the state after the step. Keys and values are linear in the grid, as in
`jaxcap.nn.attention`; in the paper the values are the grid itself. Unlike soft attention a step
looks after it has read its word.

Axes: N examples, T steps, L places of the grid, A width of the scores, C width of the values, H
hidden units, G = gates * H of the cell. Time is first.

`scan_top_down` has a backward pass by hand (`jax.custom_vjp`). As in `scan_attending` it computes
the tanh of each place again. It saves the queries, the maps and what they see, A + L + C numbers an
example and step, besides the hidden states and, of each cell, what `scan_cell` saves. The gradients
of the keys, of the values, one batched matmul, and of each weight, one matmul, come after the
reverse scan.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxcap.nn.attention import (
    Attended,
    Memory,
    counted,
    look,
    memory_gradient,
    pull_back_look,
)
from jaxcap.nn.cells import Cell
from jaxcap.nn.products import multiplier, product
from jaxcap.nn.scan import previous, rows


class TopDownWeights(NamedTuple):
    """Weights of the recurrence of `scan_top_down`."""

    W_above: Float[Array, "H G"]
    """From the language cell before the step to the attention cell."""
    Wh: Float[Array, "H G"]
    W_query: Float[Array, "H A"]
    w_score: Float[Array, " A"]
    W_context: Float[Array, "C G"]
    Wx2: Float[Array, "H G"]
    """From the attention cell to the language cell."""
    Wh2: Float[Array, "H G"]
    b2: Float[Array, " G"]


class TopDownCarry(NamedTuple):
    """State of both cells between two steps."""

    attention: Any
    language: Any


def top_down_step(
    cell: Cell,
    weights: TopDownWeights,
    carry: TopDownCarry,
    xWx: Float[Array, "N G"],
    memory: Memory,
    image: Int[Array, " N"] | None = None,
) -> tuple[TopDownCarry, Float[Array, "N L"]]:
    """Advance both cells by one step; supports forward mode.

    Args:
        cell: the kind of both cells.
        weights: recurrent weights, and those of the attention.
        carry: state before the step.
        xWx: `x @ Wx + pooled @ W_pooled + b` of the step.
        memory: what the N examples attend to.
        image: the image in `memory` of each example; None if each has its own.

    Returns:
        The state after the step, and the map: the share of each place, of sum 1.
    """
    h1, h2 = carry.attention.h, carry.language.h
    a1 = xWx + product(h2, weights.W_above) + product(h1, weights.Wh)
    attention, _ = cell.update(a1, carry.attention)
    z, alpha = look(product(attention.h, weights.W_query), weights.w_score, memory, image)
    a2 = product(z, weights.W_context) + product(attention.h, weights.Wx2)
    a2 = a2 + product(h2, weights.Wh2) + weights.b2[None]
    language, _ = cell.update(a2, carry.language)
    return TopDownCarry(attention, language), alpha


def scan_top_down_plain(
    cell: Cell,
    weights: TopDownWeights,
    carry: TopDownCarry,
    xWx: Float[Array, "T N G"],
    memory: Memory,
    counts: Bool[Array, "T N"] | None = None,
) -> Attended:
    """Compute `scan_top_down` under autodiff; supports forward mode."""

    def forward(state: tuple[TopDownCarry, Array], inputs: tuple[Array, Array | None]) -> Any:
        (before, seen), (xWx, count) = state, inputs
        after, alpha = top_down_step(cell, weights, before, xWx, memory)
        return (after, seen + counted(alpha, count)), after.language.h

    seen = jnp.zeros(memory.keys.shape[:2], xWx.dtype)
    (carry, seen), h = lax.scan(forward, (carry, seen), (xWx, counts))
    return Attended(carry, h, seen)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_top_down(
    cell: Cell,
    weights: TopDownWeights,
    carry: TopDownCarry,
    xWx: Float[Array, "T N G"],
    memory: Memory,
    counts: Bool[Array, "T N"] | None = None,
) -> Attended:
    """Run both cells over a sequence, time first.

    Args:
        cell: the kind of both cells.
        weights: recurrent weights, and those of the attention.
        carry: state before the first step.
        xWx: `x @ Wx + pooled @ W_pooled + b` of every step.
        memory: what the N examples attend to.
        counts: the steps whose maps are summed in `seen`; None for all.

    Returns:
        The hidden states are those of the language cell.
    """
    return _scan_top_down_fwd(cell, weights, carry, xWx, memory, counts)[0]


class _Saved(NamedTuple):
    """What the backward pass needs of each step, besides its states."""

    attention: Any
    language: Any
    query: Float[Array, "T N A"]
    alpha: Float[Array, "T N L"]
    z: Float[Array, "T N C"]


def _joined(weights: TopDownWeights) -> tuple[Float[Array, "H _"], Float[Array, "H _"]]:
    """Join the factors of h2 before the step, and of h1 after it, for one matmul each."""
    of_language = jnp.concatenate([weights.W_above, weights.Wh2], axis=1)
    return of_language, jnp.concatenate([weights.Wx2, weights.W_query], axis=1)


def _scan_top_down_fwd(cell, weights, carry, xWx, memory, counts):
    update, G = cell.backward().update, weights.Wh.shape[1]
    of_language, of_attention = _joined(weights)
    times_Wh, times_context = multiplier(weights.Wh), multiplier(weights.W_context)
    times_language, times_attention = multiplier(of_language), multiplier(of_attention)

    def forward(state, inputs):
        (before, seen), (xWx, count) = state, inputs
        above, hWh2 = jnp.split(times_language(before.language.h), (G,), axis=1)
        a1 = xWx + above + times_Wh(before.attention.h)
        attention, saved_attention = update(a1, before.attention)
        hWx2, query = jnp.split(times_attention(attention.h), (G,), axis=1)
        z, alpha = look(query, weights.w_score, memory)
        a2 = times_context(z) + hWx2 + hWh2 + weights.b2[None]
        language, saved_language = update(a2, before.language)
        after = TopDownCarry(attention, language)
        saved = _Saved(saved_attention, saved_language, query, alpha, z)
        return (after, seen + counted(alpha, count)), (after, saved)

    seen = jnp.zeros(memory.keys.shape[:2], xWx.dtype)
    (last, seen), (states, saved) = lax.scan(forward, (carry, seen), (xWx, counts))
    residuals = weights, carry, memory, counts, states, saved
    return Attended(last, states.language.h, seen), residuals


def _scan_top_down_bwd(cell, residuals, cotangents):
    weights, carry, memory, counts, states, saved = residuals
    dlast, dout, dseen = cotangents
    pull_back, G = cell.backward().pull_back, weights.Wh.shape[1]
    of_language, of_attention = _joined(weights)
    times_WhT = multiplier(weights.Wh, transposed=True)
    times_contextT = multiplier(weights.W_context, transposed=True)
    times_languageT = multiplier(of_language, transposed=True)
    times_attentionT = multiplier(of_attention, transposed=True)

    def backward(state, inputs):
        (dcarry, dscore), (dh, saved, before, after, count) = state, inputs
        dlanguage = dcarry.language._replace(h=dcarry.language.h + dh)
        da2, dlanguage = pull_back(saved.language, before.language, after.language, dlanguage)
        dz = times_contextT(da2)
        dscores, dquery, dw_score = pull_back_look(
            dz, counted(dseen, count), saved.query, saved.alpha, weights.w_score, memory
        )
        dh1 = times_attentionT(jnp.concatenate([da2, dquery], axis=1))
        dattention = dcarry.attention._replace(h=dcarry.attention.h + dh1)
        da1, dattention = pull_back(saved.attention, before.attention, after.attention, dattention)
        dattention = dattention._replace(h=dattention.h + times_WhT(da1))
        dh2 = times_languageT(jnp.concatenate([da1, da2], axis=1))
        dbefore = TopDownCarry(dattention, dlanguage._replace(h=dlanguage.h + dh2))
        da = jnp.concatenate([da1, da2, dquery], axis=1)
        return (dbefore, dscore + dw_score), (da, dz, dscores)

    before = jax.tree.map(previous, carry, states)
    (dcarry, dscore), (da, dz, dscores) = lax.scan(
        backward,
        (dlast, jnp.zeros_like(weights.w_score)),
        (dout, saved, before, states, counts),
        reverse=True,
    )
    dmemory = memory_gradient(dscores, dz, saved.query, saved.alpha, weights.w_score, memory.keys)
    drows = rows(da)
    da1, da2 = drows[:, :G], drows[:, G : 2 * G]
    dof_language = product(rows(before.language.h).T, drows[:, : 2 * G])
    dof_attention = product(rows(states.attention.h).T, drows[:, G:])
    dweights = TopDownWeights(
        W_above=dof_language[:, :G],
        Wh=product(rows(before.attention.h).T, da1),
        W_query=dof_attention[:, G:],
        w_score=dscore,
        W_context=product(rows(saved.z).T, da2),
        Wx2=dof_attention[:, :G],
        Wh2=dof_language[:, G:],
        b2=da2.sum(0),
    )
    return dweights, dcarry, da[..., :G], dmemory, None


scan_top_down.defvjp(_scan_top_down_fwd, _scan_top_down_bwd)
