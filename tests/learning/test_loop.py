"""The loop: what it yields, that its scan is a loop of steps, whatever the loss and optimiser."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_runs import changed

from jaxcap.data.batches import Batch, CaptionSet, draw_rows, gather
from jaxcap.data.dataset import Dataset
from jaxcap.data.image import Image
from jaxcap.learning import loop
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import Call, compile_steps, fit
from jaxcap.learning.objective import Likelihood, cut_to_fit
from jaxcap.learning.optimiser import Hyper, make_optimiser
from jaxcap.learning.step import init_state, train_step
from jaxcap.learning.validation import Validator, mean_loss
from jaxcap.nn.captioner import CaptionerConfig, caption_loss
from jaxcap.nn.regularisation import Regularisation

KEY = jax.random.key(0)


def test_calls_are_cut_at_epochs_and_log_every(tiny, info, monkeypatch):
    compiled = []
    compile_one = loop.compile_steps
    monkeypatch.setattr(
        loop,
        "compile_steps",
        lambda *a, **k: compiled.append(k["call"].count) or compile_one(*a, **k),
    )
    learner = make_learner(info.model, info.training, tiny, KEY)
    validate = Validator(info.model, tiny, info.training)
    progress = list(fit(*learner, tiny.train, info.training, validate))
    assert [p.iteration for p in progress] == [2, 4, 5, 7, 9, 10, 12, 14, 15, 17, 19, 20]
    assert [p.epoch for p in progress[:6]] == [None, None, 1, None, None, 2]
    assert [p.val is not None for p in progress] == [p.epoch is not None for p in progress]
    assert {p.num_iterations for p in progress} == {20}
    assert all(p.captions_per_second > 0 for p in progress)
    # Many epochs, and no program for each of them.
    assert sorted(compiled) == [1, 2]
    assert learner.state.params["Wx"].is_deleted()


def test_a_scan_equals_a_loop_of_steps_and_a_seed_its_own(tiny, info):
    info = changed(info, model={"dropout": 0.0})
    data, loss = CaptionSet.of(tiny.train), Likelihood(info.model)
    optimiser = make_optimiser(OptimiserConfig(clip_norm=1.0), steps_per_epoch=5)
    call = Call(count=2, num_captions=40, batch_size=8, order="shuffle")
    step = jax.jit(partial(train_step, loss=loss, optimiser=optimiser))
    found = []
    for seed in (0, 1):
        state = init_state(jax.random.key(seed), info.model, optimiser)
        lengths = (data.captions != 0).sum(axis=1)
        rows = draw_rows(jax.random.fold_in(state.key, 0), lengths, 8, state.step, 2, "shuffle")
        looped, expected = state, []
        for batch in rows:
            looped, value = step(looped, gather(data, batch))
            expected.append(float(value))
        scanned, result = compile_steps(state, data, loss, optimiser, call)(state, data)
        np.testing.assert_allclose(result.losses, expected, rtol=1e-5)
        assert int(scanned.step) == 2
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), scanned[1:3], looped[1:3])
        found.append(expected)
    assert found[0] != found[1]


def my_loss(params, batch, key, *, config):
    return 2 * caption_loss(params, config, batch, key).per_caption


def test_your_own_loss_and_any_optimiser(tiny, info):
    """A loss that is twice the likelihood, and one of Optax's optimisers that is not Adam."""
    info = changed(info, model={"dropout": 0.0}, num_epochs=2, log_every=5)
    optimiser, found = optax.lion(1e-2), []
    for loss in (Likelihood(info.model), partial(my_loss, config=info.model)):
        state = init_state(KEY, info.model, optimiser)
        progress = list(fit(state, loss, optimiser, tiny.train, info.training))
        found.append(np.concatenate([p.losses for p in progress]))
    # Lion's updates are of one size, whatever the gradient's.
    np.testing.assert_allclose(found[1], 2 * found[0], rtol=1e-4)
    assert found[0][-1] < found[0][0] - 0.5


def test_hyperparameters_are_arguments_of_the_program(tiny, info):
    """Their values change no program; None keeps a term out of it."""
    data = CaptionSet.of(tiny.train)

    def program(**values):
        hyper = Hyper(**{"learning_rate": 1e-3, "lr_decay": 0.9, **values})
        optimiser = make_optimiser(OptimiserConfig(), hyper)
        state = init_state(KEY, info.model, optimiser)
        call = Call(count=1, num_captions=40, batch_size=8)
        learner = loop.as_pytree((Likelihood(info.model, hyper.regularisation), optimiser))
        return loop._train_steps.lower(state, data, *learner, call=call).as_text()

    plain = program()
    assert program(learning_rate=0.5, lr_decay=0.1) == plain
    for name in Hyper._fields[2:]:
        assert program(**{name: 0.1}) == program(**{name: 0.2})
        assert len(program(**{name: 0.1})) > len(plain)


def test_losses_are_hashable_and_config_has_the_default_dropout(info):
    rates = Regularisation(0.1, 0.2)
    assert hash(Likelihood(info.model, rates)) == hash(Likelihood(info.model, rates))
    assert Likelihood(info.model) != Likelihood(info.model, rates)


def test_cutting_captions_to_a_width_that_holds_them_changes_nothing(info):
    config = dataclasses.replace(info.model, dropout=0.0)
    loss = Likelihood(config)
    params = init_state(KEY, config, optax.identity()).params
    plain, cut = (jax.jit(jax.value_and_grad(f)) for f in (loss, cut_to_fit(loss, (3, 5, 7, 9))))
    for longest in (2, 5, 6, 9):
        rng = np.random.default_rng(longest)
        captions = rng.integers(1, 12, (8, 9))
        captions *= np.arange(9) < rng.integers(2, longest + 1, (8, 1))
        captions[0, :longest] = 1
        image = Image(jnp.asarray(rng.normal(size=(8, 6)), jnp.float32))
        batch = Batch(image, jnp.asarray(captions, jnp.int32))
        value, grads = plain(params, batch, KEY)
        found, found_grads = cut(params, batch, KEY)
        np.testing.assert_allclose(found, value, rtol=1e-6)
        for name, grad in grads.items():
            np.testing.assert_allclose(found_grads[name], grad, atol=1e-6)


def test_mean_loss_weighs_captions_and_words_equally(tiny, info):
    """Batches of 5 leave a last one of 2, which must not count as 5."""
    data = CaptionSet.of(tiny.val)
    params = init_state(KEY, info.model, optax.identity()).params
    expected = caption_loss(
        params, info.model, Batch(data.images.at(data.image_idxs), data.captions)
    )
    measured = mean_loss(params, data, model=info.model, batch_size=5)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_nan_stops_with_its_iteration(tiny, info):
    training = dataclasses.replace(info.training, optimiser=OptimiserConfig(learning_rate=1e38))
    learner = make_learner(info.model, training, tiny, KEY)
    with pytest.raises(FloatingPointError, match=r"(loss became (nan|inf) at|by) iteration \d+"):
        list(fit(*learner, tiny.train, training))


@pytest.mark.nightly
@pytest.mark.parametrize(("num", "iterations", "most"), [(50, 100, 0.5), (500, 1000, 0.1)])
def test_overfits_captions_as_the_notebook_does(num, iterations, most):
    """Random captions of the notebook's shapes, with words as frequent as Zipf's law has it."""
    rng, V = np.random.default_rng(0), 1004
    frequency = 1 / np.arange(1, V - 3)
    captions = np.zeros((num, 17), np.int32)
    for row in captions:
        words = 4 + rng.choice(V - 4, rng.integers(7, 15), p=frequency / frequency.sum())
        row[: len(words) + 2] = [1, *words, 2]
    features = rng.standard_normal((num, 512)).astype(np.float32)
    words = ["<NULL>", "<START>", "<END>", "<UNK>", *map(str, range(V - 4))]
    data = Dataset.from_arrays(captions, np.arange(num), features, words)
    model, training = CaptionerConfig.for_data(data), TrainingConfig(num_epochs=50)
    progress = list(fit(*make_learner(model, training, data, KEY), data.train, training))
    losses = np.concatenate([p.losses for p in progress])
    assert len(losses) == iterations
    # The first loss is near that of guessing any word of about 11.5.
    assert losses[0] == pytest.approx(11.5 * np.log(V), rel=0.1)
    assert losses[-10:].max() < most


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        ({"label_smoothing": 1.0}, "`label_smoothing` must be at least 0 and below 1, got 1.0"),
        ({"val_images": -1}, "`val_images` must be at least 0, got -1"),
        ({"patience": 0}, "`patience` must be at least 1, got 0"),
        ({"best_by": "bleu"}, "`best_by` must be one of loss, cider, got bleu"),
        ({"best_by": "cider"}, "`best_by=cider` needs `val_images`"),
        ({"order": "sorted"}, "`order` must be one of replacement, shuffle, buckets, got sorted"),
        ({"objective": "bleu"}, "`objective` must be one of likelihood, cider, got bleu"),
        ({"objective": "cider", "batch_size": 12}, "`samples` that divide .*, got 5 and 12"),
        ({"objective": "cider", "samples": 1}, "2 or more `samples`"),
        ({"objective": "cider", "order": "shuffle"}, "with replacement, got `order=shuffle`"),
        ({"objective": "cider", "label_smoothing": 0.1}, "leave out `label_smoothing`"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**change)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("lr_decay", 1.5),
        ("lr_schedule", "linear"),
        ("clip_norm", 0.0),
        ("weight_decay", -1.0),
    ],
)
def test_bad_optimiser_settings_are_named(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must be .*, got {value}"):
        OptimiserConfig(**{field: value})
