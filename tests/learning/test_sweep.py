"""Sweeps: every member trains as a run of its own would, and the best is an ordinary checkpoint."""

import dataclasses

import jax
import numpy as np
import pytest
from tiny_runs import changed, opened, train

from jaxcap.data.batches import CaptionSet
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import load_data
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.learner import make_learner, member_state
from jaxcap.learning.loop import fit
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.sweep import (
    SWEPT,
    Member,
    make_learners,
    member_captions,
    members,
    open_sweep,
    parse_sweep,
    stack_captions,
    table,
)
from jaxcap.learning.validation import Validator


@pytest.fixture
def info(info):
    """Calls are of one minibatch, so that there is one program."""
    return changed(info, model={"dropout": 0.0}, log_every=1)


RATES = {"learning_rate": (1e-3, 1e-2)}
EVERYTHING = [
    Member(seed, tuple(zip(SWEPT[:4], values, strict=True)))
    for seed, values in ((3, (1e-3, 0.5, 0.5, 0.05)), (5, (1e-2, 0.9, 5.0, 0.1)))
]
# One has no term of the other's.
REGULARISED = [
    Member(seed, tuple(zip(SWEPT[3:], values, strict=True)))
    for seed, values in ((0, (0.0, 0.0, 0.3)), (1, (0.1, 0.2, 0.0)))
]


def alone(data, member, info, train=None):
    """The progress of the run that a member is to equal."""
    model, training = member.configure(info.model, info.training)
    learner = make_learner(model, training, data, split_seed(member.seed).state_key)
    captions = data.train if train is None else train
    return list(fit(*learner, captions, training, Validator(model, data, training)))


def assert_equals_a_run(progress, index, run):
    ours = [p.members[index] for p in progress]
    assert [(p.iteration, p.epoch) for p in ours] == [(p.iteration, p.epoch) for p in run]
    for p, q in zip(ours, run, strict=True):
        np.testing.assert_allclose(p.losses, q.losses, rtol=1e-5)
        assert (p.val is None) == (q.val is None)
        if p.val is not None:
            np.testing.assert_allclose(p.val, q.val, rtol=1e-5)


@pytest.mark.parametrize(
    ("found", "settings", "vectorised"),
    [
        (EVERYTHING, {}, False),
        (EVERYTHING, {}, True),
        (REGULARISED, {"optimiser": OptimiserConfig(lr_schedule="cosine")}, False),
        # At full width, where a run alone cuts its captions.
        (members({}, 0, 2), {"order": "buckets"}, True),
    ],
    ids=["the optimiser's", "under vmap", "the loss's", "buckets under vmap"],
)
def test_a_member_equals_a_run_of_its_own(tiny, info, monkeypatch, found, settings, vectorised):
    info, backend = changed(info, num_epochs=2, **settings), "gpu" if vectorised else "cpu"
    # What a seed draws of the captions may be a member's own.
    backwards = dataclasses.replace(
        tiny.train, captions=tiny.train.captions[::-1], image_idxs=tiny.train.image_idxs[::-1]
    )
    trains = [tiny.train, backwards if found is REGULARISED else tiny.train]
    captions = stack_captions(trains, tiny.train) if found is REGULARISED else tiny.train
    learner = make_learners(found, info.model, info.training, tiny)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: backend)
        validate = Validator(info.model, tiny, info.training)
        progress = list(fit(*learner, captions, info.training, validate))
    for i, member in enumerate(found):
        run = alone(tiny, member, info, trains[i])
        assert_equals_a_run(progress, i, run)
        last = run[-1].state
        state = member_state(progress[-1].state, i, last)
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert state.key == last.key


def test_the_best_is_kept_with_what_it_has_of_its_own(tiny, info, tmp_path):
    """And one that diverges is left out, and harms no other."""
    found, folder = members({"learning_rate": (1e-3, 1e38, 1e-2)}, 3, 1), tmp_path / "sweep"
    with open_sweep(folder, tiny, info.model, info.training, found) as sweep:
        with pytest.warns(UserWarning, match="rate=1e[+]38,seed=3: .*`learning_rate`.*left out"):
            sweep.train(tensorboard=False)
    measured = {
        (row["val_loss"], member, row["iteration"])
        for member in found
        for row in read_metrics(folder / member.name)
        if "epoch" in row
    }
    assert len(measured) == 8
    loss, best, iteration = min(measured, key=lambda item: item[0])
    assert sweep.best.name == best.name
    assert (sweep.best.best.loss, sweep.best.best_at) == (pytest.approx(loss), iteration)
    assert len(read_metrics(folder / found[1].name)) <= 1
    head, *lines = (line.split() for line in table(sweep.standings).splitlines())
    assert head == ["member", "training", "loss", "validation", "loss", "iteration"]
    assert lines[0][0] == best.name and lines[0][2:] == [f"{loss:.6f}", str(iteration)]
    assert lines[2] == [found[1].name, "diverged", "-", "-"]

    checkpoints = Checkpoints(folder)
    assert checkpoints.best() == (iteration, pytest.approx(loss))
    path, params, about = checkpoints.load("newest")
    assert (path.name, about.seed) == (str(iteration), best.seed)
    assert about.training.optimiser.learning_rate == dict(best.values)["learning_rate"]

    # A run of its own has the same parameters and a state of the same structure there.
    with opened(tmp_path / "own", about, tiny) as run:
        for progress, _ in run.steps(tensorboard=False):
            if progress.iteration == iteration:
                np.testing.assert_allclose(params["Wx"], progress.state.params["Wx"], atol=1e-5)
                state = checkpoints.load_state(iteration, progress.state)
                assert state.key == progress.state.key
    with opened(tmp_path / "second", info, tiny, init_from=folder) as run:
        np.testing.assert_array_equal(run.params["Wx"], params["Wx"])
    with pytest.raises(ValueError, match="sweep: holds a sweep, which cannot be resumed: .*`init"):
        train(folder, info, tiny, resume=True)


def test_what_a_seed_draws_of_the_captions_is_a_members_own(tiny, tiny_dir):
    data = load_data(tiny_dir, max_train=7, key=split_seed(0).data_key)
    found = members({}, 0, 2)
    captions = member_captions(found, data)
    for i, member in enumerate(found):
        key = split_seed(member.seed).data_key
        own = CaptionSet.of(load_data(tiny_dir, max_train=7, key=key).train)
        width = own.captions.shape[1]
        np.testing.assert_array_equal(captions.captions[i, :, :width], own.captions)
        np.testing.assert_array_equal(captions.image_idxs[i], own.image_idxs)
    assert member_captions(found, tiny).captions.ndim == 2


def test_stopped_before_the_first_validation_keeps_the_one_of_the_least_loss(tiny, info, tmp_path):
    found = members(RATES, 0, 2)
    with open_sweep(tmp_path, tiny, info.model, info.training, found) as sweep:
        ((progress, saved),) = sweep.steps(tensorboard=False, stop=lambda: True)
    assert saved == tmp_path / "1"
    assert sweep.best is sweep.standings[int(np.argmin(progress.losses[:, -1]))]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_info(1).seed == sweep.best.info.seed
    assert checkpoints.best() is None


def test_best_by_cider_and_patience_are_each_members_own(tiny, info, tmp_path):
    info = changed(info, val_images=5, best_by="cider", patience=1)
    found = members({"learning_rate": (1e-30, 1e-2)}, 0, 1)
    with open_sweep(tmp_path, tiny, info.model, info.training, found) as sweep:
        sweep.train(tensorboard=False)
    still, moving = sweep.standings
    # Nothing changes after the first epoch, so that the second is one too many.
    assert still.ended and still.best_at == 5
    assert len(read_metrics(tmp_path / still.name)) == 10
    rows = read_metrics(tmp_path / moving.name)
    assert moving.best.cider == max(row["val_cider"] for row in rows if "epoch" in row)
    assert -Checkpoints(tmp_path).best()[1] == max(still.best.cider, moving.best.cider)


def test_overwrite_deletes_what_a_sweep_wrote_and_nothing_else(tiny, info, tmp_path):
    def sweep(values, **start):
        found = members({"learning_rate": values}, 0, 1)
        with open_sweep(tmp_path, tiny, info.model, info.training, found, **start) as sweep:
            list(sweep.steps(tensorboard=False, stop=lambda: True))

    sweep(RATES["learning_rate"])
    first, second = (tmp_path / member.name for member in members(RATES, 0, 1))
    mine = [
        tmp_path / "notes.txt",
        first / "mine.txt",
        # A run that stands beside it under a name like a member's.
        tmp_path / "seed=7" / "metrics.jsonl",
        tmp_path / "seed=7" / "run.json",
        tmp_path / "seed=8" / "a.jpg",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for refused in (lambda: sweep([1e-3]), lambda: train(tmp_path, info, tiny)):
        with pytest.raises(FileExistsError, match="already holds a run.*`overwrite=True`"):
            refused()
    with pytest.raises(ValueError, match="`learning_rate` must be above 0"):
        sweep([0.0], overwrite=True)
    with pytest.raises(ValueError, match="cannot be resumed: leave out `resume`"):
        sweep([1e-3], resume=True)
    assert second.exists()
    with opened(tmp_path, info, tiny, overwrite=True) as run:
        assert run.checkpoints.steps == []
    assert not second.exists() and not (first / "metrics.jsonl").exists()
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.filterwarnings("ignore:.*it is left out from here on")
def test_all_that_diverge_are_the_usual_error(tiny, info, tmp_path):
    info = changed(info, optimiser=OptimiserConfig(1e38))
    with pytest.raises(FloatingPointError, match="iteration .*: try a smaller `learning_rate`"):
        with open_sweep(tmp_path, tiny, info.model, info.training, members({}, 0, 2)) as sweep:
            sweep.train(tensorboard=False)


def test_members_are_the_product_of_values_and_seeds(info):
    found = members(parse_sweep(["learning_rate=1e-3,3e-3,1e-2", "dropout=0,0.5"]), 4, 2)
    assert len(found) == len({member.name for member in found}) == 12
    assert found[0] == Member(4, (("learning_rate", 1e-3), ("dropout", 0.0)))
    assert found[-1].name == "learning_rate=0.01,dropout=0.5,seed=5"
    model, training = found[-1].configure(info.model, info.training)
    assert (model.dropout, training.optimiser.learning_rate) == (0.5, 1e-2)
    assert members({}, 0, 1)[0].name == "seed=0"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["hidden_dim=8,16"], "hidden_dim=8,16` cannot be swept: .*one of learning_rate, lr_decay"),
        (["learning_rate"], "learning_rate`: expected numbers with commas between them"),
        (["dropout=a,b"], "dropout=a,b`: expected numbers"),
        (["dropout=0.1,0.1"], "gives a value twice"),
        (["dropout=0.1", "dropout=0.2"], "gives dropout twice"),
    ],
)
def test_what_cannot_be_swept_is_said(texts, message):
    with pytest.raises(ValueError, match=message):
        parse_sweep(texts)


@pytest.mark.parametrize(
    ("values", "training", "message"),
    [
        ({"dropout": (0.5, 1.0)}, {}, "`dropout` must be at least 0 and below 1, got 1.0"),
        (
            {"dropout": (0.5,)},
            {"objective": "cider", "order": "replacement", "samples": 4},
            "one captioner at a time",
        ),
        ({"lr_decay": (0.5,)}, {"optimiser": OptimiserConfig(lr_schedule="cosine")}, "no lr_decay"),
    ],
)
def test_settings_that_no_run_could_have_are_refused(tiny, info, values, training, message):
    info = changed(info, **training)
    with pytest.raises(ValueError, match=message):
        make_learners(members(values, 0, 1), info.model, info.training, tiny)
