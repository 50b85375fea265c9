"""Vanilla RNN and LSTM: single steps, whole sequences, and their handwritten backward passes.

Axes: N examples, T steps, D inputs, H hidden units; G is H for the RNN and 4H for the LSTM.
One step computes `a = x @ Wx + h @ Wh + b`, (N, G), and from it

    RNN    h' = tanh(a)
    LSTM   i, f, o, g = split(a, 4);  i, f, o = sigmoid(i, f, o);  g = tanh(g)
           c' = f * c + i * g;        h' = o * tanh(c')

with the gates in the order i, f, o, g of the notebook ("LSTM: step forward"). The LSTM is that of
Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000), without peepholes.

Sequences are batch first, (N, T, ...), unless `time_major` is set; inside the scan time is first.

The backward pass of a sequence is written by hand (`jax.custom_vjp`). The input product of all
steps, `x @ Wx + b`, is one matrix product before the scan, or comes from elsewhere
(`rnn_of_products`, `lstm_of_products`). The reverse scan carries the gradient of the carry and
emits that of `a`; `dWx`, `dWh`, `db` and `dx` are one product or sum each after it. Beside the
arguments and the hidden states, which are the output, the forward pass saves the activated gates
and the cell state: 5H numbers an example and step for the LSTM (20H bytes in float32), none for
the RNN.

`rnn_step`, `lstm_step`, `rnn` and `lstm` can be differentiated in reverse mode any number of times.
Forward mode (`jax.jvp`, `jax.jacfwd`) of them raises JAX's own error for `custom_vjp`: use
`rnn_step_plain`, `lstm_step_plain`, `rnn_plain` and `lstm_plain`, the same mathematics under
autodiff.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxcap.nn.products import multiplier, product


class CellParams(NamedTuple):
    """Weights of one recurrent cell, of one dtype."""

    Wx: Float[Array, "D G"]
    Wh: Float[Array, "H G"]
    b: Float[Array, " G"]


class RNNCarry(NamedTuple):
    """State of a vanilla RNN between two steps."""

    h: Float[Array, "N H"]


class LSTMCarry(NamedTuple):
    """State of an LSTM between two steps."""

    h: Float[Array, "N H"]
    c: Float[Array, "N H"]


def _preactivation(params: CellParams, h: Array, x: Array) -> Array:
    return x @ params.Wx + h @ params.Wh + params.b[None]


def _activate(a: Float[Array, "N G"]) -> tuple[Array, Array, Array, Array]:
    """Split the pre-activation into its four gates and apply their non-linearities."""
    i, f, o, g = jnp.split(a, 4, axis=-1)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f), jax.nn.sigmoid(o), jnp.tanh(g)


def _lstm_gate_gradients(
    dh: Array, dc: Array, gates: tuple[Array, ...], c: Array, tanh_next_c: Array
) -> tuple[Float[Array, "N G"], Float[Array, "N H"]]:
    """Gradients of the pre-activation and of the previous cell state.

    `dh` and `dc` are the gradients of the step's hidden and cell state, `c` the cell state before
    the step.
    """
    i, f, o, g = gates
    dc = dc + dh * o * (1 - tanh_next_c * tanh_next_c)
    da = jnp.concatenate(
        [
            dc * g * i * (1 - i),
            dc * c * f * (1 - f),
            dh * tanh_next_c * o * (1 - o),
            dc * i * (1 - g * g),
        ],
        axis=-1,
    )
    return da, dc * f


def _step_products(
    params: CellParams, h: Array, x: Array, da: Float[Array, "N G"]
) -> tuple[CellParams, Array, Array]:
    """Gradients of one step's weights, hidden state and input, from that of its pre-activation."""
    return CellParams(x.T @ da, h.T @ da, da.sum(0)), da @ params.Wh.T, da @ params.Wx.T


# One step


def rnn_step_plain(
    params: CellParams, carry: RNNCarry, x: Float[Array, "N D"]
) -> tuple[RNNCarry, Float[Array, "N H"]]:
    """`rnn_step` under autodiff; supports forward mode."""
    h = jnp.tanh(_preactivation(params, carry.h, x))
    return RNNCarry(h), h


@jax.custom_vjp
def rnn_step(
    params: CellParams, carry: RNNCarry, x: Float[Array, "N D"]
) -> tuple[RNNCarry, Float[Array, "N H"]]:
    """Advance a vanilla RNN by one step: `h' = tanh(x @ Wx + h @ Wh + b)`.

    Args:
        params: weights `Wx (D, H)`, `Wh (H, H)`, `b (H,)`.
        carry: hidden state before the step.
        x: inputs of the step.

    Returns:
        The carry after the step and its hidden state, (N, H). Everything is of one dtype.
    """
    return rnn_step_plain(params, carry, x)


def _rnn_step_fwd(params, carry, x):
    out = rnn_step_plain(params, carry, x)
    return out, (params, carry, x, out[1])


def _rnn_step_bwd(saved, cotangents):
    params, carry, x, h = saved
    dcarry, dh = cotangents
    da = (dcarry.h + dh) * (1 - h * h)
    dparams, dh, dx = _step_products(params, carry.h, x, da)
    return dparams, RNNCarry(dh), dx


rnn_step.defvjp(_rnn_step_fwd, _rnn_step_bwd)


def lstm_step_plain(
    params: CellParams, carry: LSTMCarry, x: Float[Array, "N D"]
) -> tuple[LSTMCarry, Float[Array, "N H"]]:
    """`lstm_step` under autodiff; supports forward mode."""
    return _lstm_step_fwd(params, carry, x)[0]


@jax.custom_vjp
def lstm_step(
    params: CellParams, carry: LSTMCarry, x: Float[Array, "N D"]
) -> tuple[LSTMCarry, Float[Array, "N H"]]:
    """Advance an LSTM by one step (notebook, "LSTM: step forward" and "step backward").

    Args:
        params: weights `Wx (D, 4H)`, `Wh (H, 4H)`, `b (4H,)`, gates in the order i, f, o, g.
        carry: hidden and cell state before the step.
        x: inputs of the step.

    Returns:
        The carry after the step and its hidden state, (N, H). Everything is of one dtype.
    """
    return lstm_step_plain(params, carry, x)


def _lstm_step_fwd(params, carry, x):
    i, f, o, g = _activate(_preactivation(params, carry.h, x))
    c = f * carry.c + i * g
    tanh_c = jnp.tanh(c)
    h = o * tanh_c
    return (LSTMCarry(h, c), h), (params, carry, x, (i, f, o, g), tanh_c)


def _lstm_step_bwd(saved, cotangents):
    params, carry, x, gates, tanh_c = saved
    dcarry, dh = cotangents
    da, dc = _lstm_gate_gradients(dcarry.h + dh, dcarry.c, gates, carry.c, tanh_c)
    dparams, dh, dx = _step_products(params, carry.h, x, da)
    return dparams, LSTMCarry(dh, dc), dx


lstm_step.defvjp(_lstm_step_fwd, _lstm_step_bwd)


# Whole sequences, time first. `xWx` is (T, N, G), the input products with the bias; `mask` is
# (T, N, 1) or None.


def _where(mask: Array | None, new: Array, old: Array) -> Array:
    return new if mask is None else jnp.where(mask, new, old)


def _previous(first: Float[Array, "N H"], states: Float[Array, "T N H"]) -> Float[Array, "T N H"]:
    """The states before each step: `first`, then all but the last of `states`."""
    return jnp.concatenate([first[None], states[:-1]])[: len(states)]


def _rows(a: Float[Array, "T N K"]) -> Float[Array, "T*N K"]:
    """All steps of all examples below each other.

    A product over both axes at once makes XLA transpose its operands first; one over rows does not.
    """
    T, N, K = a.shape
    return a.reshape(T * N, K)


def input_products(params: CellParams, x: Float[Array, "T N D"]) -> Float[Array, "T N G"]:
    """`x @ Wx + b` of every step, as one matrix product."""
    rows = product(_rows(x), params.Wx) + params.b[None]
    return rows.reshape(*x.shape[:2], len(params.b))


@jax.custom_vjp
def _rnn(Wh, carry, xWx, mask):
    return _rnn_fwd(Wh, carry, xWx, mask)[0]


def _rnn_fwd(Wh, carry, xWx, mask):
    times_Wh = multiplier(Wh)

    def forward(h, inputs):
        xWx, keep = inputs
        h = _where(keep, jnp.tanh(xWx + times_Wh(h)), h)
        return h, h

    last, states = lax.scan(forward, carry.h, (xWx, mask))
    out = _where(mask, states, jnp.zeros_like(states))
    return (RNNCarry(last), out), (Wh, carry, mask, states)


def _rnn_bwd(saved, cotangents):
    Wh, carry, mask, states = saved
    dlast, dout = cotangents
    times_WhT = multiplier(Wh, transposed=True)

    def backward(dcarry, inputs):
        dh, h, keep = inputs
        da = (dcarry + dh) * (1 - h * h)
        da = _where(keep, da, jnp.zeros_like(da))
        return _where(keep, times_WhT(da), dcarry), da

    dh0, da = lax.scan(backward, dlast.h, (dout, states, mask), reverse=True)
    dWh = product(_rows(_previous(carry.h, states)).T, _rows(da))
    return dWh, RNNCarry(dh0), da, None


_rnn.defvjp(_rnn_fwd, _rnn_bwd)


@jax.custom_vjp
def _lstm(Wh, carry, xWx, mask):
    return _lstm_fwd(Wh, carry, xWx, mask)[0]


def _lstm_fwd(Wh, carry, xWx, mask):
    times_Wh = multiplier(Wh)

    def forward(carry, inputs):
        xWx, keep = inputs
        i, f, o, g = gates = _activate(xWx + times_Wh(carry.h))
        c = f * carry.c + i * g
        carry = LSTMCarry(_where(keep, o * jnp.tanh(c), carry.h), _where(keep, c, carry.c))
        return carry, (carry, gates)

    last, (states, gates) = lax.scan(forward, carry, (xWx, mask))
    out = _where(mask, states.h, jnp.zeros_like(states.h))
    return (last, out), (Wh, carry, mask, states, gates)


def _lstm_bwd(saved, cotangents):
    Wh, carry, mask, states, gates = saved
    dlast, dout = cotangents
    times_WhT = multiplier(Wh, transposed=True)

    def backward(dcarry, inputs):
        dh, gates, c, next_c, keep = inputs
        da, dc = _lstm_gate_gradients(dcarry.h + dh, dcarry.c, gates, c, jnp.tanh(next_c))
        da = _where(keep, da, jnp.zeros_like(da))
        dh = _where(keep, times_WhT(da), dcarry.h)
        return LSTMCarry(dh, _where(keep, dc, dcarry.c)), da

    inputs = (dout, gates, _previous(carry.c, states.c), states.c, mask)
    dcarry, da = lax.scan(backward, dlast, inputs, reverse=True)
    dWh = product(_rows(_previous(carry.h, states.h)).T, _rows(da))
    return dWh, dcarry, da, None


_lstm.defvjp(_lstm_fwd, _lstm_bwd)


def _unroll(sequence, params, carry, x, mask, time_major):
    """Call a time-first sequence function on batch-first or time-first arrays."""
    if mask is not None:
        mask = (mask if time_major else mask.T)[..., None]
    carry, h = sequence(params, carry, x if time_major else x.swapaxes(0, 1), mask)
    return carry, h if time_major else h.swapaxes(0, 1)


def _of_inputs(sequence):
    """A time-first sequence function of inputs, from one of input products."""

    def of_inputs(params, carry, x, mask):
        return sequence(params.Wh, carry, input_products(params, x), mask)

    return of_inputs


def rnn_of_products(
    Wh: Float[Array, "H H"], xWx: Float[Array, "T N H"], carry: RNNCarry
) -> tuple[RNNCarry, Float[Array, "T N H"]]:
    """`rnn`, time first, where `xWx` is `x @ Wx + b` of every step."""
    return _rnn(Wh, carry, xWx, None)


def lstm_of_products(
    Wh: Float[Array, "H G"], xWx: Float[Array, "T N G"], carry: LSTMCarry
) -> tuple[LSTMCarry, Float[Array, "T N H"]]:
    """`lstm`, time first, where `xWx` is `x @ Wx + b` of every step."""
    return _lstm(Wh, carry, xWx, None)


def _scan_plain(step):
    """A time-first sequence function under autodiff, from a plain step."""

    def sequence(params, carry, x, mask):
        def body(carry, inputs):
            x, keep = inputs
            new, h = step(params, carry, x)
            carry = jax.tree.map(lambda new, old: _where(keep, new, old), new, carry)
            return carry, _where(keep, h, jnp.zeros_like(h))

        return lax.scan(body, carry, (x, mask))

    return sequence


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
        mask: true at real steps, (N, T), or (T, N) if `time_major`. A step that is false leaves the
            carry unchanged, gives a zero hidden state, and gets and passes no gradient.
        time_major: whether `x`, `mask` and the result have time before the batch.

    Returns:
        The carry after the last step and the hidden states of all steps, laid out as `x`.
    """
    return _unroll(_of_inputs(_rnn), params, RNNCarry(h0), x, mask, time_major)


def rnn_plain(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[RNNCarry, Float[Array, "A B H"]]:
    """`rnn` as a plain scan under autodiff; supports forward mode."""
    return _unroll(_scan_plain(rnn_step_plain), params, RNNCarry(h0), x, mask, time_major)


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

    Args:
        params: weights `Wx (D, 4H)`, `Wh (H, 4H)`, `b (4H,)`, gates in the order i, f, o, g.
        x: inputs, (N, T, D), or (T, N, D) if `time_major`.
        h0: initial hidden state.
        c0: initial cell state; zero if left out.
        mask: true at real steps, (N, T), or (T, N) if `time_major`. A step that is false leaves the
            carry unchanged, gives a zero hidden state, and gets and passes no gradient.
        time_major: whether `x`, `mask` and the result have time before the batch.

    Returns:
        The carry after the last step and the hidden states of all steps, laid out as `x`.
    """
    carry = LSTMCarry(h0, jnp.zeros_like(h0) if c0 is None else c0)
    return _unroll(_of_inputs(_lstm), params, carry, x, mask, time_major)


def lstm_plain(
    params: CellParams,
    x: Float[Array, "A B D"],
    h0: Float[Array, "N H"],
    c0: Float[Array, "N H"] | None = None,
    *,
    mask: Bool[Array, "A B"] | None = None,
    time_major: bool = False,
) -> tuple[LSTMCarry, Float[Array, "A B H"]]:
    """`lstm` as a plain scan under autodiff; supports forward mode."""
    carry = LSTMCarry(h0, jnp.zeros_like(h0) if c0 is None else c0)
    return _unroll(_scan_plain(lstm_step_plain), params, carry, x, mask, time_major)
