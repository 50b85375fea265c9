"""Sweeps: every member trains as a run of its own would, and the best is an ordinary checkpoint."""

import dataclasses
import json
import re
import signal

import jax
import numpy as np
import pytest
from command_calls import assert_fails, call
from PIL import Image
from tiny_data import with_grids
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
)
from jaxcap.learning.validation import Validator
from jaxcap.nn.config import ATTENTIONS

EVERYTHING = [
    Member(seed, tuple(zip(SWEPT[:4], values, strict=True)))
    for seed, values in ((3, (1e-3, 0.5, 0.5, 0.05)), (5, (1e-2, 0.9, 5.0, 0.1)))
]
# One has no term of the other's.
REGULARISED = [
    Member(seed, tuple(zip(SWEPT[3:6], values, strict=True)))
    for seed, values in ((0, (0.0, 0.0, 0.3)), (1, (0.1, 0.2, 0.0)))
]
SOFT, TOP_DOWN = (
    {
        "model": {"dropout": 0.0, "attention": kind, "grid_dim": 5},
        "scheduled_sampling": "inverse_sigmoid",
    }
    for kind in ATTENTIONS
)
OF_ATTENDING = [
    Member(seed, tuple(zip(SWEPT[6:], values, strict=True)))
    for seed, values in ((0, (0.0, 0.5)), (1, (0.5, 0.0)))
]
RATES = members({"learning_rate": (1e-3, 1e-2)}, 0, 1)


@pytest.fixture
def info(info):
    """Calls are of one minibatch, so that there is one program."""
    return changed(info, model={"dropout": 0.0}, log_every=1)


def opened_sweep(folder, info, data, found, **start):
    return open_sweep(folder, data, info.model, info.training, found, **start)


def stopped_at_once(folder, info, data, found, **start):
    """The sweep, its progress, and the checkpoint that it left."""
    with opened_sweep(folder, info, data, found, **start) as sweep:
        ((progress, saved),) = sweep.steps(tensorboard=False, stop=lambda: True)
    return sweep, progress, saved


@pytest.mark.parametrize(
    ("found", "settings", "vectorised"),
    [
        (EVERYTHING, {}, False),
        (EVERYTHING, {}, True),
        (REGULARISED, {"optimiser": OptimiserConfig(lr_schedule="cosine")}, False),
        # At full width, where a run alone cuts its captions.
        (members({}, 0, 2), {"order": "buckets"}, True),
        (OF_ATTENDING, SOFT, True),
        (OF_ATTENDING, TOP_DOWN, True),
    ],
    ids=["the optimiser's", "under vmap", "the loss's", "buckets under vmap", *ATTENTIONS],
)
def test_a_member_equals_a_run_of_its_own(tiny, info, monkeypatch, found, settings, vectorised):
    info, tiny = changed(info, num_epochs=2, **settings), with_grids(tiny)
    captions, trains = tiny.train, [tiny.train] * 2
    if found is REGULARISED:
        # What a seed draws of the captions may be a member's own.
        backwards = {name: getattr(tiny.train, name)[::-1] for name in ("captions", "image_idxs")}
        trains[1] = dataclasses.replace(tiny.train, **backwards)
        captions = stack_captions(trains, tiny.train)
    learner = make_learners(found, info.model, info.training, tiny)
    with monkeypatch.context() as patch:
        patch.setattr(jax, "default_backend", lambda: "gpu" if vectorised else "cpu")
        validate = Validator(info.model, tiny, info.training)
        progress = list(fit(*learner, captions, info.training, validate))
    for i, member in enumerate(found):
        model, training = member.configure(info.model, info.training)
        own = make_learner(model, training, tiny, split_seed(member.seed).state_key)
        run = list(fit(*own, trains[i], training, Validator(model, tiny, training)))
        for p, q in zip((p.members[i] for p in progress), run, strict=True):
            assert (p.iteration, p.epoch, p.val is None) == (q.iteration, q.epoch, q.val is None)
            np.testing.assert_allclose(p.losses, q.losses, rtol=1e-5)
            if p.val is not None:
                np.testing.assert_allclose(p.val, q.val, rtol=1e-5)
        last = run[-1].state
        state = member_state(progress[-1].state, i, last)
        for ours, theirs in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        assert state.key == last.key


def test_what_a_seed_draws_of_the_captions_is_a_members_own(tiny, tiny_dir):
    found, trains = members({}, 0, 2), []
    for member in found:
        key = split_seed(member.seed).data_key
        trains.append(load_data(tiny_dir, max_train=7, key=key))
    drawn = member_captions(found, trains[0])
    for i, own in enumerate(CaptionSet.of(data.train) for data in trains):
        np.testing.assert_array_equal(drawn.image_idxs[i], own.image_idxs)
        width = own.captions.shape[1]
        np.testing.assert_array_equal(drawn.captions[i, :, :width], own.captions)
    assert member_captions(found, tiny).captions.ndim == 2


def test_the_command_keeps_the_best_with_what_it_has_of_its_own(tiny_dir, tiny, info, tmp_path):
    """And one that diverges is left out, and harms no other."""
    folder, flags = tmp_path / "sweep", [f"--data_dir={tiny_dir}", "--num_epochs=4"]
    flags += ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--log_every=1"]
    flags += ["--order=shuffle", f"--checkpoint_dir={folder}"]
    rates = ["--sweep", "learning_rate=1e-3,1e-2,1e38", "--seed=4"]
    code, out, err = call("train", *flags, *rates)
    assert code == 0 and "training 3 captioners" in out, err
    said = r"^warning: learning_rate=1e\+38,seed=4: .*--learning_rate.*left out from here on$"
    assert re.search(said, err, re.M)
    rows = {path.parent.name: read_metrics(path.parent) for path in folder.glob("*/metrics.jsonl")}
    measured = [(r["val_loss"], m, r["iteration"]) for m in rows for r in rows[m] if "epoch" in r]
    assert len(measured) == 8
    assert len(rows["learning_rate=1e+38,seed=4"]) <= 1
    loss, best, iteration = min(measured)
    table = re.findall(r"^(learning_rate=\S+)  +(\S+)  +(\S+)  +(\S+)$", out, re.M)
    assert table[0] == (best, table[0][1], f"{loss:.6f}", str(iteration))
    assert table[2] == ("learning_rate=1e+38,seed=4", "diverged", "-", "-")
    assert f"{folder}: holds the best, {best}" in out
    assert re.search(rf"^{re.escape(best)}: \(Epoch 4 / 4\) val loss: ", out, re.M)
    assert re.search(rf"^{re.escape(best)}: saved {folder}/{iteration}$", out, re.M)
    with Image.open(folder / "loss.png") as image:
        assert image.size[0] > 500
    (start,) = json.loads((folder / "run.json").read_text())
    assert start["flags"]["seed"] == 4
    assert_fails(call("train", *flags, *rates), str(folder), "--overwrite")
    assert_fails(call("train", *flags, "--resume"), str(folder), "holds a sweep", "--init_from")
    assert_fails(call("train", *flags, *rates, "--resume"), "leave out --resume, or --sweep and")

    checkpoints = Checkpoints(folder)
    assert checkpoints.best() == (iteration, pytest.approx(loss))
    path, params, about = checkpoints.load("newest")
    assert (path.name, about.seed) == (str(iteration), 4)
    assert f"learning_rate={about.training.optimiser.learning_rate},seed=4" == best
    # A run of its own has the same parameters and a state of the same structure there.
    with opened(tmp_path / "own", about, tiny) as run:
        for progress, _ in run.steps(tensorboard=False):
            if progress.iteration == iteration:
                np.testing.assert_allclose(params["Wx"], progress.state.params["Wx"], atol=1e-5)
                state = checkpoints.load_state(iteration, progress.state)
                assert state.key == progress.state.key
    with opened(tmp_path / "second", info, tiny, init_from=folder) as run:
        np.testing.assert_array_equal(run.params["Wx"], params["Wx"])


def test_stopped_before_the_first_validation_keeps_the_one_of_the_least_loss(
    tiny_dir, tiny, info, tmp_path, monkeypatch
):
    sweep, progress, saved = stopped_at_once(tmp_path / "a", info, tiny, members({}, 0, 2))
    assert saved == tmp_path / "a" / "1"
    assert sweep.best is sweep.standings[int(np.argmin(progress.losses[:, -1]))]
    assert Checkpoints(tmp_path / "a").load_info(1).seed == sweep.best.info.seed
    assert Checkpoints(tmp_path / "a").best() is None

    def stopped(interrupt):
        interrupt.received = signal.SIGTERM
        return True

    monkeypatch.setattr("jaxcap.learning.interrupts.Interrupt.anywhere", stopped)
    small = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--log_every=1"]
    flags = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path / 'b'}", "--seeds=2", *small]
    code, out, err = call("train", *flags, "--order=shuffle")
    assert code == 143 and re.search(r": holds the best, seed=[01]$", out, re.M), err
    assert "stopped after iteration 1 of 250: a sweep cannot be resumed\n" in out


def test_best_by_cider_and_patience_are_each_members_own(tiny, info, tmp_path):
    info = changed(info, val_images=5, best_by="cider", patience=1)
    found = members({"learning_rate": (1e-30, 1e-2)}, 0, 1)
    with opened_sweep(tmp_path, info, tiny, found) as sweep:
        sweep.train(tensorboard=False)
    still, moving = sweep.standings
    # Nothing changes after the first epoch, so that the second is one too many.
    assert still.ended and still.best_at == 5
    assert len(read_metrics(tmp_path / still.name)) == 10
    rows = read_metrics(tmp_path / moving.name)
    assert moving.best.cider == max(row["val_cider"] for row in rows if "epoch" in row)
    assert -Checkpoints(tmp_path).best()[1] == max(still.best.cider, moving.best.cider)


def test_overwrite_deletes_what_a_sweep_wrote_and_nothing_else(tiny, info, tmp_path):
    stopped_at_once(tmp_path, info, tiny, RATES)
    first, second = (tmp_path / member.name for member in RATES)
    # A run and a folder that stand beside it under names like a member's.
    mine = ["notes.txt", "seed=7/metrics.jsonl", "seed=7/run.json", "seed=8/a.jpg"]
    mine = [first / "mine.txt", *(tmp_path / name for name in mine)]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    for start in (stopped_at_once, lambda *args: train(*args[:3])):
        with pytest.raises(FileExistsError, match="already holds a run.*`overwrite=True`"):
            start(tmp_path, info, tiny, RATES)
    with pytest.raises(ValueError, match="`learning_rate` must be above 0"):
        bad = members({"learning_rate": [0.0]}, 0, 1)
        stopped_at_once(tmp_path, info, tiny, bad, overwrite=True)
    assert second.exists()
    with opened(tmp_path, info, tiny, overwrite=True) as run:
        assert run.checkpoints.steps == []
    assert not second.exists() and not (first / "metrics.jsonl").exists()
    assert all(path.read_text() == "mine" for path in mine)


@pytest.mark.filterwarnings("ignore:.*it is left out from here on")
def test_all_that_diverge_are_the_usual_error(tiny, info, tmp_path):
    info = changed(info, optimiser=OptimiserConfig(1e38))
    with pytest.raises(FloatingPointError, match="iteration .*: try a smaller `learning_rate`"):
        with opened_sweep(tmp_path, info, tiny, members({}, 0, 2)) as sweep:
            sweep.train(tensorboard=False)


def test_members_are_the_product_of_values_and_seeds(info):
    found = members(parse_sweep(["learning_rate=1e-3,3e-3,1e-2", "dropout=0,0.5"]), 4, 2)
    assert len(found) == len({member.name for member in found}) == 12
    assert found[0] == Member(4, (("learning_rate", 1e-3), ("dropout", 0.0)))
    assert found[-1].name == "learning_rate=0.01,dropout=0.5,seed=5"
    model, training = found[-1].configure(info.model, info.training)
    assert (model.dropout, training.optimiser.learning_rate) == (0.5, 1e-2)
    assert members({}, 0, 1)[0].name == "seed=0"


CIDER = {"objective": "cider", "order": "replacement", "samples": 4}
COSINE = {"optimiser": OptimiserConfig(lr_schedule="cosine")}


@pytest.mark.parametrize(
    ("texts", "training", "message"),
    [
        (["hidden_dim=8,16"], {}, "hidden_dim=8,16` cannot be swept: .*one of learning_rate, lr_"),
        (["learning_rate"], {}, "learning_rate`: expected numbers with commas between them"),
        (["dropout=a,b"], {}, "dropout=a,b`: expected numbers"),
        (["dropout=0.1,0.1"], {}, "gives a value twice"),
        (["dropout=0.1", "dropout=0.2"], {}, "gives dropout twice"),
        (["dropout=0.5,1"], {}, "`dropout` must be at least 0 and below 1, got 1.0"),
        (["dropout=0.5"], CIDER, "one captioner at a time"),
        (["lr_decay=0.5"], COSINE, "no lr_decay"),
        (["attention_penalty=0,1"], {}, "`attention_penalty=1.0` needs .* give `attention`"),
        (["sampling_rate=0,0.5"], {}, "needs `scheduled_sampling`"),
    ],
)
def test_what_cannot_be_swept_is_said(tiny, info, texts, training, message):
    info = changed(info, **training)
    with pytest.raises(ValueError, match=message):
        make_learners(members(parse_sweep(texts), 0, 1), info.model, info.training, tiny)
