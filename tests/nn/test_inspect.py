"""Probabilities and gates against the logits, the loss, and the LSTM's own steps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters, word_ids

from jaxcap.data.image import Image
from jaxcap.nn.captioner import logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.inspect import gate_activations, word_probabilities
from jaxcap.nn.one_word import bind

N, T, D, V, H = 3, 4, 7, 11, 8

pytestmark = pytest.mark.usefixtures("x64")


def example(**given):
    """Parameters, shape, features, with a grid for attention, and captions."""
    changes, features = dict(given), normal(1, (N, D), jnp.float64)
    if "attention" in changes:
        features, changes["grid_dim"] = Image(features, normal(3, (N, 6, 2), jnp.float64)), 2
    config = CaptionerConfig(V, D, 5, H, **changes)
    captions = word_ids(2, (N, T + 1), 4, V).at[:, 0].set(1)
    return parameters(config, jnp.float64), config, features, captions


@pytest.mark.parametrize("cell", ["lstm", "flax.linen.GRUCell"])
def test_probabilities_are_those_of_the_logits(cell):
    params, config, features, captions = example(cell=cell)
    found = word_probabilities(params, config, features, captions, top=4)
    each = np.asarray(jax.nn.softmax(logits(params, config, features, captions[:, :-1])))
    chosen = np.take_along_axis(each, np.asarray(captions)[:, 1:, None], axis=2)[..., 0]
    likeliest = np.argsort(-each, axis=2)[..., :4]
    np.testing.assert_allclose(found.written, chosen, rtol=1e-12)
    np.testing.assert_array_equal(found.top_ids, likeliest)
    np.testing.assert_allclose(found.top, np.take_along_axis(each, likeliest, 2), rtol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [{}, {"feed_features": True}, {"attention": "soft"}, {"attention": "topdown"}],
)
def test_gates_make_the_states_of_the_steps(changes):
    """c' = f c + i g and h' = o tanh(c') at every step, from the gates alone."""
    params, config, features, captions = example(init_cell=True, **changes)
    gates = gate_activations(params, config, features, captions)
    assert gates.i.shape == (N, T + 1, H)
    assert all((gate > 0).all() and (gate < 1).all() for gate in gates[:3]) and gates.g.min() < 0

    def cell(carry):
        """The state of the LSTM that chooses words."""
        carry = carry.cell if changes else carry
        return carry.language if changes.get("attention") == "topdown" else carry

    step, carry = bind(params, config, features)
    c = cell(carry).c
    for t in range(T + 1):
        carry, _ = step(carry, captions[:, t])
        after = cell(carry)
        c = gates.f[:, t] * c + gates.i[:, t] * gates.g[:, t]
        np.testing.assert_allclose(c, after.c, rtol=1e-11, atol=1e-14)
        np.testing.assert_allclose(gates.o[:, t] * jnp.tanh(c), after.h, rtol=1e-11, atol=1e-14)


def test_only_an_lstm_has_these_gates_and_top_must_fit():
    params, config, features, captions = example(cell="rnn")
    with pytest.raises(ValueError, match="only `cell=lstm` has the gates .* this cell is rnn"):
        gate_activations(params, config, features, captions)
    for top in (0, V + 1):
        with pytest.raises(ValueError, match=f"`top` must be at least 1 and at most {V}, got"):
            word_probabilities(params, config, features, captions, top=top)
