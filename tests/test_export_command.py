"""A captioner made small: it says the same, is half the size, and names no place of its origin."""

import json

import numpy as np
import pytest
from command_calls import assert_fails, call

from jaxcap.learning.checkpoints import Checkpoints

FLAGS = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--num_epochs=2"]


@pytest.fixture(scope="module")
def run(tiny_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "whole"
    code, _, err = call("train", f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}", *FLAGS)
    assert code == 0, err
    return folder


@pytest.fixture(scope="module")
def exported(run):
    folder = run.parent / "small"
    code, out, err = call("export", f"--checkpoint={run}", f"--output={folder}")
    assert (code, err) == (0, "")
    assert f"wrote {folder}/" in out and out.endswith(" MB\n")
    return folder


def test_parameters_are_rounded_and_nothing_else_is_kept(run, exported):
    whole, small = Checkpoints(run), Checkpoints(exported)
    (step,) = small.steps
    assert step == whole.best()[0]
    assert small.best() == whole.best()
    expected, info = whole.load_params(step)
    found, about = small.load_params(step)
    for name, value in expected.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], np.asarray(value, np.float16))
    assert about.model == info.model and about.vocabulary == info.vocabulary
    items = {path.name for path in (exported / str(step)).iterdir()}
    assert {"params", "info", "validation"} <= items and "training" not in items
    assert str(run.parent) not in json.dumps(about.to_json())
    assert about.source.data_dir is None
    for file in exported.rglob("*"):
        assert not file.is_file() or str(exported.parent).encode() not in file.read_bytes(), file


@pytest.mark.slow
def test_it_samples_with_the_data_named_and_starts_another_run(exported, tiny_dir, tmp_path):
    assert_fails(call("sample", f"--checkpoint={exported}"), "--data_dir")
    code, out, err = call("sample", f"--checkpoint={exported}", f"--data_dir={tiny_dir}")
    assert (code, err) == (0, "") and "val 0:" in out
    where = [f"--checkpoint_dir={tmp_path / 'next'}", f"--data_dir={tiny_dir}"]
    code, _, err = call("train", *where, f"--init_from={exported}", *FLAGS)
    assert (code, err) == (0, "")


def test_bad_input_is_one_sentence(run, exported, tiny_dir, tmp_path):
    again = call("export", f"--checkpoint={run}", f"--output={exported}")
    assert_fails(again, str(exported), "is there already")
    missing = call("export", f"--checkpoint={tmp_path / 'no'}", f"--output={tmp_path / 'small'}")
    assert_fails(missing, "no such folder")
    assert not (tmp_path / "small").exists()
    where = [f"--checkpoint_dir={exported}", f"--data_dir={tiny_dir}"]
    resumed = call("train", *where, "--resume", *FLAGS)
    assert_fails(resumed, "nothing that training could go on from", "--init_from")
