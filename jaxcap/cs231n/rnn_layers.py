"""The recurrent layers of the course: forward and backward passes on NumPy arrays.

Axes: N examples, T steps, D inputs, H hidden units, V words; G is H for the RNN and 4H for the
LSTM, with the gates in the order i, f, o, g. The backward passes are those of `jaxcap.nn.scan`, by
`jax.vjp`.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from jaxcap.cs231n.arrays import Cache, backward, check_ids, layer
from jaxcap.cs231n.layers import affine_backward, affine_forward
from jaxcap.nn import loss as losses
from jaxcap.nn import unroll
from jaxcap.nn.cells import CellParams, LSTMCarry, RNNCarry

# `from cs231n.rnn_layers import *` also gives `np` in the course, and since 2021 the affine layer.
__all__ = [
    "affine_backward",
    "affine_forward",
    "lstm_backward",
    "lstm_forward",
    "lstm_step_backward",
    "lstm_step_forward",
    "np",
    "rnn_backward",
    "rnn_forward",
    "rnn_step_backward",
    "rnn_step_forward",
    "sigmoid",
    "temporal_affine_backward",
    "temporal_affine_forward",
    "temporal_softmax_loss",
    "word_embedding_backward",
    "word_embedding_forward",
]

_Floats = Float[np.ndarray, "..."]


@layer
def _sigmoid(x: Array) -> Array:
    return jax.nn.sigmoid(x)


@layer
def _rnn_step(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    return unroll.rnn_step(CellParams(Wx, Wh, b), RNNCarry(prev_h), x)[1]


@layer
def _rnn(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    return unroll.rnn(CellParams(Wx, Wh, b), x, h0)[1]


@layer
def _lstm_step(
    x: Array, prev_h: Array, prev_c: Array, Wx: Array, Wh: Array, b: Array
) -> tuple[Array, Array]:
    carry, _ = unroll.lstm_step(CellParams(Wx, Wh, b), LSTMCarry(prev_h, prev_c), x)
    return carry.h, carry.c


@layer
def _lstm(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    return unroll.lstm(CellParams(Wx, Wh, b), x, h0)[1]


@layer
def _word_embedding(W: Array, *, words: Array) -> Array:
    return W[words]


@layer
def _temporal_affine(x: Array, w: Array, b: Array) -> Array:
    return x @ w + b[None, None]


@layer
def _temporal_softmax(x: Array, *, targets: Array, mask: Array) -> Array:
    return losses.temporal_softmax_loss(x, losses.Targets(targets, mask), len(x)).per_caption


def sigmoid(x: _Floats) -> _Floats:
    """Apply the logistic function to each element."""
    return _sigmoid(x)[0]


def rnn_step_forward(
    x: Float[np.ndarray, "N D"],
    prev_h: Float[np.ndarray, "N H"],
    Wx: Float[np.ndarray, "D H"],
    Wh: Float[np.ndarray, "H H"],
    b: Float[np.ndarray, " H"],
) -> tuple[Float[np.ndarray, "N H"], Cache]:
    """Advance a vanilla RNN by one step; returns `next_h` and a cache."""
    return _rnn_step(x, prev_h, Wx, Wh, b)


def rnn_step_backward(dnext_h: Float[np.ndarray, "N H"], cache: Cache) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dprev_h, dWx, dWh, db` of a step."""
    return backward(dnext_h, cache)


def rnn_forward(
    x: Float[np.ndarray, "N T D"],
    h0: Float[np.ndarray, "N H"],
    Wx: Float[np.ndarray, "D H"],
    Wh: Float[np.ndarray, "H H"],
    b: Float[np.ndarray, " H"],
) -> tuple[Float[np.ndarray, "N T H"], Cache]:
    """Run a vanilla RNN over a sequence; returns the hidden states and a cache."""
    return _rnn(x, h0, Wx, Wh, b)


def rnn_backward(dh: Float[np.ndarray, "N T H"], cache: Cache) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dh0, dWx, dWh, db` of a sequence."""
    return backward(dh, cache)


def lstm_step_forward(
    x: Float[np.ndarray, "N D"],
    prev_h: Float[np.ndarray, "N H"],
    prev_c: Float[np.ndarray, "N H"],
    Wx: Float[np.ndarray, "D G"],
    Wh: Float[np.ndarray, "H G"],
    b: Float[np.ndarray, " G"],
) -> tuple[Float[np.ndarray, "N H"], Float[np.ndarray, "N H"], Cache]:
    """Advance an LSTM by one step; returns `next_h`, `next_c` and a cache."""
    (next_h, next_c), cache = _lstm_step(x, prev_h, prev_c, Wx, Wh, b)
    return next_h, next_c, cache


def lstm_step_backward(
    dnext_h: Float[np.ndarray, "N H"], dnext_c: Float[np.ndarray, "N H"], cache: Cache
) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dprev_h, dprev_c, dWx, dWh, db` of a step."""
    return backward((dnext_h, dnext_c), cache)


def lstm_forward(
    x: Float[np.ndarray, "N T D"],
    h0: Float[np.ndarray, "N H"],
    Wx: Float[np.ndarray, "D G"],
    Wh: Float[np.ndarray, "H G"],
    b: Float[np.ndarray, " G"],
) -> tuple[Float[np.ndarray, "N T H"], Cache]:
    """Run an LSTM over a sequence from cell state zero; returns the hidden states and a cache."""
    return _lstm(x, h0, Wx, Wh, b)


def lstm_backward(dh: Float[np.ndarray, "N T H"], cache: Cache) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dh0, dWx, dWh, db` of a sequence."""
    return backward(dh, cache)


def word_embedding_forward(
    x: Integer[np.ndarray, "*N"], W: Float[np.ndarray, "V D"]
) -> tuple[Float[np.ndarray, "*N D"], Cache]:
    """Look up word vectors of ids of any shape; returns them and a cache.

    Raises:
        IndexError: a word is outside [0, V).
    """
    return _word_embedding(W, words=check_ids(x, len(W), "x"))


def word_embedding_backward(
    dout: Float[np.ndarray, "*N D"], cache: Cache
) -> Float[np.ndarray, "V D"]:
    """Compute the gradient `dW` of the word vectors."""
    return backward(dout, cache)[0]


def temporal_affine_forward(
    x: Float[np.ndarray, "N T D"], w: Float[np.ndarray, "D M"], b: Float[np.ndarray, " M"]
) -> tuple[Float[np.ndarray, "N T M"], Cache]:
    """Apply an affine layer to every step; returns its output and a cache."""
    return _temporal_affine(x, w, b)


def temporal_affine_backward(dout: Float[np.ndarray, "N T M"], cache: Cache) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dw, db`."""
    return backward(dout, cache)


def temporal_softmax_loss(
    x: Float[np.ndarray, "N T V"],
    y: Integer[np.ndarray, "N T"],
    mask: Bool[np.ndarray, "N T"] | Any,
    verbose: bool = False,
) -> tuple[float, Float[np.ndarray, "N T V"]]:
    """Sum the softmax cross-entropy of words over time and average it over the batch.

    Args:
        x: logits.
        y: the target word at each step.
        mask: (N, T), true or nonzero where the step counts.
        verbose: also print the shape of the gradient.

    Returns:
        The loss, and its gradient with respect to `x`.

    Raises:
        IndexError: a word is outside [0, V).
    """
    targets = check_ids(y, x.shape[-1], "y")
    loss, cache = _temporal_softmax(x, targets=targets, mask=np.asarray(mask, bool))
    (dx,) = backward(1.0, cache)
    if verbose:
        print("dx: ", dx.shape)
    return float(loss), dx
