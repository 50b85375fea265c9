"""Two processes pointed at one folder: the second is refused, and the first goes on."""

import errno
import os
import platform
import time

import pytest
from command_calls import assert_fails, call
from command_calls import start as start_command
from photo_files import TinyEncoder, draw_all, write_karpathy
from tiny_runs import opened, train

from jaxcap.files.lock import FolderLock
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.sweep import members, open_sweep
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation

HERE = f"is in use by process {os.getpid()} on {platform.node()}: give another"


def test_a_folder_in_use_is_refused_and_left_alone(tiny, info, tmp_path):
    folder = tmp_path / "run"

    def sweep(**start):
        return open_sweep(folder, tiny, info.model, info.training, members({}, 0, 2), **start)

    with opened(folder, info, tiny) as run:
        steps = run.steps(tensorboard=False)
        next(steps)
        before = sorted(folder.rglob("*"))
        for start in ({}, {"overwrite": True}, {"resume": True}):
            with pytest.raises(BlockingIOError, match=f"run: {HERE} `checkpoint_dir`"):
                train(folder, info, tiny, **start)
        with pytest.raises(BlockingIOError, match=HERE), sweep(overwrite=True):
            pass
        assert sorted(folder.rglob("*")) == before
        list(steps)
    assert len(read_metrics(folder)) == 20
    # It is let go of at the end, and where a run fails.
    for start, error in (({}, FileExistsError), ({"resume": True}, ValueError)):
        with pytest.raises(error):
            train(folder, info, tiny, **start)
        assert not list(folder.glob(".lock*"))
    with sweep(overwrite=True), pytest.raises(BlockingIOError, match=HERE):
        train(folder, info, tiny)


@pytest.mark.filterwarnings("ignore:flock not supported:UserWarning")
def test_where_flock_is_missing_the_folder_is_held_all_the_same(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def missing(*args):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    with FolderLock(tmp_path / "run", "give another folder"):
        with pytest.raises(BlockingIOError, match=f"run: {HERE} folder"):
            FolderLock(tmp_path / "run", "give another folder").__enter__()
    with FolderLock(tmp_path / "run", "give another folder"):
        pass
    assert not list((tmp_path / "run").iterdir())


def test_preparing_twice_into_one_folder_is_refused(tmp_path):
    captions = draw_all(tmp_path / "pictures", 8)
    source = write_karpathy(
        tmp_path / "captions.json", captions, lambda i: "train" if i % 4 else "val"
    )
    config = PreparationConfig(
        tmp_path / "pictures", source, tmp_path / "data", "tiny", min_count=1, batch_size=2
    )
    with Preparation(plan_preparation(config), TinyEncoder()) as first:
        steps = first.encode()
        next(steps)
        with pytest.raises(BlockingIOError, match=f"data.partial: {HERE} `output`"):
            Preparation(plan_preparation(config), TinyEncoder())
        list(steps)
        first.finish()
    assert not (tmp_path / ".data.partial").exists()


def test_the_second_process_names_the_first_and_a_dead_one_is_no_obstacle(tiny_dir, tmp_path):
    folder = tmp_path / "run"
    flags = [f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}", "--notensorboard"]
    flags += ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8"]
    with start_command("train", *flags, "--num_epochs=100000") as first:
        try:
            while not read_metrics(folder):
                assert first.poll() is None
                time.sleep(0.05)
            named = f"process {first.pid} on {platform.node()}"
            for more in (["--overwrite"], ["--resume"]):
                assert_fails(call("train", *flags, "--num_epochs=100000", *more), named)
            assert first.poll() is None
        finally:
            first.kill()
            first.communicate()
    assert (folder / ".lock").exists()
    epochs = len(read_metrics(folder)) // 5 + 3
    code, out, err = call("train", *flags, f"--num_epochs={epochs}", "--resume")
    assert code == 0 and "resumed" in out, err
    assert [row["iteration"] for row in read_metrics(folder)] == list(range(1, 5 * epochs + 1))
