"""The numbers that the notebook prints, from its own inputs, in float64.

Sections are those of the course notebook on LSTM captioning. The vanilla RNN, whose digits it
does not print, is held against a NumPy implementation written here, one example and step at a time.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from notebook_digits import (
    LSTM_H,
    LSTM_H_ERROR,
    LSTM_LOSS,
    LSTM_STEP_C,
    LSTM_STEP_C_ERROR,
    LSTM_STEP_H,
    LSTM_STEP_H_ERROR,
)

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import CaptionerConfig, caption_loss
from jaxcap.nn.gradcheck import gradient_errors, rel_error
from jaxcap.nn.recurrent import CellParams, LSTMCarry, RNNCarry, lstm, lstm_step, rnn, rnn_step

pytestmark = pytest.mark.usefixtures("x64")


def linspace(start, stop, shape):
    return jnp.linspace(start, stop, int(np.prod(shape)), dtype=jnp.float64).reshape(shape)


def test_lstm_step_forward():
    N, D, H = 3, 4, 5
    params = CellParams(
        linspace(-2.1, 1.3, (D, 4 * H)), linspace(-0.7, 2.2, (H, 4 * H)), linspace(0.3, 0.7, 4 * H)
    )
    carry = LSTMCarry(linspace(-0.3, 0.7, (N, H)), linspace(-0.4, 0.9, (N, H)))
    (next_h, next_c), h = lstm_step(params, carry, linspace(-0.4, 1.2, (N, D)))
    assert rel_error(LSTM_STEP_H, next_h) == pytest.approx(LSTM_STEP_H_ERROR, rel=1e-6)
    assert rel_error(LSTM_STEP_C, next_c) == pytest.approx(LSTM_STEP_C_ERROR, rel=1e-6)
    np.testing.assert_array_equal(h, next_h)


def draw(seed, *shapes):
    """Normal float64 arrays.

    The notebook draws its own without a seed. Those used below are such that no gradient happens to
    be near zero, where a difference of 1e-12 would be a large relative error.
    """
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return [
        jax.random.normal(key, shape, jnp.float64) for key, shape in zip(keys, shapes, strict=True)
    ]


def worst(errors):
    return max(jax.tree.leaves(errors))


def test_lstm_step_backward():
    N, D, H = 4, 5, 6
    x, h, c, Wx, Wh, b, dh, dc = draw(
        0, (N, D), (N, H), (N, H), (D, 4 * H), (H, 4 * H), (4 * H,), (N, H), (N, H)
    )
    errors = gradient_errors(
        lambda params, carry, x: lstm_step(params, carry, x)[0],
        (CellParams(Wx, Wh, b), LSTMCarry(h, c), x),
        LSTMCarry(dh, dc),
    )
    assert worst(errors) < 1e-7, errors


def test_lstm_forward():
    N, D, H, T = 2, 5, 4, 3
    params = CellParams(
        linspace(-0.2, 0.9, (D, 4 * H)), linspace(-0.3, 0.6, (H, 4 * H)), linspace(0.2, 0.7, 4 * H)
    )
    _, h = lstm(params, linspace(-0.4, 0.6, (N, T, D)), linspace(-0.4, 0.8, (N, H)))
    assert rel_error(LSTM_H, h) == pytest.approx(LSTM_H_ERROR, rel=1e-6)


def test_lstm_backward():
    N, D, T, H = 2, 3, 10, 6
    x, h0, Wx, Wh, b, dout = draw(4, (N, T, D), (N, H), (D, 4 * H), (H, 4 * H), (4 * H,), (N, T, H))
    errors = gradient_errors(
        lambda params, x, h0: lstm(params, x, h0)[1], (CellParams(Wx, Wh, b), x, h0), dout
    )
    assert worst(errors) < 1e-7, errors


def test_captioner_loss():
    """The notebook's vocabulary has ids 0, 2, 3 and V = 3; its captions run through 0, 1, 2."""
    N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
    config = CaptionerConfig(vocab_size=V, feature_dim=D, wordvec_dim=W, hidden_dim=H)
    params = {name: linspace(-1.4, 1.3, shape) for name, shape in config.parameter_shapes().items()}
    captions = (jnp.arange(N * T) % V).reshape(N, T)
    loss = caption_loss(params, config, Batch(Image(linspace(-0.5, 1.7, (N, D))), captions))
    assert abs(float(loss.per_caption) - LSTM_LOSS) < 1e-10


def numpy_rnn(x, h0, Wx, Wh, b):
    """One example and one step at a time, from the equation."""
    N, T, _ = x.shape
    h = np.zeros((N, T, len(b)))
    for n in range(N):
        state = h0[n]
        for t in range(T):
            state = np.tanh(Wx.T.dot(x[n, t]) + Wh.T.dot(state) + b)
            h[n, t] = state
    return h


def numpy_rnn_captioner_loss(params, features, captions):
    p = {name: np.asarray(value) for name, value in params.items()}
    h0 = features @ p["W_proj"] + p["b_proj"]
    h = numpy_rnn(p["W_embed"][captions[:, :-1]], h0, p["Wx"], p["Wh"], p["b"])
    total = 0.0
    for n, t in np.argwhere(captions[:, 1:] != 0):
        scores = h[n, t] @ p["W_vocab"] + p["b_vocab"]
        total -= np.log(np.exp(scores[captions[n, t + 1]]) / np.exp(scores).sum())
    return total / len(captions)


def test_rnn_step_and_forward():
    N, D, T, H = 3, 5, 4, 6
    x, h0 = linspace(-0.4, 0.6, (N, T, D)), linspace(-0.4, 0.8, (N, H))
    Wx, Wh, b = linspace(-0.2, 0.9, (D, H)), linspace(-0.3, 0.6, (H, H)), linspace(0.2, 0.7, H)
    expected = numpy_rnn(*(np.asarray(a) for a in (x, h0, Wx, Wh, b)))
    _, h = rnn(CellParams(Wx, Wh, b), x, h0)
    assert rel_error(expected, h) < 1e-12
    _, h = rnn_step(CellParams(Wx, Wh, b), RNNCarry(h0), x[:, 0])
    assert rel_error(expected[:, 0], h) < 1e-12


def test_rnn_step_backward():
    N, D, H = 4, 5, 6
    x, h, Wx, Wh, b, dh = draw(2, (N, D), (N, H), (D, H), (H, H), (H,), (N, H))
    errors = gradient_errors(
        lambda params, carry, x: rnn_step(params, carry, x)[0],
        (CellParams(Wx, Wh, b), RNNCarry(h), x),
        RNNCarry(dh),
    )
    assert worst(errors) < 1e-7, errors


def test_rnn_backward():
    N, D, T, H = 2, 3, 10, 6
    x, h0, Wx, Wh, b, dout = draw(3, (N, T, D), (N, H), (D, H), (H, H), (H,), (N, T, H))
    errors = gradient_errors(
        lambda params, x, h0: rnn(params, x, h0)[1], (CellParams(Wx, Wh, b), x, h0), dout
    )
    assert worst(errors) < 1e-7, errors


def test_rnn_captioner_loss():
    N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
    config = CaptionerConfig(vocab_size=V, feature_dim=D, wordvec_dim=W, hidden_dim=H, cell="rnn")
    params = {name: linspace(-1.4, 1.3, shape) for name, shape in config.parameter_shapes().items()}
    features, captions = linspace(-0.5, 1.7, (N, D)), (jnp.arange(N * T) % V).reshape(N, T)
    expected = numpy_rnn_captioner_loss(params, np.asarray(features), np.asarray(captions))
    loss = caption_loss(params, config, Batch(Image(features), captions))
    assert abs(float(loss.per_caption) - expected) < 1e-10
