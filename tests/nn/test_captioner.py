"""A captioner is a captioner, whichever its cell: its forms agree, and padding costs nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters, word_ids
from own_cells import gru

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import caption_loss, logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.linen import CaptionerModule
from jaxcap.nn.one_word import start, step
from jaxcap.nn.parameters import init_params, word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import Regularisation, drop

N, T, D, V, W, H = 3, 6, 7, 11, 5, 8
CONFIGS = {
    "rnn": {"cell": "rnn", "feed_features": True},
    "lstm": {},
    "lstm, all": {"init_cell": True, "feed_features": True},
    "a user's": {"cell": gru},
    "a user's path": {"cell": "own_cells:leaky"},
    "linen": {"cell": "flax.linen.GRUCell"},
    "a user's linen": {"cell": "own_cells:GatedCell", "feed_features": True},
}
pytestmark = pytest.mark.usefixtures("x64")


def config(**changes):
    return CaptionerConfig(V, D, W, H, **changes)


@pytest.fixture(params=CONFIGS)
def captioner(request):
    """Parameters and shape."""
    model = config(**CONFIGS[request.param])
    return parameters(model, jnp.float64), model


def example():
    captions = word_ids(2, (N, T + 1), 4, V)
    captions = captions.at[:, 0].set(1).at[0, 3].set(2).at[0, 4:].set(0)
    return Batch(Image(normal(1, (N, D), jnp.float64)), captions, jnp.array([1.0, -0.5, 2.0]))


def assert_close(a, b, rtol=1e-9):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-13), a, b)


# Compiled whole, which takes less time than operation by operation.
compiled_logits = jax.jit(logits, static_argnums=1)


@partial(jax.jit, static_argnames=("model", "plan"))
def gradients(params, model, batch, plan=ComputePlan()):
    """The losses, and the gradients of that of each caption."""

    def loss(params):
        found = caption_loss(params, model, batch, plan=plan)
        return found.per_caption, found

    (_, losses), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return losses, grads


def test_stepwise_is_the_whole_sequence(captioner):
    params, model = captioner
    image, captions, *_ = example()
    whole = compiled_logits(params, model, image, captions)

    @jax.jit
    def written(table):
        carry, found = start(params, model, image), []
        for t in range(T + 1):
            carry, one = step(params, model, carry, captions[:, t], table)
            found.append(one)
        return jnp.stack(found, axis=1)

    for table in [None, word_table(params)] if model.has_word_table else [None]:
        assert_close(written(table), whole, rtol=1e-12)


def test_every_parameter_learns(captioner):
    params, model = captioner
    for name, gradient in gradients(params, model, example())[1].items():
        assert np.isfinite(gradient).all() and gradient.any(), name


@pytest.mark.parametrize("captioner", ["lstm, all", "a user's linen"], indirect=True)
def test_padding_adds_nothing_and_plans_change_nothing(captioner):
    """N * T = 18 words are more than the 11 of the vocabulary, and so are looked up."""
    params, model = captioner
    batch = example()
    expected = gradients(params, model, batch)
    assert_close(gradients(params, model, batch, ComputePlan(block=4, remat=True)), expected)
    padded = batch._replace(captions=jnp.pad(batch.captions, ((0, 0), (0, 4))))
    assert_close(gradients(params, model, padded, ComputePlan(table=False)), expected)
    empty = batch._replace(captions=jnp.zeros_like(batch.captions))
    assert not any(x.any() for x in jax.tree.leaves(gradients(params, model, empty)))


@pytest.mark.parametrize("captioner", ["lstm, all", "a user's", "linen"], indirect=True)
def test_the_module_is_the_functions(captioner):
    params, model = captioner
    image, captions, *_ = example()
    module = CaptionerModule(model, param_dtype=jnp.float64)
    made = jax.eval_shape(module.init, jax.random.key(0), image, captions)["params"]
    assert {name: (p.shape, p.dtype) for name, p in made.items()} == {
        name: (p.shape, p.dtype) for name, p in params.items()
    }
    found = jax.jit(module.apply)({"params": params}, image.pooled, captions)
    assert_close(found, compiled_logits(params, model, image, captions), rtol=1e-13)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_names_and_shapes_are_the_notebooks(cell):
    shapes = config(cell=cell).parameter_shapes()
    G = 4 * H if cell == "lstm" else H
    assert shapes == {
        "W_proj": (D, H),
        "b_proj": (H,),
        "W_embed": (V, W),
        "Wx": (W, G),
        "Wh": (H, G),
        "b": (G,),
        "W_vocab": (H, V),
        "b_vocab": (V,),
    }
    more = config(init_cell=True, feed_features=True).parameter_shapes()
    assert (more["W_cell"], more["b_cell"], more["W_feed"]) == ((D, H), (H,), (D, W))


def test_initial_scales_are_the_courses():
    params = init_params(jax.random.key(0), CaptionerConfig(200, 128, 128, 256))
    found = {name: float(p.std()) for name, p in params.items()}
    expected = {"W_proj": 128**-0.5, "W_embed": 0.01, "Wx": 128**-0.5, "Wh": 256**-0.5}
    expected |= {"W_vocab": 256**-0.5, "b_proj": 0, "b": 0, "b_vocab": 0}
    assert found == pytest.approx(expected, rel=0.02)
    assert not np.allclose(params["W_proj"], params["Wx"][:, :256])


def test_the_loss_is_the_mean_of_the_captions_log_probabilities():
    model = config()
    params, batch = parameters(model, jnp.float64), example()
    scores = compiled_logits(params, model, batch.image, batch.captions)[:, :-1]
    scores = jax.nn.log_softmax(scores)
    chosen = np.asarray(jnp.take_along_axis(scores, batch.captions[:, 1:, None], axis=2))
    mask = np.asarray(batch.captions[:, 1:] != 0)
    nats = -np.where(mask, chosen[..., 0], 0).sum(axis=1)
    for weights, plain in ((1, batch._replace(weights=None)), (np.asarray(batch.weights), batch)):
        loss, total = gradients(params, model, plain)[0], (weights * nats).sum()
        assert_close(tuple(loss), (total / N, total / mask.sum()), rtol=1e-12)


@pytest.mark.parametrize("cell", ["rnn", "linen"])
def test_fed_features_are_added_to_every_word_vector(cell):
    """For a single image this is the captioner without them and with other word vectors."""
    model = config(**{**CONFIGS[cell], "feed_features": True})
    plain = config(**{**CONFIGS[cell], "feed_features": False})
    params = parameters(model, jnp.float64)
    image, captions, *_ = example()
    image, captions = image.at(jnp.array([1])), captions[1:2]
    other = {name: value for name, value in params.items() if name != "W_feed"}
    other["W_embed"] = params["W_embed"] + image.pooled @ params["W_feed"]
    assert_close(
        compiled_logits(params, model, image, captions),
        compiled_logits(other, plain, image, captions),
    )


def test_remat_keeps_less_than_half_for_long_sequences():
    model = config()
    params = jax.tree.map(lambda p: p.astype(jnp.float32), parameters(model))
    batch = Batch(Image(jnp.zeros((8, D), jnp.float32)), jnp.ones((8, 101), jnp.int32))

    def kept(remat):
        """Bytes between the forward and the backward pass, without what both plans keep."""

        def backward(params):
            plan = ComputePlan(block=8, remat=remat)
            return jax.vjp(lambda p: caption_loss(p, model, batch, plan=plan).per_caption, params)

        saved = jax.eval_shape(backward, params)[1]
        both = [params, params, jnp.zeros((800, H), jnp.float32)]
        found, expected = (
            sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree)) for tree in (saved, both)
        )
        return found - expected

    assert kept(True) < kept(False) / 2


def test_dropout_only_with_a_key_and_reproducible():
    model = config(dropout=0.5)
    params, (image, captions, *_) = parameters(model, jnp.float64), example()
    run = partial(compiled_logits, params, model, image, captions)
    plain = compiled_logits(params, config(), image, captions)
    np.testing.assert_array_equal(run(), plain)
    np.testing.assert_array_equal(run(jax.random.key(3)), run(jax.random.key(3)))
    assert not np.allclose(run(jax.random.key(3)), run(jax.random.key(4)))
    assert not np.allclose(run(jax.random.key(3)), plain)


def test_dropout_reaches_features_words_and_hidden_states(monkeypatch):
    dropped = []

    def spy(key, x, rate):
        assert key is not None and rate == 0.5
        dropped.append(x.shape)
        return x

    monkeypatch.setattr("jaxcap.nn.captioner.drop", spy)
    model = config(feed_features=True)
    params, rates = parameters(model, jnp.float64), Regularisation(0.5)
    loss = partial(caption_loss, params, model, regularisation=rates)
    jax.eval_shape(loss, example(), jax.random.key(1))
    assert sorted(dropped) == sorted([(N, D), (N, D), (T, N, W), (T, N, H)])
    x = drop(jax.random.key(0), jnp.ones((20_000,)), 0.25)
    assert float((x == 0).mean()) == pytest.approx(0.25, abs=0.02)
    assert float(x.mean()) == pytest.approx(1, abs=0.02)


def test_a_shape_that_fits_data():
    class Data:
        vocabulary, feature_dim = range(V), D

    assert CaptionerConfig.for_data(Data, hidden_dim=H, wordvec_dim=W) == config()
