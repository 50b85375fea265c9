"""A cell over time, as one step or many, and the backward pass of both by hand.

Axes: N examples, T steps, D inputs, H hidden units, G = gates * H of the cell. Time is first here;
`jaxcap.nn.unroll` has the batch first.

`scan_cell` runs any `Cell` and has the one backward pass by hand (`jax.custom_vjp`). The input
product of all steps, `x @ Wx + b`, is one matrix product before the scan, or comes from elsewhere.
The reverse scan carries the gradient of the carry and emits that of `a`; `dWx`, `dWh`, `db` and
`dx` are one product or sum each after it. In addition to the arguments and the hidden states, which
are the output, the forward pass saves the rest of the carry and what the cell's `update` saves: for
the LSTM the cell state and the activated gates, 5H numbers an example and step (20H bytes in
float32), none for the RNN, and G more for a cell without a `pull_back`.

`cell_step` and `scan_cell` can be differentiated in reverse mode any number of times. Forward mode
(`jax.jvp`, `jax.jacfwd`) of them raises JAX's own error for `custom_vjp`: use `cell_step_plain` and
`scan_cell_plain`, the same mathematics under autodiff.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PyTree

from jaxcap.nn.cells import Cell, CellParams
from jaxcap.nn.products import multiplier, product

Carry = Any
"""What the cell's `start` returns."""


# One step


def cell_step_plain(
    cell: Cell, params: CellParams, carry: Carry, x: Float[Array, "N D"]
) -> tuple[Carry, Float[Array, "N H"]]:
    """Compute `cell_step` under autodiff; supports forward mode."""
    return _cell_step_fwd(cell, params, carry, x)[0]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def cell_step(
    cell: Cell, params: CellParams, carry: Carry, x: Float[Array, "N D"]
) -> tuple[Carry, Float[Array, "N H"]]:
    """Advance a cell by one step (notebook, "LSTM: step forward" and "step backward").

    Args:
        cell: the cell.
        params: weights `Wx (D, G)`, `Wh (H, G)`, `b (G,)`.
        carry: state before the step.
        x: inputs of the step.

    Returns:
        The carry after the step and its hidden state, (N, H). All arrays have one dtype.
    """
    return cell_step_plain(cell, params, carry, x)


def _cell_step_fwd(cell, params, carry, x):
    a = x @ params.Wx + carry.h @ params.Wh + params.b[None]
    after, saved = cell.backward().update(a, carry)
    return (after, after.h), (params, carry, x, after, saved)


def _cell_step_bwd(cell, residuals, cotangents):
    params, before, x, after, saved = residuals
    dafter, dh = cotangents
    dafter = dafter._replace(h=dafter.h + dh)
    da, dbefore = cell.backward().pull_back(saved, before, after, dafter)
    dparams = CellParams(x.T @ da, before.h.T @ da, da.sum(0))
    return dparams, dbefore._replace(h=dbefore.h + da @ params.Wh.T), da @ params.Wx.T


cell_step.defvjp(_cell_step_fwd, _cell_step_bwd)


# Whole sequences, time first


def _where(keep: Bool[Array, "*B"] | None, new: PyTree, old: PyTree) -> PyTree:
    """Select `new` where `keep` is true and `old` elsewhere; `new` if `keep` is None."""
    if keep is None:
        return new

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(keep.reshape(keep.shape + (1,) * (new.ndim - keep.ndim)), new, old)

    return jax.tree.map(choose, new, old)


def _zeros_where_not(keep: Bool[Array, "*B"] | None, x: Array) -> Array:
    return x if keep is None else _where(keep, x, jnp.zeros_like(x))


def previous(first: Float[Array, "N ..."], states: Float[Array, "T N ..."]) -> Array:
    """Shift states to those before each step: `first`, then `states` without the last."""
    return jnp.concatenate([first[None], states[:-1]])[: len(states)]


def rows(a: Float[Array, "T N K"]) -> Float[Array, "T*N K"]:
    """Merge the axes of steps and examples into rows.

    XLA transposes the operands of a product over both axes, but not of one over rows.
    """
    T, N, K = a.shape
    return a.reshape(T * N, K)


def input_products(params: CellParams, x: Float[Array, "T N D"]) -> Float[Array, "T N G"]:
    """Compute `x @ Wx + b` of every step, as one matmul."""
    xWx = product(rows(x), params.Wx) + params.b[None]
    return xWx.reshape(*x.shape[:2], len(params.b))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def scan_cell(
    cell: Cell,
    Wh: Float[Array, "H G"],
    carry: Carry,
    xWx: Float[Array, "T N G"],
    mask: Bool[Array, "T N"] | None = None,
) -> tuple[Carry, Float[Array, "T N H"]]:
    """Run a cell over a sequence, time first.

    Args:
        cell: the cell.
        Wh: recurrent weights.
        carry: state before the first step.
        xWx: `x @ Wx + b` of every step.
        mask: as in `lstm`.

    Returns:
        The carry after the last step and the hidden states of all steps.
    """
    return _scan_cell_fwd(cell, Wh, carry, xWx, mask)[0]


def _scan_cell_fwd(cell, Wh, carry, xWx, mask):
    update, times_Wh = cell.backward().update, multiplier(Wh)

    def forward(before, inputs):
        xWx, keep = inputs
        after, saved = update(xWx + times_Wh(before.h), before)
        after = _where(keep, after, before)
        return after, (after, saved)

    last, (states, saved) = lax.scan(forward, carry, (xWx, mask))
    return (last, _zeros_where_not(mask, states.h)), (Wh, carry, mask, states, saved)


def _scan_cell_bwd(cell, residuals, cotangents):
    Wh, carry, mask, states, saved = residuals
    dlast, dout = cotangents
    pull_back, times_WhT = cell.backward().pull_back, multiplier(Wh, transposed=True)

    def backward(dcarry, inputs):
        dh, saved, before, after, keep = inputs
        da, dbefore = pull_back(saved, before, after, dcarry._replace(h=dcarry.h + dh))
        da = _zeros_where_not(keep, da)
        dbefore = dbefore._replace(h=dbefore.h + times_WhT(da))
        return _where(keep, dbefore, dcarry), da

    before = jax.tree.map(previous, carry, states)
    dcarry, da = lax.scan(backward, dlast, (dout, saved, before, states, mask), reverse=True)
    return product(rows(before.h).T, rows(da)), dcarry, da, None


scan_cell.defvjp(_scan_cell_fwd, _scan_cell_bwd)


def scan_cell_plain(
    cell: Cell,
    params: CellParams,
    carry: Carry,
    x: Float[Array, "T N D"],
    mask: Bool[Array, "T N"] | None = None,
) -> tuple[Carry, Float[Array, "T N H"]]:
    """Compute `scan_cell` of inputs `x` as a plain scan under autodiff; supports forward mode."""

    def body(before: Carry, inputs: tuple[Array, Array | None]) -> tuple[Carry, Array]:
        x, keep = inputs
        after, h = cell_step_plain(cell, params, before, x)
        return _where(keep, after, before), _zeros_where_not(keep, h)

    return lax.scan(body, carry, (x, mask))


Unroll = Callable[[Carry, Any], tuple[Carry, Float[Array, "T N H"]]]
"""From a carry and the inputs of T steps, (T, N, ...), to the next carry and the hidden states."""


def in_segments(
    unroll: Unroll, carry: Carry, inputs: PyTree
) -> tuple[Carry, Float[Array, "T N H"]]:
    """Unroll in segments of about sqrt(T) steps and save only their carries.

    The backward pass runs each segment forward again (Chen et al. 2016, arXiv 1604.06174). Zeros
    fill the last segment; the carry that is returned has read them too.
    """
    steps = len(jax.tree.leaves(inputs)[0])
    length = math.isqrt(max(steps - 1, 0)) + 1
    count = -(-steps // length)

    def segments(array: Array) -> Array:
        padding = [(0, count * length - steps)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(count, length, *array.shape[1:])

    checkpointed = jax.checkpoint(unroll, prevent_cse=False)
    carry, h = lax.scan(checkpointed, carry, jax.tree.map(segments, inputs))
    return carry, h.reshape(count * length, *h.shape[2:])[:steps]
