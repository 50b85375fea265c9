"""Probabilities and gates against the logits, the loss, and the LSTM's own steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import CaptionerConfig, caption_loss, init_params, logits, start
from jaxcap.nn.inspect import gate_activations, word_probabilities
from jaxcap.nn.recurrent import CellParams, lstm_step

N, T, D, V, H = 3, 5, 7, 11, 8

pytestmark = pytest.mark.usefixtures("x64")


def example(**changes):
    """A captioner with parameters large enough that gates differ, features, and captions."""
    config = CaptionerConfig(V, D, 5, H, **changes)
    params = init_params(jax.random.key(0), config, jnp.float64)
    params["W_embed"] *= 100
    features = normal(1, (N, D), jnp.float64)
    captions = word_ids(2, (N, T + 1), 4, V).at[:, 0].set(1)
    return params, config, features, captions


@pytest.mark.parametrize("cell", ["lstm", "rnn", "flax.linen.GRUCell"])
def test_probabilities_are_those_of_the_logits(cell):
    params, config, features, captions = example(cell=cell)
    found = word_probabilities(params, config, features, captions, top=4)
    scores = np.exp(logits(params, config, features, captions[:, :-1]))
    each = scores / scores.sum(axis=2, keepdims=True)
    for n in range(N):
        for t in range(T):
            assert found.written[n, t] == pytest.approx(each[n, t, captions[n, t + 1]], rel=1e-12)
            likeliest = np.argsort(-each[n, t])[:4]
            np.testing.assert_array_equal(found.top_ids[n, t], likeliest)
            np.testing.assert_allclose(found.top[n, t], each[n, t, likeliest], rtol=1e-12)


def test_probabilities_of_a_caption_multiply_to_its_loss():
    params, config, features, captions = example(init_cell=True)
    found = word_probabilities(params, config, features, captions, top=V)
    loss = caption_loss(params, config, Batch(Image(features), captions)).per_caption
    assert float(-jnp.log(found.written).sum() / N) == pytest.approx(float(loss), rel=1e-12)
    np.testing.assert_allclose(found.top.sum(axis=2), 1, rtol=1e-12)


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("init_cell", [False, True])
def test_gates_make_the_states_of_the_steps(init_cell, feed):
    """c' = f c + i g and h' = o tanh(c') at every step, from the gates alone."""
    params, config, features, captions = example(init_cell=init_cell, feed_features=feed)
    gates = gate_activations(params, config, features, captions)
    assert gates.i.shape == (N, T + 1, H)
    cell = CellParams(params["Wx"], params["Wh"], params["b"])
    carry, more = start(params, config, features), 0.0
    if feed:
        carry, more = carry
    c = carry.c
    for t in range(T + 1):
        carry, h = lstm_step(cell, carry, params["W_embed"][captions[:, t]] + more)
        c = gates.f[:, t] * c + gates.i[:, t] * gates.g[:, t]
        np.testing.assert_allclose(c, carry.c, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(gates.o[:, t] * jnp.tanh(c), h, rtol=1e-11, atol=1e-14)


def test_gates_are_told_apart():
    """With a bias that opens one gate alone, that gate is open and no other."""
    params, config, features, captions = example()
    for k, name in enumerate(["i", "f", "o", "g"]):
        bias = jnp.full((4, H), -50.0).at[k].set(50.0)
        gates = gate_activations({**params, "b": bias.ravel()}, config, features, captions)
        for other, gate in gates._asdict().items():
            closed = -1 if other == "g" else 0
            np.testing.assert_allclose(gate, 1 if other == name else closed, atol=1e-9)


def test_only_an_lstm_has_these_gates_and_top_must_fit():
    params, config, features, captions = example(cell="rnn")
    with pytest.raises(ValueError, match="only the cell lstm has the gates .* this one is rnn"):
        gate_activations(params, config, features, captions)
    for top in (0, V + 1):
        with pytest.raises(ValueError, match=f"top must be at least 1 and at most {V}, got {top}"):
            word_probabilities(params, config, features, captions, top=top)
