"""Runs in a folder: what is saved when, and that stopping and resuming leaves no trace."""

import json
import shutil
import tarfile
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_checkpoints import assert_same
from tiny_runs import changed, opened, outcome, train, train_until

from jaxcap.data.dataset import Dataset
from jaxcap.data.seeds import split_seed
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.run import open_run
from jaxcap.learning.validation import ValidationCider


@pytest.fixture(scope="module")
def first(tiny, info, tmp_path_factory):
    """The folder of a run that was never disturbed; to be read only."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    with jax.numpy_dtype_promotion("standard"):
        train(folder, info, tiny)
    return folder


@pytest.fixture
def folder(first, tmp_path):
    """A copy of it, to be spoilt."""
    return shutil.copytree(first, tmp_path / "run")


REWARDED = {"objective": "cider", "order": "replacement", "samples": 4}
SETTINGS = {
    "shuffle, cider is the best": {"val_images": 5, "best_by": "cider"},
    "buckets, rnn": {
        "order": "buckets",
        "model": {"cell": "rnn", "dropout": 0.0},
        "scheduled_sampling": "exponential",
        "sampling_rate": 0.9,
    },
    "objective cider": REWARDED,
    "replacement, GRU": {"order": "replacement", "model": {"cell": "flax.linen.GRUCell"}},
}
_NIGHTLY = pytest.param("replacement, GRU", marks=pytest.mark.nightly)


@pytest.mark.parametrize("settings", [*list(SETTINGS)[:3], _NIGHTLY])
def test_cut_anywhere_and_resumed_equals_never_cut(tiny, info, first, tmp_path, settings):
    """The same bits of parameters, optimiser state and key, the same losses and best checkpoint."""
    info = changed(info, log_every=1, **SETTINGS[settings])
    more = {"init_from": str(first)} if info.training.objective == "cider" else {}
    train(tmp_path / "whole", info, tiny, **more)
    places = [train_until(3, tmp_path / "cut", info, tiny, **more)]
    for iteration in (5, 13):
        places.append(train_until(iteration, tmp_path / "cut", info, tiny, resume=True, **more))
    assert places == [3, 5, 13]
    train(tmp_path / "cut", info, tiny, resume=True, **more)
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")
    assert Checkpoints(tmp_path / "cut").load("newest").info == info


def test_a_run_of_an_earlier_version_is_resumed(tiny, info, tmp_path):
    """It was stopped at iteration 10 of 20; beside it are the losses of one that was not."""
    with tarfile.open(Path(__file__).with_name("old_run.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    with opened(tmp_path / "run", info, tiny, resume=True) as run:
        assert run.iteration == 10
        run.train(tensorboard=False)
    found, expected = (
        [row["loss"] for row in read_metrics(tmp_path / name)] for name in ("run", "whole")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_saves_at_the_start_at_epochs_when_best_and_at_the_end(tiny, info, tmp_path):
    """The best by CIDEr-D of the same images each time."""
    info = changed(info, val_images=5, best_by="cider")
    with opened(str(tmp_path / "run"), info, tiny) as run:
        before = jax.tree.map(np.asarray, run.params)
        steps = run.steps(tensorboard=False, save_every=3)
        first = next(steps)
        assert_same(run.checkpoints.load_params(0)[0], before)
        saved = [int(path.name) for _, path in [first, *steps] if path]
        (best, rank), kept = run.checkpoints.best(), run.checkpoints.steps
        cider = ValidationCider(info.model, tiny, 5)(run.params)
    ciders = {r["iteration"]: r["val_cider"] for r in read_metrics(run.folder) if "epoch" in r}
    assert -rank == max(ciders.values()) == ciders[best]
    assert ciders[20] == cider
    assert saved[-1] == 20 and {15, best} <= set(saved) and {best, 20} <= set(kept)


def test_arrays_without_a_validation_split_and_a_seed(tiny, info, tmp_path):
    arrays = tiny.train.captions, tiny.train.image_idxs, tiny.train.features
    data = Dataset.from_arrays(*arrays, tiny.vocabulary)
    with open_run(tmp_path, data, info.model, info.training, seed=7) as run:
        run_key = jax.random.split(split_seed(7).state_key)[1]
        assert (run.info.seed, run.learner.state.key) == (7, run_key)
        assert run.train(tensorboard=False).val is None
    assert Checkpoints(tmp_path).best() is None


def test_resume_passes_over_a_broken_newest(tiny, info, first, tmp_path):
    train_until(13, tmp_path, info, tiny)
    for path in (tmp_path / "14" / "training").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.warns(UserWarning, match="14: cannot be read and is passed over"):
        train(tmp_path, info, tiny, resume=True)
    assert outcome(tmp_path) == outcome(first)
    assert (tmp_path / "unreadable-14").is_dir()


def test_nan_keeps_the_last_good_checkpoint(tiny, info, tmp_path):
    explosive = changed(info, optimiser=OptimiserConfig(1e38))
    message = "(loss became|by) .*iteration .*`learning_rate` or `clip_norm=5`"
    with pytest.raises(FloatingPointError, match=message):
        train(tmp_path, explosive, tiny)
    with opened(tmp_path, explosive, tiny, resume=True) as run:
        assert all(np.isfinite(p).all() for p in run.params.values())


def test_patience_ends_training_however_it_was_cut(tiny, info, tmp_path):
    """With settings under which nothing gets better after the first epoch."""
    info = changed(info, optimiser=OptimiserConfig(1e-30), patience=2, num_epochs=9)
    train_until(11, tmp_path, info, tiny)
    train(tmp_path, info, tiny, resume=True)
    assert Checkpoints(tmp_path).steps[-1] == len(read_metrics(tmp_path)) == 15
    with pytest.raises(ValueError, match="15: training ended after `patience=2` epochs"):
        train(tmp_path, info, tiny, resume=True)
    train(tmp_path, changed(info, patience=3), tiny, resume=True)
    assert Checkpoints(tmp_path).steps[-1] == 20


def test_a_folder_with_a_run_or_of_your_own_is_not_overwritten(tiny, info, folder):
    mine = [folder / "notes.txt", folder / "photos" / "a.jpg", folder / "photos" / "2019" / "b"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with pytest.raises(FileExistsError, match="already holds a run.*`resume=True`.*`overwrite"):
        train(folder, info, tiny)
    with opened(folder, info, tiny, overwrite=True) as run:
        assert (run.checkpoints.steps, read_metrics(folder)) == ([], [])
    with pytest.raises(FileExistsError, match="2019: is named as a checkpoint and is none"):
        train(folder / "photos", info, tiny, overwrite=True)
    with pytest.raises(FileExistsError, match="notes.txt: is a file"):
        train(mine[0], info, tiny)
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.parametrize(
    ("change", "start", "error"),
    [
        ({}, {"resume": True}, "iteration 20 of 20, nothing is left.*`num_epochs`"),
        ({"seed": 7}, {"resume": True}, "seed 0, now it is 7"),
        ({"sampling_rate": 0.5}, {"resume": True}, "sampling_rate 0.25, now it is 0.5"),
        ({"model": {"cell": "rnn"}}, {"resume": True}, "cell lstm, now it is rnn"),
        ({}, {"resume": True, "overwrite": True}, "`resume` keeps the run that `overwrite`"),
        (REWARDED, {"overwrite": True}, "fine-tunes a captioner .* `init_from`"),
        ({"val_images": 1}, {}, "`val_images=2` or more"),
        ({"val_images": 1}, {"overwrite": True}, "`val_images=2` or more"),
    ],
)
def test_what_cannot_be_started_is_refused(
    tiny, info, first, folder, tmp_path, change, start, error
):
    where, seed = folder if start else tmp_path / "new", change.get("seed", 0)
    other = changed(info, **{name: change[name] for name in change if name != "seed"})
    with pytest.raises(ValueError, match=error):
        with open_run(where, tiny, other.model, other.training, seed=seed, **start) as run:
            run.train()
    assert outcome(folder) == outcome(first)


def test_nothing_to_resume_and_more_epochs(tiny, info, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="none: holds no run to resume"):
        train(tmp_path / "none", info, tiny, resume=True)
    train(folder, changed(info, num_epochs=5), tiny, resume=True)
    assert Checkpoints(folder).steps[-1] == 25


def test_init_from_takes_parameters_and_nothing_else(tiny, info, first, tmp_path):
    params = Checkpoints(first).load("newest").params
    with opened(tmp_path / "second", info, tiny, init_from=first) as run:
        assert run.iteration == 0
        assert_same(run.params, params)
    for model, message in (
        ({"init_cell": True}, r"has no W_cell, this run needs W_cell of shape .*`init_cell`"),
        ({"attention": "soft", "grid_dim": 5}, r"has no W_grid, .*`attention`"),
        (
            {"hidden_dim": 32},
            r"W_proj of shape \(6, 16\), this run needs W_proj of shape \(6, 32\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            train(tmp_path / "third", changed(info, model=model), tiny, init_from=first)


def test_every_start_is_recorded(tiny, info, tmp_path):
    train_until(5, tmp_path, info, tiny, flags={"hidden_dim": 16})
    with opened(tmp_path, info, tiny, resume=True):
        starts = json.loads((tmp_path / "run.json").read_text())
    assert [start["iteration"] for start in starts] == [0, 5]
    assert (starts[0]["flags"], starts[0]["seed"]) == ({"hidden_dim": 16}, 0)
    assert {"jax", "jaxcap", "numpy"} <= set(starts[0]["versions"])
    (tmp_path / "run.json").write_text("{cut sho")
    with pytest.warns(UserWarning, match=r"run.json: cannot be read .* kept as run.unreadable"):
        with opened(tmp_path, info, tiny, resume=True):
            assert len(json.loads((tmp_path / "run.json").read_text())) == 1
    assert (tmp_path / "run.unreadable").read_text() == "{cut sho"
