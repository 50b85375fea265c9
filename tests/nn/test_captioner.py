"""The captioner: shapes, scales, equivalence of its three forms, what padding and dropout do."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import (
    Captioner,
    CaptionerConfig,
    _hidden_states,
    caption_loss,
    init_params,
    logits,
    start,
    step,
)
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import drop

N, T, D, V = 3, 6, 7, 11


def config(cell="lstm", **changes):
    sizes = {"vocab_size": V, "feature_dim": D, "wordvec_dim": 5, "hidden_dim": 8}
    return CaptionerConfig(cell=cell, **{**sizes, **changes})


def example(dtype=jnp.float32):
    captions = word_ids(2, (N, T + 1), 4, V)
    captions = captions.at[:, 0].set(1).at[0, 3].set(2).at[0, 4:].set(0)
    return normal(1, (N, D), dtype), captions


# Compiled whole, which takes less time than operation by operation.
compiled_logits = jax.jit(logits, static_argnums=1)


def value_and_grad(loss, *args):
    return jax.jit(jax.value_and_grad(loss))(*args)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_names_and_shapes_are_the_notebooks(cell):
    params = init_params(jax.random.key(0), config(cell))
    G = 32 if cell == "lstm" else 8
    assert {name: p.shape for name, p in params.items()} == {
        "W_proj": (D, 8),
        "b_proj": (8,),
        "W_embed": (V, 5),
        "Wx": (5, G),
        "Wh": (8, G),
        "b": (G,),
        "W_vocab": (8, V),
        "b_vocab": (V,),
    }


def test_initial_scales_are_the_courses():
    large = CaptionerConfig(vocab_size=1004, feature_dim=512)
    params = init_params(jax.random.key(0), large)
    deviations = {name: float(p.std()) for name, p in params.items()}
    expected = {"W_proj": 512**-0.5, "W_embed": 0.01, "Wx": 256**-0.5, "Wh": 512**-0.5}
    for name, deviation in {**expected, "W_vocab": 512**-0.5}.items():
        assert deviations[name] == pytest.approx(deviation, rel=0.01), name
    for name in ("b_proj", "b", "b_vocab"):
        assert not params[name].any()


def test_cell_state_from_the_features():
    model = config(init_cell=True)
    params = init_params(jax.random.key(0), model)
    assert params["W_cell"].shape == (D, 8) and params["b_cell"].shape == (8,)
    assert not params["b_cell"].any()
    features, captions = example()
    _, grads = value_and_grad(
        lambda p: caption_loss(p, model, Batch(Image(features), captions)).per_caption, params
    )
    assert grads["W_cell"].any() and grads["b_cell"].any()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "cell", ["rnn", "lstm", pytest.param("flax.linen.GRUCell", marks=pytest.mark.slow)]
)
def test_fed_features_are_added_to_every_word_vector(cell):
    """For a single image this is the captioner without them and with other word vectors."""
    model, plain = config(cell, feed_features=True), config(cell)
    params = init_params(jax.random.key(0), model, jnp.float64)
    assert params["W_feed"].shape == (D, 5)
    features, captions = example(jnp.float64)
    found = compiled_logits(params, model, features, captions)
    for n in range(N):
        other = {name: value for name, value in params.items() if name != "W_feed"}
        other["W_embed"] = params["W_embed"] + features[n : n + 1] @ params["W_feed"]
        expected = compiled_logits(other, plain, features[n : n + 1], captions[n : n + 1])
        np.testing.assert_allclose(found[n], expected[0], rtol=1e-12)
    _, grads = value_and_grad(
        lambda p: caption_loss(p, model, Batch(Image(features), captions)).per_caption, params
    )
    assert np.abs(grads["W_feed"]).max() > 0


def test_keys_differ_by_parameter_and_seed():
    a, b = (init_params(jax.random.key(seed), config()) for seed in (0, 1))
    assert not np.allclose(a["Wx"], b["Wx"])
    assert not np.allclose(a["Wx"][:, :8], a["Wh"][:5, :8])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize(("cell", "init_cell"), [("rnn", False), ("lstm", False), ("lstm", True)])
def test_stepwise_equals_whole_sequence(cell, init_cell, feed):
    model = config(cell, init_cell=init_cell, feed_features=feed)
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)
    whole = compiled_logits(params, model, features, captions)
    carry = start(params, model, features)
    for t in range(T + 1):
        carry, one = step(params, model, carry, captions[:, t])
        # Logits are sums, of which one may cancel to far less than the rounding of its terms.
        np.testing.assert_allclose(one, whole[:, t], rtol=1e-12, atol=1e-16)


@pytest.mark.usefixtures("x64")
def test_module_equals_functions():
    model = config()
    features, captions = example(jnp.float64)
    module = Captioner(model, param_dtype=jnp.float64)
    variables = module.init(jax.random.key(0), features, captions)
    shapes = {name: p.shape for name, p in variables["params"].items()}
    assert shapes == model.parameter_shapes()
    np.testing.assert_array_equal(
        module.apply(variables, features, captions),
        logits(variables["params"], model, features, captions),
    )


@pytest.mark.usefixtures("x64")
def test_loss_is_the_mean_of_the_captions_log_probabilities():
    model = config()
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)
    log_probs = jax.nn.log_softmax(compiled_logits(params, model, features, captions[:, :-1]))
    nats, words = 0.0, 0
    for n in range(N):
        for t in range(T):
            if captions[n, t + 1] != 0:
                nats -= float(log_probs[n, t, captions[n, t + 1]])
                words += 1
    loss = caption_loss(params, model, Batch(Image(features), captions))
    assert float(loss.per_caption) == pytest.approx(nats / N, rel=1e-12)
    assert float(loss.per_word) == pytest.approx(nats / words, rel=1e-12)


@pytest.mark.usefixtures("x64")
def test_more_padding_changes_nothing():
    model = config()
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)
    padded = jnp.pad(captions, ((0, 0), (0, 4)))

    def loss(params, captions):
        return caption_loss(params, model, Batch(Image(features), captions)).per_caption

    value, grads = value_and_grad(loss, params, captions)
    value_padded, grads_padded = value_and_grad(loss, params, padded)
    assert float(value) == pytest.approx(float(value_padded), rel=1e-12)
    for name in grads:
        np.testing.assert_allclose(grads[name], grads_padded[name], rtol=1e-9, atol=1e-14)


def test_captions_without_words_give_zero_and_not_nan():
    model = config()
    params = init_params(jax.random.key(0), model)
    features, captions = example()
    empty = jnp.zeros_like(captions)
    loss, grads = value_and_grad(
        lambda params: sum(caption_loss(params, model, Batch(Image(features), empty))), params
    )
    assert float(loss) == 0
    assert not any(g.any() for g in jax.tree.leaves(grads))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("cell", "feed"),
    [
        ("rnn", False),
        ("lstm", True),
        *(pytest.param(*rest, marks=pytest.mark.slow) for rest in [("rnn", True), ("lstm", False)]),
    ],
)
def test_words_multiplied_once_and_looked_up_give_the_same(cell, feed):
    """N * T = 18 words are more than 11, and fewer than 30, of which the rest is never said."""
    model, larger = (
        config(cell, feed_features=feed),
        config(cell, feed_features=feed, vocab_size=30),
    )
    params = init_params(jax.random.key(0), larger, jnp.float64)
    features, captions = example(jnp.float64)

    def word_scores(params, model):
        return compiled_logits(params, model, features, captions[:, :-1])[..., :V]

    small = {name: p[:V] if name == "W_embed" else p[..., :V] for name, p in params.items()}
    small = {**params, **{name: small[name] for name in ("W_embed", "W_vocab", "b_vocab")}}
    np.testing.assert_allclose(
        word_scores(small, model), word_scores(params, larger), rtol=1e-12, atol=1e-14
    )
    _, grads = value_and_grad(lambda p: (word_scores(p, model) ** 2).sum(), small)
    _, expected = value_and_grad(lambda p: (word_scores(p, larger) ** 2).sum(), params)
    for name in ("W_proj", "Wx", "Wh", "b", *(["W_feed"] if feed else [])):
        np.testing.assert_allclose(grads[name], expected[name], rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(grads["W_embed"], expected["W_embed"][:V], rtol=1e-9, atol=1e-13)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("cell", "vocab_size"),
    [
        ("rnn", V),
        ("lstm", 30),
        ("flax.linen.GRUCell", V),
        *(
            pytest.param(*rest, marks=pytest.mark.slow)
            for rest in [("rnn", 30), ("lstm", V), ("flax.linen.GRUCell", 30)]
        ),
    ],
)
def test_remat_gives_the_same_from_less(cell, vocab_size):
    model = config(cell, vocab_size=vocab_size, feed_features=True)
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)

    def loss(params, remat):
        loss = caption_loss(
            params,
            model,
            Batch(Image(features), captions),
            jax.random.key(5),
            plan=ComputePlan(remat=remat),
        )
        return loss.per_caption

    value, grads = value_and_grad(partial(loss, remat=False), params)
    again, grads_again = value_and_grad(partial(loss, remat=True), params)
    assert float(again) == pytest.approx(float(value), rel=1e-13)
    for name in grads:
        np.testing.assert_allclose(grads_again[name], grads[name], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_remat_keeps_less_than_half_for_long_sequences(cell):
    model = config(cell, hidden_dim=64)
    shapes = jax.eval_shape(partial(init_params, config=model), jax.random.key(0))
    features = jax.ShapeDtypeStruct((8, D), jnp.float32)
    captions = jax.ShapeDtypeStruct((8, 101), jnp.int32)

    def kept(remat):
        """Bytes between the forward and the backward pass, without the hidden states."""

        def backward(params, features, captions):
            def states(params):
                return _hidden_states(
                    params, model, Image(features), captions.T, plan=ComputePlan(remat=remat)
                )

            return jax.vjp(states, params)

        out, saved = jax.eval_shape(backward, shapes, features, captions)
        sizes = [x.size * x.dtype.itemsize for x in jax.tree.leaves(saved)]
        return sum(sizes) - sum(p.size * 4 for p in jax.tree.leaves(shapes))

    assert kept(True) < kept(False) / 2


def test_dropout_only_with_a_key_and_reproducible():
    model = config(dropout=0.5)
    params = init_params(jax.random.key(0), model)
    features, captions = example()
    run = partial(compiled_logits, params, model, features, captions)
    plain = compiled_logits(params, config(), features, captions)
    np.testing.assert_array_equal(run(), plain)
    np.testing.assert_array_equal(run(jax.random.key(3)), run(jax.random.key(3)))
    assert not np.allclose(run(jax.random.key(3)), run(jax.random.key(4)))
    assert not np.allclose(run(jax.random.key(3)), plain)


def test_dropout_drops_its_share_and_keeps_the_mean():
    x = jnp.ones((20_000,))
    dropped = drop(jax.random.key(0), x, 0.25)
    assert float((dropped == 0).mean()) == pytest.approx(0.25, abs=0.02)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("feed", [False, True])
def test_dropout_reaches_features_words_and_hidden_states(monkeypatch, feed):
    dropped = []

    def spy(key, x, rate):
        assert key is not None and rate == 0.5
        dropped.append(x.shape)
        return x

    monkeypatch.setattr("jaxcap.nn.captioner.drop", spy)
    model = config(dropout=0.5, feed_features=feed)
    features, captions = example()
    logits(init_params(jax.random.key(0), model), model, features, captions, jax.random.key(1))
    fed = [(N, D)] if feed else []
    assert sorted(dropped) == sorted([(N, D), (T + 1, N, 5), *fed, (T + 1, N, 8)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_dim": 0}, "hidden_dim must be at least 1, got 0"),
        ({"cell": "rnn", "init_cell": True}, "init_cell needs the cell lstm, got rnn"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
    ],
)
def test_bad_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)
