"""Checkpoints: round trips, which are kept, and refusals that name both values."""

import dataclasses
from contextlib import nullcontext

import pytest
from tiny_checkpoints import INFO, assert_same, state_at

from jaxcap.learning import checkpoint_info
from jaxcap.learning.checkpoint_info import FormatError, RunInfo, Validation
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.config import OptimiserConfig
from jaxcap.text.vocabulary import Vocabulary


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of iterations 2 (the best), 4, 6 and 8; 6 has no validation loss."""
    checkpoints = Checkpoints(str(tmp_path / "run"), create=True)
    for step, loss in ((2, 3.0), (4, 5.0), (6, None), (8, 4.0)):
        checkpoints.save(state_at(step, seed=step), INFO, Validation(loss))
    return checkpoints


def cut_short(path):
    """Every file in it, as a crash does."""
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:5])


def test_round_trip_is_exact_and_newest_two_and_best_are_kept(saved):
    restored = saved.load_state(8, state_at(0))
    assert_same(restored, state_at(8, seed=8))
    assert type(restored.opt_state) is type(state_at(0).opt_state)
    assert (saved.steps, saved.best()) == ([2, 6, 8], (2, 3.0))
    again = Checkpoints(saved.folder)
    for loaded, step in ((again.load(), 2), (again.load("best"), 2), (again.load("newest"), 8)):
        assert (loaded.path, loaded.info) == (saved.path(step), INFO)
        assert_same(loaded.params, state_at(step, seed=step).params)
    saved.save(state_at(8, seed=3), INFO, Validation())
    assert_same(saved.load_state(8, state_at(0)), state_at(8, seed=8))


def test_best_by_cider_is_the_highest(tmp_path):
    checkpoints = Checkpoints(tmp_path, create=True)
    checkpoints.save(state_at(1), INFO, Validation())
    checkpoints.save(state_at(2), INFO, Validation(cider=0.5))
    assert (checkpoints.best(), checkpoints.steps) == (None, [1, 2])
    with pytest.warns(UserWarning, match="no checkpoint was validated, so the newest is used"):
        assert checkpoints.load("best").path.name == "2"
    for step, (loss, cider) in enumerate([(3.0, 0.4), (2.0, 0.7), (1.0, 0.5), (0.5, 0.6)], 3):
        checkpoints.save(state_at(step), INFO, Validation(loss, cider, "cider"))
    assert Checkpoints(tmp_path).best() == (4, -0.7)
    assert checkpoints.steps == [4, 5, 6]


def test_what_may_have_been_the_best_is_passed_over_and_not_deleted(saved):
    cut_short(saved.path(2) / "validation")
    again = Checkpoints(saved.folder)
    with pytest.warns(UserWarning, match="run/2: its validation cannot be read, so that it does"):
        assert (again.best(), again.load("best").path.name) == ((8, 4.0), "8")
    with pytest.warns(UserWarning, match="run/2: its validation cannot be read"):
        saved.save(state_at(9), INFO, Validation(6.0))
    assert saved.steps == [2, 8, 9]


@pytest.mark.parametrize("create", [False, True])
def test_half_written_newest_is_passed_over_with_a_warning(saved, create):
    unfinished = saved.folder / "10.orbax-checkpoint-tmp-123"
    (unfinished / "params").mkdir(parents=True)
    again = Checkpoints(saved.folder, create=create)
    with pytest.warns(UserWarning, match=r"10.orbax-checkpoint-tmp-123: is half-written"):
        assert again.load("newest").path.name == "8"
    assert unfinished.exists() is not create


def test_nothing_readable_names_the_folder_and_what_was_tried(saved, tmp_path):
    for step in saved.steps:
        cut_short(saved.path(step) / "info")
    again = Checkpoints(saved.folder)
    with pytest.warns(UserWarning), pytest.raises(FileNotFoundError, match=r"run: .*8, 6, 2"):
        again.load("newest")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty: holds no readable checkpoint"):
        Checkpoints(tmp_path / "empty").load("newest")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        Checkpoints(tmp_path / "nowhere")


def test_a_cell_that_is_gone_and_another_format_are_one_sentence(saved, monkeypatch):
    """An older checkpoint would not help, and so none is tried."""
    info = saved.load_info(8).to_json()
    info["model"]["cell"] = "gone_module:Cell"
    with pytest.raises(FormatError, match="^run/8: was trained with .*gone_module:Cell"):
        RunInfo.from_json(info, "run/8")
    with pytest.raises(ValueError, match="unknown field 'more'"):
        RunInfo.from_json({**INFO.to_json(), "more": 1}, "run/8")
    monkeypatch.setattr(checkpoint_info, "FORMAT", 99)
    with pytest.raises(FormatError, match="run/8: has checkpoint format 1, .* reads format 99"):
        saved.load("newest")


NET = {"name": "net", "version": "1"}
ENCODED = dataclasses.replace(INFO, data=dataclasses.replace(INFO.data, encoder=NET))


def info(of=INFO, **changes):
    """With other fields of the data, training or optimiser, or of its own."""
    for part, fields in changes.items():
        value = getattr(of, part, None)
        value = dataclasses.replace(value, **fields) if isinstance(fields, dict) else fields
        of = dataclasses.replace(of, **{part: value})
    return of


COSINE = OptimiserConfig(clip_norm=5.0, lr_schedule="cosine")


@pytest.mark.parametrize(
    ("before", "now", "message"),
    [
        (INFO, info(data={"feature_dim": 512}), "feature_dim 3, but here has feature_dim 512"),
        (ENCODED, info(data={"encoder": {**NET, "version": "2"}}), "'1'}, but here .* {.*'2'}"),
        (ENCODED, INFO, "encoder {'name': 'net', .*}, but here has encoder None"),
        (ENCODED, ENCODED, None),
    ],
)
def test_other_features_are_refused(before, now, message):
    with refused(message):
        before.check_data(now.data, "here", "run")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a", "cat", "on", "grass", "dog"], "run: .*of 8 words .*words.json has 9 words"),
        (["a", "on", "cat", "grass"], "id 5 is 'cat' in the checkpoint and 'on' in the data"),
        (["a", "cat", "on", "grass"], None),
    ],
)
def test_vocabulary_of_another_size_or_order_is_refused(words, message):
    with refused(message):
        INFO.check_vocabulary(Vocabulary.build(words), "words.json", "run")


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (info(model={"hidden_dim": 16}), "hidden_dim 4, now it is 16"),
        (info(training={"batch_size": 50}), "batch_size 25, now it is 50"),
        (info(training={"optimiser": OptimiserConfig()}), "clip_norm 5.0, now it is None"),
        (info(training={"optimiser": COSINE}), "lr_schedule exponential, now it is cosine"),
        (info(seed=1), "seed 0, now it is 1"),
        (info(data={"name": "other"}), "data name tiny, now it is other"),
        (info(training={"num_epochs": 99, "patience": 3}), None),
    ],
)
def test_resuming_under_other_settings_is_refused(now, message):
    with refused(message):
        INFO.check_same_run(now, "run")


def refused(message):
    return nullcontext() if message is None else pytest.raises(ValueError, match=message)
