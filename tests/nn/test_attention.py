"""Attention: gradients by hand, and captioners that look where they must."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters
from own_cells import leaky

from jaxcap.data.batches import Batch
from jaxcap.data.dataset import Dataset
from jaxcap.data.image import Image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import Captioner, decode_images
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import fit
from jaxcap.learning.run import open_run
from jaxcap.nn.attention import (
    AttendingWeights,
    AttentionParams,
    Memory,
    attend,
    scan_attending,
    scan_attending_plain,
)
from jaxcap.nn.captioner import caption_loss, logits
from jaxcap.nn.cells import LSTM, RNN
from jaxcap.nn.config import ATTENTIONS, CaptionerConfig
from jaxcap.nn.gradcheck import gradient_errors
from jaxcap.nn.inspect import attention_maps
from jaxcap.nn.one_word import bind
from jaxcap.nn.parameters import word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import Regularisation
from jaxcap.nn.top_down import TopDownCarry, TopDownWeights, scan_top_down, scan_top_down_plain
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.trained import load_captioner

N, T, L, A, C, H = 3, 4, 5, 6, 7, 4
CELLS = {"lstm": LSTM, "rnn": RNN, "leaky": leaky}
SCANS = {
    "soft": (scan_attending, scan_attending_plain),
    "topdown": (scan_top_down, scan_top_down_plain),
}
# Grids of 5, 3 and 1 places, and captions of 4, 2 and 3 words.
MASK = jnp.arange(L)[None] < jnp.array([[5], [3], [1]])
COUNTS = jnp.arange(T)[:, None] < jnp.array([[4, 2, 3]])


def draws(seed, *shapes):
    return [normal(100 * seed + k, shape) for k, shape in enumerate(shapes)]


def example(kind, cell):
    G = cell.gates * H
    xWx, keys, values, h1, h2 = draws(0, (T, N, G), (N, L, A), (N, L, C), (N, H), (N, H))
    if kind == "soft":
        Wh, *attention = draws(1, (H, G), (H, A), (A,), (H, 1), (1,), (C, G))
        weights, carry = AttendingWeights(Wh, AttentionParams(*attention)), cell.start(h1)
    else:
        shapes = [(H, G), (H, G), (H, A), (A,), (C, G), (H, G), (H, G), (G,)]
        weights = TopDownWeights(*draws(1, *shapes))
        carry = TopDownCarry(cell.start(h1), cell.start(h2))
    return weights, carry, xWx, Memory(keys, values)


# Without a mask every place counts, which the masked grid of five places is too.
@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize(("name", "masked"), [("lstm", True), ("rnn", False), ("leaky", True)])
def test_the_gradient_is_that_of_differences_and_of_autodiff(x64, monkeypatch, kind, name, masked):
    if name == "rnn":  # An example at a time.
        monkeypatch.setattr("jaxcap.nn.places._CACHED", L * A)
    cell, (by_hand, plain) = CELLS[name], SCANS[kind]
    # Small enough that no gate of the LSTM is nearly closed.
    args = jax.tree.map(lambda x: x.astype(jnp.float64) / 2, example(kind, cell))

    def all_of(scan, weights, carry, xWx, memory):
        memory = memory._replace(mask=MASK if masked else None)
        found = scan(cell, weights, carry, xWx, memory, COUNTS if masked else None)
        return found.h, found.seen, *jax.tree.leaves(found.carry)

    @partial(jax.jit, static_argnums=0)
    def both(scan, *args):
        found, pull = jax.vjp(partial(all_of, scan), *args)
        return found, pull(cotangents)

    found = jax.eval_shape(partial(all_of, plain), *args)
    cotangents = tuple(x.astype(jnp.float64) for x in draws(2, *(x.shape for x in found)))
    for one, other in zip(
        jax.tree.leaves(both(by_hand, *args)), jax.tree.leaves(both(plain, *args)), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)

    def weighted(*args):
        found = all_of(by_hand, *args)
        return sum((x * c).sum() for x, c in zip(found, cotangents, strict=True))

    errors = gradient_errors(weighted, args, jnp.ones(()))
    # Differences leave errors of 1e-10, and some gradients here are below 1e-4.
    assert max(jax.tree.leaves(errors)) < 1e-5


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "masked"])
@pytest.mark.parametrize("numbers", [1, 2 * L * A], ids=["one at a time", "two at a time"])
def test_rows_that_share_images_attend_as_rows_with_their_own(monkeypatch, mask, numbers):
    monkeypatch.setattr("jaxcap.nn.places._CACHED", numbers)
    shapes = [(H, A), (A,), (H, 1), (1,), (C, 4), (4, H), (N, L, A), (N, L, C)]
    *weights, h, keys, values = draws(3, *shapes)
    image = jnp.array([2, 0, 0, 1])
    shared = attend(AttentionParams(*weights), h, keys, values, mask, image)
    own = Memory(keys, values, mask).at(image)
    for one, other in zip(shared, attend(AttentionParams(*weights), h, *own), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def captioner(kind="soft", **changes):
    settings = dict(vocab_size=9, feature_dim=3, wordvec_dim=4, hidden_dim=H, attention=kind)
    config = CaptionerConfig(**{**settings, "grid_dim": C, **changes})
    pooled, grid = draws(2, (N, 3), (N, L, C))
    return parameters(config), config, Image(pooled, grid, MASK)


CAPTIONS = jnp.array([[1, 4, 5, 6, 2], [1, 7, 2, 0, 0], [1, 8, 4, 2, 0]])


@pytest.mark.parametrize("kind", ATTENTIONS)
@pytest.mark.parametrize("changes", [{"init_cell": True}, {"cell": "rnn", "feed_features": True}])
def test_words_one_by_one_have_the_logits_of_whole_captions(kind, changes):
    params, config, image = captioner(kind, **changes)
    whole = logits(params, config, image, CAPTIONS)
    step, carry = bind(params, config, image, word_table(params) if config.has_word_table else None)
    for t in range(CAPTIONS.shape[1]):
        carry, found = step(carry, CAPTIONS[:, t])
        np.testing.assert_allclose(found, whole[:, t], rtol=1e-5, atol=1e-5)
    # What an image lacks by its mask does not matter, and what it has does.
    other = image._replace(grid=jnp.where(MASK[..., None], image.grid, 1e3))
    np.testing.assert_array_equal(logits(params, config, other, CAPTIONS), whole)
    other = image._replace(grid=image.grid.at[:, 0].add(1))
    assert (jnp.abs(logits(params, config, other, CAPTIONS) - whole).max((1, 2)) > 1e-3).all()
    maps = attention_maps(params, config, image, CAPTIONS)
    np.testing.assert_allclose(maps.sum(2), 1, rtol=1e-6)
    assert (maps[:, :, 1:].sum(2) > 0)[:2].all() and (jnp.where(MASK[:, None], 0, maps) == 0).all()
    # A word moves where top-down attention looks right after it, and soft attention one word later.
    other = attention_maps(params, config, image, CAPTIONS.at[:2, 1].set(3))
    moved = 1 if kind == "topdown" else 2
    np.testing.assert_array_equal(other[:2, :moved], maps[:2, :moved])
    assert (jnp.abs(other - maps)[:2, moved].max(1) > 1e-4).all()


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_the_loss_is_the_same_however_it_is_computed_and_penalises_what_is_not_seen(kind):
    params, config, image = captioner(kind)
    batch = Batch(image, CAPTIONS)
    plain = jax.jit(partial(caption_loss, config=config, batch=batch))(params)

    @partial(jax.jit, static_argnums=1)
    def penalised(params, plan):
        def loss(params):
            found = caption_loss(
                params, config, batch, regularisation=Regularisation(attention=0.5), plan=plan
            )
            return found.per_caption, found.per_word

        return jax.value_and_grad(loss, has_aux=True)(params)

    words = (CAPTIONS[:, 1:] != 0)[..., None]
    seen = jnp.where(words, attention_maps(params, config, image, CAPTIONS[:, :-1]), 0).sum(1)
    penalty = jnp.where(MASK, jnp.square(1 - seen), 0).sum(1).mean()
    expected = (plain.per_caption + 0.5 * penalty, plain.per_word), None
    for plan in (ComputePlan(), ComputePlan(remat=True), ComputePlan(block=4, table=False)):
        value, gradient = penalised(params, plan)
        np.testing.assert_allclose(value, expected[0], rtol=1e-5)
        for name, found in gradient.items() if expected[1] else ():
            np.testing.assert_allclose(found, expected[1][name], rtol=1e-4, atol=1e-6)
        expected = expected[0], gradient


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_captions_that_share_an_image_have_the_loss_of_each_with_its_own(x64, kind):
    params, config, image = captioner(kind, init_cell=True)
    rows = jnp.array([2, 0, 2])
    regularisation = Regularisation(dropout=0.5, attention=0.7)

    @jax.jit
    @jax.value_and_grad
    def loss(params, batch):
        key = jax.random.key(1)
        return caption_loss(params, config, batch, key, regularisation=regularisation).per_caption

    shared = loss(params, Batch(image, CAPTIONS, rows=rows))
    own = loss(params, Batch(image.at(rows), CAPTIONS))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), shared, own)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_beams_and_ensembles_look_at_their_own_image(kind):
    params, config, image = captioner(kind)
    words = Vocabulary.build([f"w{i}" for i in range(5)])
    one = Captioner(params, config, words)
    rules = Rules.of(words, max_length=6)
    for strategy in (Greedy(), Beam(3)):
        whole = decode_images((one,), image, strategy, rules=rules)
        both = decode_images((one, one), image, strategy, rules=rules)
        for row in range(N):
            alone = decode_images((one,), image.at(jnp.array([row])), strategy, rules=rules)
            np.testing.assert_array_equal(alone.ids[0], whole.ids[row])
            np.testing.assert_array_equal(both.ids[row], whole.ids[row])
            np.testing.assert_allclose(both.log_probs[row], whole.log_probs[row], rtol=1e-5)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_a_trained_captioner_looks_at_what_it_names(kind):
    """Each of two words of a caption is at a place of its own, and the features say nothing."""
    words = Vocabulary.build([f"{kind}{i}" for kind in "ab" for i in range(4)])
    rng = np.random.default_rng(0)
    said, places = rng.integers(0, 4, (64, 2)), np.argsort(rng.random((64, 6)))[:, :2]
    grid = np.zeros((64, 6, 8), np.float32)
    for k in range(2):
        grid[np.arange(64), places[:, k], 4 * k + said[:, k]] = 3
    captions = np.concatenate([np.ones((64, 1), int), said + [4, 8], np.full((64, 1), 2)], axis=1)
    image = Image(jnp.zeros((64, 1)), jnp.asarray(grid, jnp.float16))
    data = Dataset.from_arrays(captions, np.arange(64), image, words)
    model = CaptionerConfig.for_data(data, wordvec_dim=8, hidden_dim=32, attention=kind)
    assert model.grid_dim == data.grid_dim == 8
    training = TrainingConfig(batch_size=32, num_epochs=120, order="shuffle", log_every=200)
    # Optax raises floats to integer powers.
    with jax.numpy_dtype_promotion("standard"):
        learner = make_learner(model, training, data, jax.random.key(0))
        for progress in fit(*learner, data.train, training):
            params = progress.state.params
    found = Captioner(params, model, words).hypotheses(data.train.images, Greedy())
    assert (np.asarray(found.ids)[:, 0, :2] == captions[:, 1:3]).mean() > 0.95
    maps = attention_maps(params, model, data.train.images, jnp.asarray(captions[:, :2]))
    assert (np.asarray(maps).argmax(2) == places).mean() > 0.8


@pytest.mark.parametrize(("kind", "cell"), [("soft", "lstm"), ("topdown", "own_cells:leaky")])
def test_a_run_keeps_a_captioner_that_attends(tmp_path, kind, cell):
    params, _, image = captioner(kind, cell=cell)
    words = Vocabulary.build([f"w{i}" for i in range(5)])
    data = Dataset.from_arrays(CAPTIONS, jnp.arange(N), image, words)
    model = CaptionerConfig.for_data(data, wordvec_dim=4, hidden_dim=H, attention=kind, cell=cell)
    training = TrainingConfig(batch_size=3, num_epochs=2, order="shuffle")
    with jax.numpy_dtype_promotion("standard"):
        with open_run(tmp_path / "a", data, model, training, seed=0) as run:
            run.train()
    loaded = load_captioner(tmp_path / "a", best=False)
    loaded.export(tmp_path / "b", "float32")
    for found in (loaded, load_captioner(tmp_path / "b", best=False)):
        assert found.captioner.config == model and set(found.captioner.params) == set(params)
        jax.tree.map(np.testing.assert_array_equal, found.captioner.params, run.params)
    assert len(loaded.captioner.decode(image)) == N


def test_what_does_not_fit_is_refused():
    params, config, image = captioner()
    with pytest.raises(ValueError, match="`attention=soft` needs images with a grid"):
        logits(params, config, image._replace(grid=None), CAPTIONS)
    with pytest.raises(ValueError, match="has no `attention`, so it has no maps"):
        attention_maps(params, CaptionerConfig(9, 3), image, CAPTIONS)
    for changes, message in (
        ({"attention": "hard"}, "`attention` is 'hard', expected soft, topdown or None"),
        ({"grid_dim": 0}, "`attention` needs images with a grid: give `grid_dim`"),
        ({"cell": "flax.linen:GRUCell"}, "`attention` needs a `Cell`"),
    ):
        with pytest.raises(ValueError, match=message):
            captioner(**changes)
    captions, rows, words = np.array([[1, 3, 2]]), np.array([0]), "<NULL> <START> <END> cat"
    pooled = np.ones((1, 2))
    for grid, mask, message in (
        (np.ones((2, 3, 4)), None, r"`features`.grid has shape \(2, 3, 4\), expected \(1, L, C\)"),
        (np.ones((1, 3, 4), int), None, "`features`.grid has type int64, expected floats"),
        (np.full((1, 3, 4), np.nan), None, "`features`.grid holds values that are NaN"),
        (np.ones((1, 3, 4)), np.ones((1, 3)), "grid_mask has shape .* float64, expected .* bool"),
        (np.ones((1, 3, 4)), np.zeros((1, 3), bool), "grid_mask row 0 has no place"),
    ):
        with pytest.raises(ValueError, match=message):
            Dataset.from_arrays(captions, rows, Image(pooled, grid, mask), words)
