"""Cells over sequences and the notebook's names: `rnn_step`, `lstm_step`, `rnn`, `lstm`.

Axes: N examples, T steps, D inputs, H hidden units, G = gates * H of the cell. Sequences are batch
first, (N, T, ...), unless `time_major` is set. `jaxcap.nn.cells` has the equations and
`jaxcap.nn.scan` the backward pass by hand; the functions named `*_plain` are the same mathematics
under autodiff, which forward mode (`jax.jvp`, `jax.jacfwd`) needs.
"""

from functools import partial

from jaxtyping import Array, Bool, Float

from jaxcap.nn.cells import LSTM, RNN, Cell, CellParams, LSTMCarry, RNNCarry
from jaxcap.nn.scan import (
    Carry,
    cell_step,
    cell_step_plain,
    input_products,
    scan_cell,
    scan_cell_plain,
)


def rnn_step(
    params: CellParams, carry: RNNCarry, x: Float[Array, "N D"]
) -> tuple[RNNCarry, Float[Array, "N H"]]:
    """Advance a vanilla RNN by one step; see `jaxcap.nn.scan.cell_step`.

    The weights are `Wx (D, H)`, `Wh (H, H)` and `b (H,)`.
    """
    return cell_step(RNN, params, carry, x)


def lstm_step(
    params: CellParams, carry: LSTMCarry, x: Float[Array, "N D"]
) -> tuple[LSTMCarry, Float[Array, "N H"]]:
    """Advance an LSTM by one step; see `jaxcap.nn.scan.cell_step`.

    The weights are `Wx (D, 4H)`, `Wh (H, 4H)` and `b (4H,)`, with the gates in the order i, f, o,
    g.
    """
    return cell_step(LSTM, params, carry, x)


def rnn_step_plain(
    params: CellParams, carry: RNNCarry, x: Float[Array, "N D"]
) -> tuple[RNNCarry, Float[Array, "N H"]]:
    """Compute `rnn_step` under autodiff; supports forward mode."""
    return cell_step_plain(RNN, params, carry, x)


def lstm_step_plain(
    params: CellParams, carry: LSTMCarry, x: Float[Array, "N D"]
) -> tuple[LSTMCarry, Float[Array, "N H"]]:
    """Compute `lstm_step` under autodiff; supports forward mode."""
    return cell_step_plain(LSTM, params, carry, x)


def unroll(
    cell: Cell,
    params: CellParams,
    x: Float[Array, "A B D"],
    carry: Carry,
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[Carry, Float[Array, "A B H"]]:
    """Run any cell over a sequence, from a carry of the cell's `start`; otherwise as `rnn`."""

    def sequence(carry: Carry, x: Array, mask: Array | None) -> tuple[Carry, Array]:
        return scan_cell(cell, params.Wh, carry, input_products(params, x), mask)

    return _time_first(sequence, carry, x, mask, time_major)


def unroll_plain(
    cell: Cell,
    params: CellParams,
    x: Float[Array, "A B D"],
    carry: Carry,
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[Carry, Float[Array, "A B H"]]:
    """Compute `unroll` as a plain scan under autodiff; supports forward mode."""
    return _time_first(partial(scan_cell_plain, cell, params), carry, x, mask, time_major)


def _time_first(sequence, carry, x, mask, time_major):
    """Call a time-first sequence function on batch-first or time-first arrays."""
    if time_major:
        return sequence(carry, x, mask)
    carry, h = sequence(carry, x.swapaxes(0, 1), None if mask is None else mask.T)
    return carry, h.swapaxes(0, 1)


def rnn(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[RNNCarry, Float[Array, "A B H"]]:
    """Run a vanilla RNN over a sequence.

    Args:
        params: weights `Wx (D, H)`, `Wh (H, H)`, `b (H,)`.
        x: inputs, (N, T, D), or (T, N, D) if `time_major`.
        h0: initial hidden state.
        mask: true at real steps, (N, T), or (T, N) if `time_major`. A false step leaves the carry
            unchanged, has a zero hidden state, and adds no gradient.
        time_major: whether `x`, `mask` and the result have time before the batch.

    Returns:
        The carry after the last step, and the hidden states of all steps in the layout of `x`.
    """
    return unroll(RNN, params, x, RNN.start(h0), mask=mask, time_major=time_major)


def rnn_plain(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[RNNCarry, Float[Array, "A B H"]]:
    """Compute `rnn` as a plain scan under autodiff; supports forward mode."""
    return unroll_plain(RNN, params, x, RNN.start(h0), mask=mask, time_major=time_major)


def lstm(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    c0: Float[Array, "N H"] | None = None,
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[LSTMCarry, Float[Array, "A B H"]]:
    """Run an LSTM over a sequence (notebook, "LSTM: forward" and "LSTM: backward").

    >>> import jax, jax.numpy as jnp
    >>> from jaxcap import lstm_init
    >>> params = lstm_init(jax.random.key(0), D=3, H=5)
    >>> carry, h = lstm(params, jnp.ones((2, 7, 3)), jnp.zeros((2, 5)))
    >>> h.shape, carry.c.shape
    ((2, 7, 5), (2, 5))

    Args:
        params: weights `Wx (D, 4H)`, `Wh (H, 4H)`, `b (4H,)`, gates in the order i, f, o, g.
        x: inputs, (N, T, D), or (T, N, D) if `time_major`.
        h0: initial hidden state.
        c0: initial cell state; zero by default.
        mask, time_major: as in `rnn`.

    Returns:
        The carry after the last step, and the hidden states of all steps in the layout of `x`.
    """
    return unroll(LSTM, params, x, LSTM.start(h0, c0), mask=mask, time_major=time_major)


def lstm_plain(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    c0: Float[Array, "N H"] | None = None,
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[LSTMCarry, Float[Array, "A B H"]]:
    """Compute `lstm` as a plain scan under autodiff; supports forward mode."""
    return unroll_plain(LSTM, params, x, LSTM.start(h0, c0), mask=mask, time_major=time_major)
