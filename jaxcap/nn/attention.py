"""Soft attention over a grid of image vectors, as one step or with a cell over time.

Xu et al. (2015), "Show, Attend and Tell" (arXiv 1502.03044): before each word, additive scores of
the places of the grid by the hidden state, their softmax, and the mean of the grid's vectors by it,
times a gate:

    s     = tanh(keys + h @ W_query) @ w_score       (N, L)
    alpha = softmax(s)                               (N, L)
    gate  = sigmoid(h @ W_gate + b_gate)             (N, 1)
    z     = gate * sum_l alpha_l values_l            (N, C)
    a     = x @ Wx + h @ Wh + z @ W_context + b      (N, G), the cell's pre-activation

What is linear in the grid is computed once an image: `values = grid @ W_grid + b_grid` and
`keys = values @ W_key + b_key`. The context enters the pre-activation, so any `Cell` can attend.

Axes: N examples, T steps, L places of the grid, A width of the scores, C width of the values, H
hidden units, G = gates * H of the cell. Time is first.

`scan_attending` has a backward pass by hand (`jax.custom_vjp`). It computes the tanh of each place
again in place of saving it: A numbers a place and step. It saves the queries, the maps, the context
and its gate, A + L + C + 1 numbers an example and step, besides what `scan_cell` saves. The
gradients of the keys (`jaxcap.nn.places`) and of the values, one batched matmul, come after the
reverse scan.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxcap.nn import places
from jaxcap.nn.cells import Cell
from jaxcap.nn.products import multiplier, product
from jaxcap.nn.scan import previous, rows


class AttentionParams(NamedTuple):
    """Weights that attend by the hidden state."""

    W_query: Float[Array, "H A"]
    w_score: Float[Array, " A"]
    W_gate: Float[Array, "H 1"]
    b_gate: Float[Array, " 1"]
    W_context: Float[Array, "C G"]


class Memory(NamedTuple):
    """What N images give to attend to, computed once an image."""

    keys: Float[Array, "N L A"]
    values: Float[Array, "N L C"]
    mask: Bool[Array, "N L"] | None = None
    """True at places that an image has; None if all have all. Each image has one at least."""

    def at(self, rows: Array) -> "Memory":
        """Take the images `rows`, in that order."""
        return jax.tree.map(lambda array: array[rows], self)


class Context(NamedTuple):
    """What a step attends to."""

    z: Float[Array, "R C"]
    """The gated mean of the values."""
    alpha: Float[Array, "R L"]
    """The map: the share of each place, of sum 1."""


def attend(
    params: AttentionParams,
    h: Float[Array, "R H"],
    keys: Float[Array, "N L A"],
    values: Float[Array, "N L C"],
    mask: Bool[Array, "N L"] | None = None,
    image: Int[Array, " R"] | None = None,
) -> Context:
    """Attend to the grid by the hidden state.

    >>> key = jax.random.key(0)
    >>> params = AttentionParams(*(jnp.ones(s) for s in ((3, 4), (4,), (3, 1), (1,), (5, 12))))
    >>> keys, values = jax.random.normal(key, (2, 6, 4)), jnp.ones((2, 6, 5))
    >>> z, alpha = attend(params, jnp.zeros((2, 3)), keys, values)
    >>> z.shape, alpha.shape, alpha.sum(1).round(3).tolist()
    ((2, 5), (2, 6), [1.0, 1.0])

    Args:
        params: the weights; `W_context` is not used here.
        h: hidden states of R rows.
        keys, values: of N images.
        mask: True at places that an image has; None if all have all.
        image: the image of each row, as decoders have; None if each row has its own, R = N.
    """
    query = product(h, params.W_query)
    gate = jax.nn.sigmoid(h @ params.W_gate + params.b_gate[None])
    mean, alpha = look(query, params.w_score, Memory(keys, values, mask), image)
    return Context(gate * mean, alpha)


def look(
    query: Float[Array, "R A"],
    w_score: Float[Array, " A"],
    memory: Memory,
    image: Int[Array, " R"] | None = None,
) -> Context:
    """Compute the map of each query and the mean of the values by it; `image` as for `attend`.

    The keys and values of images with several rows are not copied for each, which would be most of
    the time of a decoder.
    """
    if image is None:
        alpha = _shares(places.scores(query, w_score, memory.keys), memory.mask)
        return Context(jnp.einsum("nl,nlc->nc", alpha, memory.values), alpha)

    def each(query: Float[Array, " A"], image: Int[Array, ""]) -> Context:
        keys, values, mask = memory.at(image)
        alpha = _shares(jnp.tanh(keys + query[None]) @ w_score, mask)
        return Context(alpha @ values, alpha)

    return places.in_cache(each, memory.keys[0].size, query, image)


def _shares(scores: Float[Array, "*N L"], mask: Bool[Array, "*N L"] | None) -> Float[Array, "*N L"]:
    return jax.nn.softmax(scores if mask is None else jnp.where(mask, scores, -jnp.inf), axis=-1)


class LookGradient(NamedTuple):
    """What pulling back one `look` gives, and what that of the memory needs of it."""

    dscores: Float[Array, "N L"]
    dquery: Float[Array, "N A"]
    dw_score: Float[Array, " A"]


def pull_back_look(
    dz: Float[Array, "N C"],
    dseen: Float[Array, "N L"],
    query: Float[Array, "N A"],
    alpha: Float[Array, "N L"],
    w_score: Float[Array, " A"],
    memory: Memory,
) -> LookGradient:
    """Pull back `look`, but for the memory: see `memory_gradient`.

    Args:
        dz: gradient of the mean.
        dseen: gradient of the map, besides by the mean.
        query, w_score, memory: as `look` took them.
        alpha: the map that it gave.
    """
    dalpha = jnp.einsum("nc,nlc->nl", dz, memory.values) + dseen
    dscores = alpha * (dalpha - (alpha * dalpha).sum(1, keepdims=True))
    return LookGradient(dscores, *places.pulled_back(dscores, query, w_score, memory.keys))


def memory_gradient(
    dscores: Float[Array, "T N L"],
    dz: Float[Array, "T N C"],
    queries: Float[Array, "T N A"],
    alpha: Float[Array, "T N L"],
    w_score: Float[Array, " A"],
    keys: Float[Array, "N L A"],
) -> Memory:
    """Compute the gradient of the memory from those of the scores and means of all steps."""
    dkeys = places.keys_gradient(dscores, queries, w_score, keys)
    return Memory(dkeys, jnp.einsum("tnl,tnc->nlc", alpha, dz))


class Attended(NamedTuple):
    """A cell over a sequence with attention."""

    carry: Any
    """The carry after the last step."""
    h: Float[Array, "T N H"]
    """The hidden states of all steps."""
    seen: Float[Array, "N L"]
    """The maps, summed over the steps that count; see the doubly stochastic regulariser."""


class AttendingWeights(NamedTuple):
    """Weights of the recurrence of `scan_attending`."""

    Wh: Float[Array, "H G"]
    attention: AttentionParams


def scan_attending_plain(
    cell: Cell,
    weights: AttendingWeights,
    carry: Any,
    xWx: Float[Array, "T N G"],
    memory: Memory,
    counts: Bool[Array, "T N"] | None = None,
) -> Attended:
    """Compute `scan_attending` under autodiff; supports forward mode."""

    def forward(state: tuple[Any, Array], inputs: tuple[Array, Array | None]) -> Any:
        (before, seen), (xWx, count) = state, inputs
        z, alpha = attend(weights.attention, before.h, *memory)
        a = xWx + product(before.h, weights.Wh) + product(z, weights.attention.W_context)
        after, _ = cell.update(a, before)
        return (after, seen + counted(alpha, count)), after.h

    seen = jnp.zeros(memory.keys.shape[:2], xWx.dtype)
    (carry, seen), h = lax.scan(forward, (carry, seen), (xWx, counts))
    return Attended(carry, h, seen)


def counted(alpha: Float[Array, "N L"], count: Bool[Array, " N"] | None) -> Float[Array, "N L"]:
    """Give the maps of the examples that count, and zeros for the others."""
    return alpha if count is None else jnp.where(count[:, None], alpha, 0)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_attending(
    cell: Cell,
    weights: AttendingWeights,
    carry: Any,
    xWx: Float[Array, "T N G"],
    memory: Memory,
    counts: Bool[Array, "T N"] | None = None,
) -> Attended:
    """Run a cell that attends over a sequence, time first.

    Args:
        cell: the cell.
        weights: recurrent weights, and those of the attention.
        carry: state before the first step.
        xWx: `x @ Wx + b` of every step.
        memory: what the N examples attend to.
        counts: the steps whose maps are summed in `seen`; None for all.
    """
    return _scan_attending_fwd(cell, weights, carry, xWx, memory, counts)[0]


class _Saved(NamedTuple):
    """What the backward pass needs of each step, besides its states."""

    cell: Any
    query: Float[Array, "T N A"]
    alpha: Float[Array, "T N L"]
    context: Float[Array, "T N C"]
    gate: Float[Array, "T N 1"]


def _joined(weights: AttendingWeights) -> Float[Array, "H _"]:
    """Join the three factors of the hidden state, for one matmul a step."""
    attention = weights.attention
    return jnp.concatenate([weights.Wh, attention.W_query, attention.W_gate], axis=1)


def _scan_attending_fwd(cell, weights, carry, xWx, memory, counts):
    update, attention = cell.backward().update, weights.attention
    times_joined = multiplier(_joined(weights))
    times_context = multiplier(attention.W_context)
    G, A = weights.Wh.shape[1], attention.W_query.shape[1]

    def forward(state, inputs):
        (before, seen), (xWx, count) = state, inputs
        hWh, query, opening = jnp.split(times_joined(before.h), (G, G + A), axis=1)
        gate = jax.nn.sigmoid(opening + attention.b_gate[None])
        context, alpha = look(query, attention.w_score, memory)
        after, of_cell = update(xWx + hWh + times_context(gate * context), before)
        saved = _Saved(of_cell, query, alpha, context, gate)
        return (after, seen + counted(alpha, count)), (after, saved)

    seen = jnp.zeros(memory.keys.shape[:2], xWx.dtype)
    (last, seen), (states, saved) = lax.scan(forward, (carry, seen), (xWx, counts))
    return Attended(last, states.h, seen), (weights, carry, memory, counts, states, saved)


def _scan_attending_bwd(cell, residuals, cotangents):
    weights, carry, memory, counts, states, saved = residuals
    attention, (dlast, dout, dseen) = weights.attention, cotangents
    pull_back = cell.backward().pull_back
    times_joinedT = multiplier(_joined(weights), transposed=True)
    times_contextT = multiplier(attention.W_context, transposed=True)
    A = attention.W_query.shape[1]

    def backward(state, inputs):
        (dcarry, dscore), (dh, saved, before, after, count) = state, inputs
        da, dbefore = pull_back(saved.cell, before, after, dcarry._replace(h=dcarry.h + dh))
        dz = times_contextT(da)
        dcontext = saved.gate * dz
        opening = (dz * saved.context).sum(1, keepdims=True) * saved.gate * (1 - saved.gate)
        dscores, dquery, dw_score = pull_back_look(
            dcontext, counted(dseen, count), saved.query, saved.alpha, attention.w_score, memory
        )
        dh_of = jnp.concatenate([da, dquery, opening], axis=1)
        dbefore = dbefore._replace(h=dbefore.h + times_joinedT(dh_of))
        return (dbefore, dscore + dw_score), (dh_of, dcontext, dscores)

    before = jax.tree.map(previous, carry, states)
    (dcarry, dscore), (dh_of, dcontext, dscores) = lax.scan(
        backward,
        (dlast, jnp.zeros_like(attention.w_score)),
        (dout, saved, before, states, counts),
        reverse=True,
    )
    dmemory = memory_gradient(
        dscores, dcontext, saved.query, saved.alpha, attention.w_score, memory.keys
    )
    G = weights.Wh.shape[1]
    da = dh_of[..., :G]
    drows = rows(dh_of)
    djoined = product(rows(before.h).T, drows)
    dWh, dquery, dgate = jnp.split(djoined, (G, G + A), axis=1)
    z = rows(saved.gate * saved.context)
    dparams = AttentionParams(
        dquery, dscore, dgate, drows[:, G + A :].sum(0), product(z.T, drows[:, :G])
    )
    return AttendingWeights(dWh, dparams), dcarry, da, dmemory, None


scan_attending.defvjp(_scan_attending_fwd, _scan_attending_bwd)
