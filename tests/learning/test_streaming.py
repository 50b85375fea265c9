"""Training on grids in a file learns what it learns in memory, and raises the file's faults."""

import itertools
import threading
import time
from contextlib import closing
from dataclasses import replace
from functools import partial

import h5py
import jax
import numpy as np
import pytest
from tiny_data import tiny_splits
from tiny_runs import outcome

from jaxcap.data.dataset import Dataset
from jaxcap.data.grids import Grids
from jaxcap.data.image import Image
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import make_learner, stack
from jaxcap.learning.loop import fit
from jaxcap.learning.run import open_run
from jaxcap.learning.sweep import make_learners, members
from jaxcap.learning.validation import Validator
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig

KEY = jax.random.key(0)
TRAINING = TrainingConfig(batch_size=8, num_epochs=2, log_every=3, order="shuffle")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same data with its grids in memory and in files."""
    folder = tmp_path_factory.mktemp("grids")
    vocabulary, splits = tiny_splits()
    rng, memory, files = np.random.default_rng(0), {}, {}
    for name, split in splits.items():
        grid = rng.standard_normal((len(split.features), 5, 3)).astype(np.float16)
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("grid", data=grid, chunks=(1, 5, 3))
        memory[name] = split.captions, split.image_idxs, Image(split.features, grid)
        files[name] = Grids(folder / f"{name}.h5")
    data = Dataset.from_arrays(*memory["train"], vocabulary, val=memory["val"])
    without = {
        name: replace(split, images=split.images._replace(grid=None), grids=files[name])
        for name, split in data.splits.items()
    }
    yield data, replace(data, splits=without)
    for grids in files.values():
        grids.close()


def model_of(data):
    return CaptionerConfig.for_data(data, wordvec_dim=8, hidden_dim=16, attention="soft")


def train(data, training, loss=None):
    state, own, optimiser = make_learner(model_of(data), training, data, KEY)
    validate = Validator(model_of(data), data, training) if training.val_images else None
    return list(fit(state, loss or own, optimiser, data.train, training, validate))


def my_loss(params, batch, key, *, config):
    return 2 * caption_loss(params, config, batch, key).per_caption


def assert_no_reader():
    """A read that has begun is finished, in milliseconds."""
    end = time.monotonic() + 10
    while [one for one in threading.enumerate() if one.name.startswith("grain")]:
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("loss", "changes", "rtol"),
    [
        (None, {"val_images": 5}, 2e-5),
        (None, {"order": "buckets", "matmul_precision": "bfloat16"}, 1e-2),
        (None, {"order": "images", "remat": True}, 2e-5),
        (None, {"order": "replacement", "objective": "cider", "batch_size": 10}, 2e-5),
        (my_loss, {"num_epochs": 1, "order": "replacement"}, 2e-5),
    ],
    ids=["shuffle", "buckets in bfloat16", "images", "cider", "own"],
)
def test_what_is_learnt_is_what_is_learnt_in_memory(both, loss, changes, rtol):
    loss = loss and partial(loss, config=model_of(both[0]))
    memory, files = (train(data, replace(TRAINING, **changes), loss) for data in both)
    assert [p.iteration for p in files] == [p.iteration for p in memory]
    for a, b in zip(files, memory, strict=True):
        np.testing.assert_allclose(a.losses, b.losses, rtol=rtol)
        assert (a.epoch, a.cider is None) == (b.epoch, b.cider is None)
        if b.val is not None:
            np.testing.assert_allclose(a.val, b.val, rtol=rtol)
            assert a.cider == pytest.approx(b.cider, abs=1e-6)
    assert_no_reader()


@pytest.mark.parametrize("order", [pytest.param("shuffle", marks=pytest.mark.nightly), "images"])
def test_a_resumed_run_has_the_bytes_of_one_that_was_not_stopped(both, tmp_path, order):
    """Stopped within an epoch, at its end, and within the next one."""
    data, training = both[1], replace(TRAINING, order=order)
    for name, parts in (("whole", [9]), ("parts", [1, 1, 1, 9])):
        for part, most in enumerate(parts):
            options = {"seed": 0, "resume": part > 0}
            with open_run(tmp_path / name, data, model_of(data), training, **options) as run:
                calls = itertools.count(1)
                list(run.steps(tensorboard=False, stop=lambda: next(calls) == most))  # noqa: B023
    assert outcome(tmp_path / "whole")[0] == 10
    assert outcome(tmp_path / "whole") == outcome(tmp_path / "parts")


def test_a_fault_is_raised_as_itself_and_nothing_goes_on(both, tmp_path):
    data, path = both[1], tmp_path / "grid.h5"
    grid = np.zeros((10, 5, 3), np.float16)
    grid[7, 1, 1] = np.nan
    with h5py.File(path, "w") as file:
        file.create_dataset("grid", data=grid, chunks=(1, 5, 3))
    with closing(Grids(path)) as grids:
        wrong = replace(data.train, grids=grids)
        learner = make_learner(model_of(data), TRAINING, data, KEY)
        with pytest.raises(ValueError, match="^.*grid.h5: grid row 7 holds values that are NaN"):
            list(fit(*learner, wrong, TRAINING))
    assert_no_reader()


def test_a_loop_that_is_left_stops_the_reader(both):
    learner = make_learner(model_of(both[1]), TRAINING, both[1], KEY)
    for _ in fit(*learner, both[1].train, TRAINING):
        break
    assert_no_reader()


def test_a_sweep_names_the_remedy(both):
    data = both[1]
    with pytest.raises(ValueError, match="^`sweep` and `seeds` need .* give a `grid_memory`"):
        make_learners(members({}, seeds=2), model_of(data), TRAINING, data)
    learner = make_learner(model_of(data), TRAINING, data, KEY)
    with pytest.raises(ValueError, match="give a `grid_memory`"):
        list(fit(*stack([learner, learner]), data.train, TRAINING))
