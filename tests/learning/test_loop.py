"""The loop: what it yields, that its scan is a loop of steps, whatever the loss and optimiser."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_data import with_grids
from tiny_runs import changed

from jaxcap.data.batches import Batch, CaptionSet, draw_rows, gather
from jaxcap.data.dataset import Dataset
from jaxcap.data.image import Image
from jaxcap.learning import loop
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import Call, compile_steps, fit
from jaxcap.learning.objective import CutToFit, Likelihood
from jaxcap.learning.optimiser import Hyper, make_optimiser
from jaxcap.learning.step import init_state, train_step
from jaxcap.learning.validation import Validator, mean_loss
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.regularisation import Regularisation

KEY = jax.random.key(0)


def test_calls_are_cut_at_epochs_and_log_every(tiny, info, monkeypatch):
    counts, compile_one = [], loop.compile_steps

    def compile_steps(*args, call, **options):
        counts.append(call.count)
        return compile_one(*args, call=call, **options)

    monkeypatch.setattr(loop, "compile_steps", compile_steps)
    learner = make_learner(info.model, info.training, tiny, KEY)
    validate = Validator(info.model, tiny, info.training)
    progress = list(fit(*learner, tiny.train, info.training, validate))
    assert [p.iteration for p in progress] == [2, 4, 5, 7, 9, 10, 12, 14, 15, 17, 19, 20]
    assert [p.epoch for p in progress[:6]] == [None, None, 1, None, None, 2]
    assert [p.val is not None for p in progress] == [p.epoch is not None for p in progress]
    assert {p.num_iterations for p in progress} == {20}
    assert all(p.captions_per_second > 0 for p in progress)
    # Many epochs, and no program for each of them.
    assert sorted(counts) == [1, 2]
    assert learner.state.params["Wx"].is_deleted()


def test_a_scan_equals_a_loop_of_steps_and_a_seed_its_own(tiny, info):
    model, data = changed(info, model={"dropout": 0.0}).model, CaptionSet.of(tiny.train)
    optimiser = make_optimiser(OptimiserConfig(clip_norm=1.0), steps_per_epoch=5)
    call = Call(count=2, num_captions=40, batch_size=8, order="shuffle")
    step = jax.jit(partial(train_step, loss=Likelihood(model), optimiser=optimiser))
    found = []
    for seed in (0, 1):
        state = looped = init_state(jax.random.key(seed), model, optimiser)
        lengths = (data.captions != 0).sum(axis=1)
        rows, expected = jax.random.fold_in(state.key, 0), []
        for batch in draw_rows(rows, lengths, 8, state.step, 2, "shuffle"):
            looped, value = step(looped, gather(data, batch))
            expected.append(float(value))
        steps = compile_steps(state, data, Likelihood(model), optimiser, call)
        scanned, result = steps(state, data)
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


class Counted:
    """A loss that is the number of the step."""

    def __init__(self, step=-1.0):
        self.step = step

    def at(self, step):
        return Counted(step.astype(jnp.float32))

    def __call__(self, params, batch, key):
        return self.step + 0 * params["b"].sum()


def test_a_loss_may_change_with_the_step(tiny, info):
    state = init_state(KEY, info.model, optax.sgd(0.0))
    progress = fit(state, Counted(), optax.sgd(0.0), tiny.train, info.training)
    assert np.concatenate([p.losses for p in progress]).tolist() == list(range(20))


def drawn(params, batch, key):
    return jax.random.uniform(key) + 0 * params["b"].sum()


def test_every_step_has_a_key_of_its_own(tiny, info):
    """Dropout is drawn anew in each; a loss that is nothing but a draw shows it."""
    state = init_state(KEY, info.model, optax.sgd(0.0))
    progress = fit(state, drawn, optax.sgd(0.0), tiny.train, info.training)
    assert len(set(np.concatenate([p.losses for p in progress]).tolist())) == 20


def test_hyperparameters_are_arguments_of_the_program(tiny, info):
    """Their values change no program; None keeps a term out of it."""
    info = changed(info, model={"attention": "soft", "grid_dim": 5})
    data = CaptionSet.of(with_grids(tiny).train)

    def program(**values):
        hyper = Hyper(**{"learning_rate": 1e-3, "lr_decay": 0.9, **values})
        optimiser = make_optimiser(OptimiserConfig(), hyper, steps_per_epoch=5)
        state = init_state(KEY, info.model, optimiser)
        call = Call(count=1, num_captions=40, batch_size=8)
        loss = Likelihood(info.model, hyper.regularisation, sampling=hyper.sampling_rate)
        learner = loop.as_pytree((loss, optimiser))
        return loop._train_steps.lower(state, data, *learner, call=call).as_text()

    plain = program()
    assert program(learning_rate=0.5, lr_decay=0.1) == plain
    for name in Hyper._fields[2:]:
        assert program(**{name: 0.1}) == program(**{name: 0.2})
        assert len(program(**{name: 0.1})) > len(plain)
    losses = [Likelihood(info.model, Regularisation(rate)) for rate in (0.1, 0.1, None)]
    assert len(set(losses)) == 2


def test_cutting_captions_to_a_width_that_holds_them_changes_nothing(info):
    loss = Likelihood(changed(info, model={"dropout": 0.0}).model)
    params = init_state(KEY, info.model, optax.identity()).params
    plain, cut = (jax.jit(jax.value_and_grad(f)) for f in (loss, CutToFit(loss, (3, 5, 7, 9))))
    for longest in (2, 5, 6, 9):
        rng = np.random.default_rng(longest)
        captions = rng.integers(1, 12, (8, 9))
        captions *= np.arange(9) < rng.integers(2, longest + 1, (8, 1))
        captions[0, :longest] = 1
        image = Image(jnp.asarray(rng.normal(size=(8, 6)), jnp.float32))
        batch = Batch(image, jnp.asarray(captions, jnp.int32))
        expected, found = plain(params, batch, KEY), cut(params, batch, KEY)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


def test_mean_loss_weighs_captions_and_words_equally(tiny, info):
    """Batches of 5 leave a last one of 2, which must not count as 5."""
    data = CaptionSet.of(tiny.val)
    params = init_state(KEY, info.model, optax.identity()).params
    batch = Batch(data.images.at(data.image_idxs), data.captions)
    measured = mean_loss(params, data, model=info.model, batch_size=5)
    np.testing.assert_allclose(measured, caption_loss(params, info.model, batch), rtol=1e-5)


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


REWARDED = {"objective": "cider", "order": "replacement"}


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (TrainingConfig, {"batch_size": 0}, "`batch_size` must be at least 1, got 0"),
        (TrainingConfig, {"label_smoothing": 1.0}, "must be at least 0 and below 1, got 1.0"),
        (TrainingConfig, {"attention_penalty": -1.0}, "must be at least 0, got -1.0"),
        (TrainingConfig, {**REWARDED, "attention_penalty": 1.0}, "leave out `attention_penalty`"),
        (TrainingConfig, {"sampling_rate": 1.0}, "at least 0 and below 1, got 1.0"),
        (TrainingConfig, {"scheduled_sampling": "cosine"}, "must be one of linear, .*got cosine"),
        (TrainingConfig, {**REWARDED, "scheduled_sampling": "linear"}, "`scheduled_sampling`$"),
        (TrainingConfig, {"val_images": -1}, "`val_images` must be at least 0, got -1"),
        (TrainingConfig, {"patience": 0}, "`patience` must be at least 1, got 0"),
        (TrainingConfig, {"best_by": "bleu"}, "`best_by` must be one of loss, cider, got bleu"),
        (TrainingConfig, {"best_by": "cider"}, "`best_by=cider` needs `val_images`"),
        (TrainingConfig, {"order": "sorted"}, "`order` must be one of replacement, .*got sorted"),
        (TrainingConfig, {"objective": "bleu"}, "`objective` must be one of .*, got bleu"),
        (TrainingConfig, {**REWARDED, "batch_size": 12}, "`samples` that divide .*, got 5 and 12"),
        (TrainingConfig, {**REWARDED, "samples": 1}, "2 or more `samples`"),
        (TrainingConfig, {**REWARDED, "order": "shuffle"}, "replacement, got `order=shuffle`"),
        (TrainingConfig, {**REWARDED, "label_smoothing": 0.1}, "leave out `label_smoothing`"),
        (OptimiserConfig, {"learning_rate": float("nan")}, "`learning_rate` .*above 0, got nan"),
        (OptimiserConfig, {"lr_decay": 1.5}, "`lr_decay` must be .*, got 1.5"),
        (OptimiserConfig, {"lr_schedule": "linear"}, "`lr_schedule` must be one of .*got linear"),
        (OptimiserConfig, {"clip_norm": 0.0}, "`clip_norm` must be above 0, got 0.0"),
        (OptimiserConfig, {"weight_decay": -1.0}, "`weight_decay` must be at least 0, got -1.0"),
    ],
)
def test_bad_settings_are_named(config, change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)
