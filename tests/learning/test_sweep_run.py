"""A sweep in a folder: metrics of every member, the best as an ordinary checkpoint."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints
from jaxcap.learning.loop import TrainingConfig
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.learning.run import open_run
from jaxcap.learning.sweep import members
from jaxcap.learning.sweep_run import open_sweep, table
from jaxcap.learning.validation import ValidationCider
from jaxcap.nn.captioner import CaptionerConfig

RATES = {"learning_rate": (1e-3, 1e-2)}


@pytest.fixture
def info(tiny):
    return CheckpointInfo(
        model=CaptionerConfig(vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16),
        training=TrainingConfig(batch_size=8, num_epochs=4, log_every=5, order="shuffle"),
        vocabulary=tiny.vocabulary,
        data=tiny.identity,
        source=tiny.source,
        seed=0,
    )


def changed(info, **training):
    return dataclasses.replace(info, training=dataclasses.replace(info.training, **training))


def train(sweep, data, **options):
    return list(sweep.train(data, tensorboard=False, **options))


def test_the_best_is_kept_with_what_it_has_of_its_own(tiny, info, tmp_path):
    found = members({**RATES, "weight_decay": (0.0, 0.1)}, 3, 1)
    sweep = open_sweep(tmp_path / "sweep", info, found)
    train(sweep, tiny)
    measured = {
        (row["val_loss"], member, row["iteration"])
        for member in found
        for row in read_metrics(tmp_path / "sweep" / member.name)
        if "epoch" in row
    }
    assert len(measured) == 16
    loss, best, iteration = min(measured, key=lambda item: item[0])
    assert sweep.best.member == best
    assert (sweep.best.best.loss, sweep.best.best_at) == (pytest.approx(loss), iteration)

    checkpoints = Checkpoints(tmp_path / "sweep")
    assert checkpoints.best() == (iteration, pytest.approx(loss))
    step, (params, about) = checkpoints.load_newest(checkpoints.load_params)
    assert (step, about.seed) == (iteration, best.seed)
    optimiser = about.training.optimiser
    values = dict(best.values)
    assert (optimiser.learning_rate, optimiser.weight_decay) == tuple(values.values())

    # A run of its own has the same parameters and a state of the same structure there.
    model, training = best.configure(info.model, info.training)
    own = dataclasses.replace(info, model=model, training=training, seed=best.seed)
    key = jax.random.split(jax.random.key(best.seed))[1]
    run = open_run(tmp_path / "own", own, key)
    for progress, _ in run.train(tiny, tensorboard=False):
        if progress.iteration == iteration:
            np.testing.assert_allclose(params["Wx"], progress.state.params["Wx"], atol=1e-5)
            state = checkpoints.load_state(iteration, progress.state)
            assert state.key == progress.state.key

    second = open_run(tmp_path / "second", info, key, init_from=tmp_path / "sweep")
    np.testing.assert_array_equal(second.state.params["Wx"], params["Wx"])
    with pytest.raises(ValueError, match="sweep: holds a sweep, which cannot be resumed: .*--init"):
        open_run(tmp_path / "sweep", own, key, resume=True)


@pytest.mark.slow
def test_one_that_diverges_is_left_out(tiny, info, tmp_path):
    found = members({"learning_rate": (1e38, 1e-2)}, 0, 1)
    sweep = open_sweep(tmp_path, info, found)
    train(sweep, tiny)
    bad, good = sweep.standings
    assert "try a smaller --learning_rate" in str(bad.failure)
    assert read_metrics(tmp_path / bad.member.name) == []
    assert len(read_metrics(tmp_path / good.member.name)) == 20
    assert sweep.best is good
    head, first, last = table(sweep.standings).splitlines()
    assert head.split() == ["member", "training", "loss", "validation", "loss", "iteration"]
    assert first.split() == [
        good.member.name,
        f"{good.loss:.6f}",
        f"{good.best.loss:.6f}",
        str(good.best_at),
    ]
    assert last.split() == [bad.member.name, "diverged", "-", "-"]


def test_stopped_before_the_first_validation_keeps_the_one_of_the_least_loss(tiny, info, tmp_path):
    sweep = open_sweep(tmp_path, changed(info, log_every=2), members(RATES, 0, 2))
    ((progress, saved),) = train(sweep, tiny, stop=lambda: True)
    assert saved == tmp_path / "2"
    losses = [float(member.losses[-1]) for member in progress.members]
    assert sweep.best is sweep.standings[int(np.argmin(losses))]
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load_info(2).seed == sweep.best.member.seed
    assert checkpoints.best() is None


@pytest.mark.slow
def test_best_by_cider_and_patience_are_each_members_own(tiny, info, tmp_path):
    info = changed(info, val_images=5, best_by="cider", patience=1)
    found = members({"learning_rate": (1e-30, 1e-2)}, 0, 1)
    sweep = open_sweep(tmp_path, info, found)
    train(sweep, tiny)
    still, moving = sweep.standings
    # Nothing changes after the first epoch, so that the second is one too many.
    assert still.ended and still.best_at == 5
    assert len(read_metrics(tmp_path / still.member.name)) == 10
    ciders = [row["val_cider"] for row in read_metrics(tmp_path / moving.member.name)[4::5]]
    assert moving.best.cider == max(ciders)
    step, rank = Checkpoints(tmp_path).best()
    assert -rank == max(still.best.cider, moving.best.cider)
    params, about = Checkpoints(tmp_path).load_params(step)
    assert ValidationCider(about.model, tiny, 5)(params) == pytest.approx(-rank)


def test_overwrite_deletes_what_a_sweep_wrote_and_nothing_else(tiny, info, tmp_path):
    found = members(RATES, 0, 1)
    train(open_sweep(tmp_path, info, found), tiny)
    mine = [
        tmp_path / "notes.txt",
        tmp_path / found[0].name / "mine.txt",
        # A run that stands beside it under a name like a member's.
        tmp_path / "seed=7" / "metrics.jsonl",
        tmp_path / "seed=7" / "run.json",
        tmp_path / "seed=8" / "a.jpg",
    ]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    with pytest.raises(FileExistsError, match="already holds a run.*--overwrite"):
        open_sweep(tmp_path, info, found)
    with pytest.raises(FileExistsError, match="already holds a run.*--overwrite"):
        open_run(tmp_path, info, jax.random.key(0))
    run = open_run(tmp_path, info, jax.random.key(0), overwrite=True)
    assert run.checkpoints.steps == []
    assert not (tmp_path / found[1].name).exists()
    assert not (tmp_path / found[0].name / "metrics.jsonl").exists()
    assert all(path.read_text() == "mine" for path in mine)


def test_a_bad_value_deletes_nothing(tiny, info, tmp_path):
    found = members(RATES, 0, 1)
    train(open_sweep(tmp_path, info, found), tiny)
    with pytest.raises(ValueError, match="learning_rate must be above 0"):
        open_sweep(tmp_path, info, members({"learning_rate": (0.0,)}, 0, 1), overwrite=True)
    assert (tmp_path / found[0].name / "metrics.jsonl").exists()


def test_all_that_diverge_are_the_usual_error(tiny, info, tmp_path):
    info = changed(info, optimiser=OptimiserConfig(1e38))
    with pytest.raises(FloatingPointError, match="try a smaller --learning_rate"):
        train(open_sweep(tmp_path, info, members({}, 0, 2)), tiny)
