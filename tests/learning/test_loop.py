"""The loop: what it yields, that it repeats and continues exactly, that it learns."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.data.batches import Batch, CaptionSet, gather
from jaxcap.data.dataset import Split
from jaxcap.data.image import Image, as_image
from jaxcap.learning.loop import (
    TrainingConfig,
    fit,
    init_state,
    mean_loss,
    train_step,
    train_steps,
)
from jaxcap.learning.optimiser import OptimiserConfig, make_optimiser
from jaxcap.nn.captioner import CaptionerConfig, caption_loss
from jaxcap.nn.plan import ComputePlan

# Compiled, as it is within `train_steps`.
train_step = jax.jit(train_step, static_argnames=("model", "optimiser", "plan"))

MODEL = CaptionerConfig(vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16)
TRAINING = TrainingConfig(batch_size=8, num_epochs=3, log_every=2, val_captions=7)
OPTIMISER = make_optimiser(TRAINING.optimiser, 5, 3)


def run(tiny, model=MODEL, training=TRAINING, state=None, seed=0):
    state = init_state(jax.random.key(seed), model, training) if state is None else state
    return list(fit(state, model, training, tiny.train, tiny.val))


def losses(progress):
    return np.concatenate([p.losses for p in progress])


def test_calls_are_cut_at_epochs_and_log_every(tiny):
    progress = run(tiny)
    assert [p.iteration for p in progress] == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    assert [p.epoch for p in progress] == [None, None, 1, None, None, 2, None, None, 3]
    assert [p.val is not None for p in progress] == [p.epoch is not None for p in progress]
    assert {p.num_iterations for p in progress} == {15}
    assert all(p.captions_per_second > 0 for p in progress)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("replacement", marks=pytest.mark.slow),
        "shuffle",
        pytest.param("buckets", marks=pytest.mark.slow),
    ],
)
def test_same_seed_same_result(tiny, order):
    training = dataclasses.replace(TRAINING, order=order)
    model = dataclasses.replace(MODEL, dropout=0.3)
    first, second = run(tiny, model, training), run(tiny, model, training)
    np.testing.assert_array_equal(losses(first), losses(second))
    jax.tree.map(np.testing.assert_array_equal, first[-1].state.params, second[-1].state.params)
    assert not np.array_equal(losses(first), losses(run(tiny, model, training, seed=1)))


@pytest.mark.parametrize(
    "order",
    [
        "replacement",
        pytest.param("shuffle", marks=pytest.mark.slow),
        pytest.param("buckets", marks=pytest.mark.slow),
    ],
)
def test_going_on_from_any_state_gives_the_same_bits(tiny, order):
    training = dataclasses.replace(TRAINING, order=order)
    model = dataclasses.replace(MODEL, dropout=0.3)
    whole = run(tiny, model, training)
    begun = []
    for progress in fit(
        init_state(jax.random.key(0), model, training), model, training, tiny.train, tiny.val
    ):
        begun.append(progress)
        if progress.iteration == 7:
            break
    rest = run(tiny, model, training, state=begun[-1].state)
    np.testing.assert_array_equal(losses(whole), losses([*begun, *rest]))
    jax.tree.map(np.testing.assert_array_equal, whole[-1].state.params, rest[-1].state.params)


def test_scan_equals_a_loop_of_steps(tiny):
    """The jitted call draws, gathers and updates as single steps on its batches do."""
    data = CaptionSet.of(tiny.train)
    state = init_state(jax.random.key(0), MODEL, TRAINING)
    rows = np.asarray(
        [
            jax.random.randint(
                jax.random.fold_in(jax.random.fold_in(state.key, 0), t), (8,), 0, 40, jnp.int32
            )
            for t in range(4)
        ]
    )
    looped, expected = state, []
    for batch in rows:
        looped, loss = train_step(looped, gather(data, jnp.asarray(batch)), MODEL, OPTIMISER)
        expected.append(float(loss))
    scanned, result = train_steps(state, data, model=MODEL, training=TRAINING, count=4)
    np.testing.assert_allclose(result.losses, expected, rtol=1e-5)
    assert int(scanned.step) == 4
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), scanned.params, looped.params
    )


@pytest.mark.parametrize("longest", [2, 5, 6, 9])
def test_cutting_captions_to_a_width_that_holds_them_changes_nothing(longest):
    state = init_state(jax.random.key(0), MODEL, TRAINING)
    rng = np.random.default_rng(longest)
    captions = rng.integers(1, 12, (8, 9))
    captions *= np.arange(9) < rng.integers(2, longest + 1, (8, 1))
    captions[0, :longest] = 1
    features = jnp.asarray(rng.normal(size=(8, 6)), jnp.float32)
    batch = Batch(Image(features), jnp.asarray(captions, jnp.int32))
    whole, loss = train_step(state, batch, MODEL, OPTIMISER)
    cut, cut_loss = train_step(
        state, batch, MODEL, OPTIMISER, plan=ComputePlan(widths=(3, 5, 7, 9))
    )
    np.testing.assert_allclose(cut_loss, loss, rtol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        cut.opt_state[0].mu,
        whole.opt_state[0].mu,
    )


def test_state_is_donated(tiny):
    state = init_state(jax.random.key(0), MODEL, TRAINING)
    train_steps(state, CaptionSet.of(tiny.train), model=MODEL, training=TRAINING, count=1)
    assert state.params["Wx"].is_deleted()


def test_mean_loss_weighs_captions_and_words_equally(tiny):
    """Batches of 5 leave a last one of 2, which must not count as 5."""
    data = CaptionSet.of(tiny.val)
    params = init_state(jax.random.key(0), MODEL, TRAINING).params
    batch = Batch(data.images.at(data.image_idxs), data.captions)
    expected = caption_loss(params, MODEL, batch)
    measured = mean_loss(params, data, model=MODEL, batch_size=5)
    np.testing.assert_allclose(measured.per_caption, expected.per_caption, rtol=1e-5)
    np.testing.assert_allclose(measured.per_word, expected.per_word, rtol=1e-5)


def test_nan_stops_with_its_iteration(tiny):
    training = dataclasses.replace(TRAINING, optimiser=OptimiserConfig(learning_rate=1e38))
    with pytest.raises(FloatingPointError, match=r"(loss became (nan|inf) at|by) iteration \d+"):
        run(tiny, training=training)


def course_like(num, seed=0, vocab_size=1004, length=17, feature_dim=512):
    """Random captions of the notebook's shapes, one for each of `num` images.

    Words are as frequent as Zipf's law has it, which COCO's roughly follow.
    """
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, vocab_size - 3)
    frequency /= frequency.sum()
    captions = np.zeros((num, length), np.int32)
    for row in captions:
        words = 4 + rng.choice(vocab_size - 4, rng.integers(7, 15), p=frequency)
        row[: len(words) + 2] = [1, *words, 2]
    features = rng.standard_normal((num, feature_dim)).astype(np.float32)
    idxs = np.arange(num, dtype=np.int32)
    return Split(jnp.asarray(captions), jnp.asarray(idxs), as_image(features), np.zeros(0, "S63"))


def overfit(num, num_iterations):
    """The notebook's training of its LSTM on `num` captions; the losses."""
    model = CaptionerConfig(vocab_size=1004, feature_dim=512)
    training = TrainingConfig(num_epochs=50)
    progress = fit(
        init_state(jax.random.key(0), model, training), model, training, course_like(num)
    )
    history = losses(list(progress))
    assert len(history) == num_iterations
    return history


@pytest.mark.slow
def test_overfits_50_captions_as_the_notebook_does():
    history = overfit(50, 100)
    # The first loss is near that of guessing any word: log(1004) for each of about 11.5 words.
    assert history[0] == pytest.approx(11.5 * np.log(1004), rel=0.1)
    assert history[-10:].max() < 0.5


@pytest.mark.slow
def test_overfits_500_captions_as_the_notebook_does():
    assert overfit(500, 1000)[-10:].max() < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"val_images": -1}, "val_images must be at least 0, got -1"),
        ({"patience": 0}, "patience must be at least 1, got 0"),
        ({"best_by": "bleu"}, "best_by must be one of loss, cider, got bleu"),
        ({"best_by": "cider"}, "best_by cider needs val_images"),
        ({"order": "sorted"}, "order must be one of replacement, shuffle, buckets, got sorted"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**change)


def test_two_lengths_of_calls_at_most(tiny, monkeypatch):
    """Going on through many epochs compiles no program for each."""
    compiled = []
    lower = train_steps.lower
    monkeypatch.setattr(
        "jaxcap.learning.loop.train_steps.lower",
        lambda *args, **kwargs: compiled.append(kwargs["count"]) or lower(*args, **kwargs),
        raising=False,
    )
    list(
        itertools.islice(
            fit(init_state(jax.random.key(0), MODEL, TRAINING), MODEL, TRAINING, tiny.train), 9
        )
    )
    assert sorted(compiled) == [1, 2]
