"""Checkpoints: round trips, refusals that name both values, and what happens to broken ones."""

import dataclasses
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoints import INFO, assert_same, state_at

from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints, FormatError, Validation
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.text.vocabulary import Vocabulary


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of iterations 2 (the best), 4, 6 and 8; 6 has no validation loss."""
    checkpoints = Checkpoints(tmp_path / "run", create=True)
    for step, loss in ((2, 3.0), (4, 5.0), (6, None), (8, 4.0)):
        checkpoints.save(state_at(step, seed=step), INFO, Validation(loss))
    return checkpoints


def test_round_trip_is_exact(saved):
    restored = saved.load_state(8, state_at(0))
    assert_same(restored, state_at(8, seed=8))
    assert type(restored.opt_state) is type(state_at(0).opt_state)
    params, info = saved.load_params(8)
    assert_same(params, state_at(8, seed=8).params)
    assert info == INFO


def test_newest_two_and_best_are_kept(saved):
    assert saved.steps == [2, 6, 8]
    assert saved.best() == (2, 3.0)
    assert Checkpoints(saved.folder).best() == (2, 3.0)


def test_nothing_is_best_without_validation(tmp_path):
    checkpoints = Checkpoints(tmp_path, create=True)
    checkpoints.save(state_at(1), INFO, Validation())
    checkpoints.save(state_at(2), INFO, Validation(cider=0.5))
    assert checkpoints.best() is None
    assert checkpoints.steps == [1, 2]


def test_best_by_cider_is_the_highest(tmp_path):
    checkpoints = Checkpoints(tmp_path, create=True)
    for step, (loss, cider) in enumerate([(3.0, 0.4), (2.0, 0.7), (1.0, 0.5), (0.5, 0.6)], 1):
        checkpoints.save(state_at(step), INFO, Validation(loss, cider, "cider"))
    assert Checkpoints(tmp_path).best() == (2, -0.7)
    assert checkpoints.steps == [2, 3, 4]


def test_a_cut_short_validation_loss_is_no_loss(saved):
    for path in (saved.path(2) / "validation").iterdir():
        path.write_bytes(path.read_bytes()[:5])
    again = Checkpoints(saved.folder)
    with pytest.warns(UserWarning, match="run/2: its validation cannot be read, so that it does"):
        assert again.best() == (8, 4.0)
    assert again.load_newest(again.load_info, best=True)[0] == 8


def test_what_may_have_been_the_best_is_not_deleted(saved):
    for path in (saved.path(2) / "validation").iterdir():
        path.write_bytes(path.read_bytes()[:5])
    with pytest.warns(UserWarning, match="run/2: its validation cannot be read"):
        saved.save(state_at(9), INFO, Validation(6.0))
    assert saved.steps == [2, 8, 9]


def test_best_where_none_was_validated_says_so(tmp_path):
    checkpoints = Checkpoints(tmp_path, create=True)
    checkpoints.save(state_at(1), INFO, Validation())
    with pytest.warns(UserWarning, match="none was validated.*the newest is used"):
        assert checkpoints.load_newest(checkpoints.load_info, best=True)[0] == 1


SAVE_ON_ANOTHER_DEVICE = """
import sys, jax
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from jaxcap.learning.checkpoints import Checkpoints, Validation
from tiny_checkpoints import INFO, state_at
with jax.default_device(jax.devices()[1]):
    state = state_at(1)
    Checkpoints(Path(sys.argv[1]), create=True).save(state, INFO, Validation())
np.savez(sys.argv[3], **state.params)
"""


@pytest.mark.slow
def test_parameters_load_on_other_devices_than_they_were_saved_on(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    saved, folder = tmp_path / "saved.npz", tmp_path / "run"
    command = [
        sys.executable,
        "-c",
        SAVE_ON_ANOTHER_DEVICE,
        folder,
        Path(__file__).parents[1],
        saved,
    ]
    subprocess.run(command, check=True, env={**os.environ, "XLA_FLAGS": flags})
    with np.load(saved) as expected:
        assert_same(Checkpoints(folder).load_params(1)[0], dict(expected))


def test_best_on_request(saved):
    assert saved.load_newest(saved.load_info)[0] == 8
    assert saved.load_newest(saved.load_info, best=True)[0] == 2


def test_saving_an_iteration_twice_keeps_the_first(saved):
    saved.save(state_at(8, seed=3), INFO, Validation())
    assert_same(saved.load_state(8, state_at(0)), state_at(8, seed=8))


def truncate(folder):
    """Cut the largest file of a checkpoint in half, as a crash does."""
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


@pytest.mark.parametrize("damage", ["truncated", "item missing", "info cut short", "all cut short"])
def test_broken_newest_is_passed_over_with_a_warning(saved, damage):
    newest = saved.path(8)
    if damage == "truncated":
        truncate(newest / "params")
    elif damage == "item missing":
        for path in sorted((newest / "params").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        (newest / "params").rmdir()
    elif damage == "info cut short":
        truncate(newest / "info")
    else:
        for path in newest.rglob("*"):
            if path.is_file():
                path.write_bytes(b"")
    again = Checkpoints(saved.folder)
    with pytest.warns(UserWarning, match=r"run/8: cannot be read and is passed over"):
        step, (params, _) = again.load_newest(again.load_params)
    assert step == 6
    assert_same(params, state_at(6, seed=6).params)


@pytest.mark.parametrize("create", [False, True])
def test_half_written_newest_is_passed_over_with_a_warning(saved, create):
    unfinished = saved.folder / "10.orbax-checkpoint-tmp-123"
    (unfinished / "params").mkdir(parents=True)
    again = Checkpoints(saved.folder, create=create)
    with pytest.warns(UserWarning, match=r"10.orbax-checkpoint-tmp-123: is half-written"):
        step, _ = again.load_newest(again.load_params)
    assert step == 8
    assert unfinished.exists() is not create


def test_set_aside_makes_room_for_the_same_iteration(saved):
    truncate(saved.path(8) / "params")
    saved.set_aside_after(6)
    assert saved.steps == [2, 6]
    assert (saved.folder / "unreadable-8").is_dir()
    saved.save(state_at(8, seed=1), INFO, Validation(2.0))
    assert_same(saved.load_state(8, state_at(0)), state_at(8, seed=1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saved.load_newest(saved.load_info)[0] == 8


def test_nothing_readable_names_the_folder_and_what_was_tried(saved, tmp_path):
    for step in saved.steps:
        truncate(saved.path(step) / "info")
    again = Checkpoints(saved.folder)
    with pytest.warns(UserWarning), pytest.raises(FileNotFoundError, match=r"run: .*8, 6, 2"):
        again.load_newest(again.load_info)
    (tmp_path / "empty").mkdir()
    empty = Checkpoints(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="empty: holds no readable checkpoint"):
        empty.load_newest(empty.load_info)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        Checkpoints(tmp_path / "nowhere")


def test_failed_write_names_the_folder_and_keeps_the_others(saved, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saved._manager, "save", full)
    with pytest.raises(OSError, match=r"run: could not write.*iteration 9.*No space left"):
        saved.save(state_at(9), INFO, Validation())
    assert saved.steps == [2, 6, 8]


def test_a_cell_that_is_gone_is_one_sentence(saved):
    """Neither an older checkpoint nor a newer version would help, and so none is tried."""
    info = saved.load_info(8).to_json()
    info["model"]["cell"] = "gone_module:Cell"
    with pytest.raises(FormatError, match="^run/8: was trained with --cell=gone_module:Cell: "):
        CheckpointInfo.from_json(info, Path("run/8"))


def test_another_format_is_refused(saved, monkeypatch):
    monkeypatch.setattr("jaxcap.learning.checkpoints.FORMAT", 99)
    with pytest.raises(FormatError, match="run/8: has checkpoint format 1, .* reads format 99"):
        saved.load_newest(saved.load_params)


def test_vocabulary_of_another_size_or_order_is_refused(tmp_path):
    larger = Vocabulary.build(["a", "cat", "on", "grass", "dog"])
    with pytest.raises(ValueError, match=r"run: .*of 8 words .*words.json has 9 words"):
        INFO.check_vocabulary(larger, tmp_path / "words.json", tmp_path / "run")
    reordered = Vocabulary.build(["a", "on", "cat", "grass"])
    with pytest.raises(ValueError, match=r"id 5 is 'cat' in the checkpoint and 'on' in the data"):
        INFO.check_vocabulary(reordered, tmp_path / "words.json", tmp_path / "run")
    INFO.check_vocabulary(Vocabulary.build(["a", "cat", "on", "grass"]), tmp_path, tmp_path)


def test_other_features_are_refused(tmp_path):
    wide = dataclasses.replace(INFO.data, feature_dim=512)
    with pytest.raises(ValueError, match=r"feature_dim 3, but .*here has feature_dim 512"):
        INFO.check_data(wide, tmp_path / "here", tmp_path)


def test_another_encoder_is_refused(tmp_path):
    encoder = {"name": "net", "version": "1"}
    info = dataclasses.replace(INFO, data=dataclasses.replace(INFO.data, encoder=encoder))
    info.check_data(info.data, tmp_path, tmp_path)
    newer = dataclasses.replace(INFO.data, encoder={"name": "net", "version": "2"})
    with pytest.raises(ValueError, match=r"encoder {'version': '1'}, but .* {'version': '2'}"):
        info.check_data(newer, tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"encoder {'name': 'net', .*}, but .* encoder None"):
        info.check_data(INFO.data, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": dataclasses.replace(INFO.model, hidden_dim=16)},
            "hidden_dim 4, now it is 16",
        ),
        (
            {"training": dataclasses.replace(INFO.training, batch_size=50)},
            "batch_size 25, now it is 50",
        ),
        (
            {"training": dataclasses.replace(INFO.training, optimiser=OptimiserConfig())},
            "clip_norm 5.0, now it is None",
        ),
        (
            {
                "training": dataclasses.replace(
                    INFO.training, optimiser=OptimiserConfig(clip_norm=5.0, lr_schedule="cosine")
                )
            },
            "lr_schedule exponential, now it is cosine",
        ),
        ({"seed": 1}, "seed 0, now it is 1"),
        ({"data": dataclasses.replace(INFO.data, name="other")}, "data name tiny, now it is other"),
    ],
)
def test_going_on_under_other_settings_is_refused(change, message, tmp_path):
    now = dataclasses.replace(INFO, **change)
    with pytest.raises(ValueError, match=re.escape(message)):
        INFO.check_same_run(now, tmp_path)


def test_more_epochs_are_the_same_run(tmp_path):
    longer = dataclasses.replace(INFO.training, num_epochs=99)
    INFO.check_same_run(dataclasses.replace(INFO, training=longer), tmp_path)
