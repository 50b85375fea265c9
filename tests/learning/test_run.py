"""Runs in a folder: what is saved when, and that stopping and resuming leaves no trace."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.learning.reward import CiderReward
from jaxcap.learning.run import open_run, record_start
from jaxcap.learning.validation import ValidationCider

KEY = jax.random.key(0)


def train(run, data, **options):
    return list(run.train(data, tensorboard=False, **options))


def stop_after(iteration, run, data, **options):
    """Train until a call has ended at or after `iteration`, as an interrupt would."""
    done = [0]

    def stop():
        return done[0] >= iteration

    for progress, saved in run.train(data, tensorboard=False, stop=stop, **options):
        done[0] = progress.iteration
        last = progress, saved
    return last


def losses(folder):
    return [row["loss"] for row in read_metrics(folder)]


def test_saves_at_the_start_at_epochs_when_best_and_at_the_end(tiny, info, tmp_path):
    run = open_run(tmp_path / "run", info, KEY)
    saved = [int(path.name) for _, path in train(run, tiny, save_every=3) if path]
    assert saved[-1] == 20
    assert 15 in saved
    best, loss = run.checkpoints.best()
    vals = {row["iteration"]: row["val_loss"] for row in read_metrics(run.folder) if "epoch" in row}
    assert loss == pytest.approx(min(vals.values()))
    assert vals[best] == min(vals.values())
    assert {best, 20} <= set(run.checkpoints.steps)


@pytest.mark.parametrize("iteration", [1, 5, 13])
def test_stopped_and_resumed_equals_never_stopped(tiny, info, tmp_path, iteration):
    whole = open_run(tmp_path / "whole", info, KEY)
    last, _ = train(whole, tiny)[-1]
    stopped, saved = stop_after(iteration, open_run(tmp_path / "cut", info, KEY), tiny)
    assert stopped.iteration < 20
    assert saved is not None
    resumed = open_run(tmp_path / "cut", info, KEY, resume=True)
    assert int(resumed.state.step) == stopped.iteration
    again, _ = train(resumed, tiny)[-1]
    jax.tree.map(np.testing.assert_array_equal, last.state.params, again.state.params)
    jax.tree.map(np.testing.assert_array_equal, last.state.opt_state, again.state.opt_state)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")
    assert whole.checkpoints.best() == resumed.checkpoints.best()


@pytest.mark.slow
def test_a_cell_by_its_path_is_saved_and_resumed_bit_for_bit(tiny, info, tmp_path):
    model = dataclasses.replace(info.model, cell="flax.linen.GRUCell")
    info = dataclasses.replace(info, model=model)
    whole = open_run(tmp_path / "whole", info, KEY)
    last, _ = train(whole, tiny)[-1]
    assert losses(tmp_path / "whole")[-1] < losses(tmp_path / "whole")[0]
    stop_after(5, open_run(tmp_path / "cut", info, KEY), tiny)
    resumed = open_run(tmp_path / "cut", info, KEY, resume=True)
    assert 5 <= int(resumed.state.step) < 20
    again, _ = train(resumed, tiny)[-1]
    assert "cell/hr/kernel" in again.state.params
    jax.tree.map(np.testing.assert_array_equal, last.state.params, again.state.params)
    jax.tree.map(np.testing.assert_array_equal, last.state.opt_state, again.state.opt_state)
    params, found = whole.checkpoints.load_params(20)
    assert found.model == model
    jax.tree.map(np.testing.assert_array_equal, params, last.state.params)
    other = dataclasses.replace(info, model=dataclasses.replace(model, cell="lstm"))
    with pytest.raises(ValueError, match="cell flax.linen.GRUCell, now it is lstm"):
        open_run(tmp_path / "cut", other, KEY, resume=True)


def test_resume_passes_over_a_broken_newest(tiny, info, tmp_path):
    whole = open_run(tmp_path / "whole", info, KEY)
    last, _ = train(whole, tiny)[-1]
    stop_after(13, open_run(tmp_path / "cut", info, KEY), tiny)
    newest = max((tmp_path / "cut").glob("[0-9]*"), key=lambda path: int(path.name))
    for path in (newest / "training").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.warns(UserWarning, match=f"{newest.name}: cannot be read and is passed over"):
        resumed = open_run(tmp_path / "cut", info, KEY, resume=True)
    again, _ = train(resumed, tiny)[-1]
    jax.tree.map(np.testing.assert_array_equal, last.state.params, again.state.params)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


def test_nan_keeps_the_last_good_checkpoint(tiny, info, tmp_path):
    explosive = dataclasses.replace(
        info, training=dataclasses.replace(info.training, optimiser=OptimiserConfig(1e38))
    )
    run = open_run(tmp_path, explosive, KEY)
    with pytest.raises(FloatingPointError, match="iteration"):
        train(run, tiny)
    again = open_run(tmp_path, explosive, KEY, resume=True)
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(again.state.params))


def scored(info, **training):
    return dataclasses.replace(
        info, training=dataclasses.replace(info.training, val_images=5, **training)
    )


@pytest.mark.slow
def test_best_by_cider_of_the_same_images(tiny, info, tmp_path):
    run = open_run(tmp_path, scored(info, best_by="cider"), KEY)
    last, _ = train(run, tiny)[-1]
    ciders = {r["iteration"]: r["val_cider"] for r in read_metrics(tmp_path) if "epoch" in r}
    assert len(ciders) == 4
    best, rank = run.checkpoints.best()
    assert -rank == max(ciders.values()) == ciders[best]
    assert ciders[20] == ValidationCider(info.model, tiny, 5)(last.state.params)


def frozen(info, **training):
    """Settings under which nothing gets better after the first epoch."""
    return scored(info, optimiser=OptimiserConfig(1e-30), **training)


@pytest.mark.slow
@pytest.mark.parametrize("cut", [None, 6, 11])
def test_patience_ends_training_however_it_was_cut(tiny, info, tmp_path, cut):
    info = frozen(info, patience=2, num_epochs=9)
    if cut:
        stop_after(cut, open_run(tmp_path, info, KEY), tiny)
    last, saved = train(open_run(tmp_path, info, KEY, resume=bool(cut)), tiny)[-1]
    assert (last.iteration, last.epoch) == (15, 3)
    assert saved == tmp_path / "15"
    with pytest.raises(ValueError, match="15: training ended after --patience=2 epochs"):
        open_run(tmp_path, info, KEY, resume=True)
    more = dataclasses.replace(info, training=dataclasses.replace(info.training, patience=3))
    last, _ = train(open_run(tmp_path, more, KEY, resume=True), tiny)[-1]
    assert last.iteration == 20


def test_a_folder_with_a_run_is_not_overwritten_unasked(tiny, info, tmp_path):
    train(open_run(tmp_path, info, KEY), tiny)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("mine too")
    with pytest.raises(FileExistsError, match="already holds a run.*--resume.*--overwrite"):
        open_run(tmp_path, info, KEY)
    run = open_run(tmp_path, info, KEY, overwrite=True)
    assert run.checkpoints.steps == []
    assert read_metrics(tmp_path) == []
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "photos" / "a.jpg").read_text() == "mine too"


def test_a_folder_of_ones_own_is_no_run(info, tmp_path):
    (tmp_path / "2019").mkdir()
    (tmp_path / "2019" / "a.jpg").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="2019: is no checkpoint but is named as one"):
            open_run(tmp_path, info, KEY, overwrite=overwrite)
    assert (tmp_path / "2019" / "a.jpg").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(FileExistsError, match="file: is a file"):
        open_run(file, info, KEY)


def test_nothing_to_resume_and_nothing_left(tiny, info, tmp_path):
    with pytest.raises(FileNotFoundError, match="run: holds no run to resume"):
        open_run(tmp_path / "run", info, KEY, resume=True)
    train(open_run(tmp_path / "run", info, KEY), tiny)
    with pytest.raises(ValueError, match="iteration 20 of 20, nothing is left.*--num_epochs"):
        open_run(tmp_path / "run", info, KEY, resume=True)
    longer = dataclasses.replace(info.training, num_epochs=5)
    more = open_run(tmp_path / "run", dataclasses.replace(info, training=longer), KEY, resume=True)
    assert train(more, tiny)[-1][0].iteration == 25


def test_resume_under_another_seed_is_refused(tiny, info, tmp_path):
    train(open_run(tmp_path, info, KEY), tiny)
    with pytest.raises(ValueError, match="seed 0, now it is 7"):
        open_run(tmp_path, dataclasses.replace(info, seed=7), KEY, resume=True)


def test_init_from_takes_parameters_and_nothing_else(tiny, info, tmp_path):
    first = open_run(tmp_path / "first", info, KEY)
    last, _ = train(first, tiny)[-1]
    second = open_run(tmp_path / "second", info, KEY, init_from=tmp_path / "first")
    assert int(second.state.step) == 0
    jax.tree.map(np.testing.assert_array_equal, second.state.params, last.state.params)
    wider = dataclasses.replace(info, model=dataclasses.replace(info.model, hidden_dim=32))
    cell = dataclasses.replace(info, model=dataclasses.replace(info.model, init_cell=True))
    with pytest.raises(ValueError, match=r"W_cell of shape None, this run needs .*--init_cell"):
        open_run(tmp_path / "third", cell, KEY, init_from=tmp_path / "first")
    with pytest.raises(ValueError, match=r"W_proj of shape \(6, 16\), this run needs \(6, 32\)"):
        open_run(tmp_path / "third", wider, KEY, init_from=tmp_path / "first")
    with pytest.raises(ValueError, match="--resume keeps the run that --overwrite deletes"):
        open_run(tmp_path / "first", info, KEY, overwrite=True, resume=True)


def rewarded(info, **training):
    training = {"objective": "cider", "order": "replacement", "samples": 4, **training}
    return dataclasses.replace(info, training=dataclasses.replace(info.training, **training))


@pytest.mark.slow
def test_for_cider_stopped_and_resumed_by_the_same_call_equals_never_stopped(tiny, info, tmp_path):
    first = tmp_path / "first"
    train(open_run(first, info, KEY), tiny)
    cider = rewarded(info, num_epochs=2)
    last, _ = train(open_run(tmp_path / "whole", cider, KEY, init_from=first), tiny)[-1]
    stopped, _ = stop_after(3, open_run(tmp_path / "cut", cider, KEY, init_from=first), tiny)
    assert 0 < stopped.iteration < last.iteration
    resumed = open_run(tmp_path / "cut", cider, KEY, init_from=first, resume=True)
    assert int(resumed.state.step) == stopped.iteration
    again, _ = train(resumed, tiny)[-1]
    jax.tree.map(np.testing.assert_array_equal, last.state.params, again.state.params)
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


def test_cider_without_a_captioner_to_start_from_deletes_nothing(tiny, info, tmp_path):
    steps = (tmp_path / "20", tmp_path / "metrics.jsonl")
    train(open_run(tmp_path, info, KEY), tiny)
    with pytest.raises(ValueError, match="goes on from a captioner .* --init_from"):
        open_run(tmp_path, rewarded(info), KEY, overwrite=True)
    assert all(path.exists() for path in steps)


def test_cider_of_a_single_image_is_refused(tiny, info):
    one = dataclasses.replace(tiny.val, image_idxs=tiny.val.image_idxs * 0)
    with pytest.raises(ValueError, match="--val_images=2 or more"):
        ValidationCider(info.model, tiny, 1)
    with pytest.raises(ValueError, match="2 images or more.* got 1"):
        CiderReward(one, tiny.vocabulary)


def test_a_record_that_cannot_be_read_stops_nothing(tiny, info, tmp_path):
    run = open_run(tmp_path, info, KEY)
    (tmp_path / "run.json").write_text("{cut sho")
    with pytest.warns(UserWarning, match=r"run.json: cannot be read .* kept as run.unreadable"):
        record_start(run, {})
    assert len(json.loads((tmp_path / "run.json").read_text())) == 1
    assert (tmp_path / "run.unreadable").read_text() == "{cut sho"


def test_every_start_is_recorded(tiny, info, tmp_path):
    run = open_run(tmp_path, info, KEY)
    record_start(run, {"hidden_dim": 16})
    stop_after(5, run, tiny)
    record_start(open_run(tmp_path, info, KEY, resume=True), {"hidden_dim": 16, "resume": True})
    starts = json.loads((tmp_path / "run.json").read_text())
    assert [start["iteration"] for start in starts] == [0, 7]
    assert starts[0]["flags"] == {"hidden_dim": 16}
    assert starts[0]["seed"] == 0
    assert {"jax", "jaxcap", "numpy"} <= set(starts[0]["versions"])
