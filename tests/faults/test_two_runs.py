"""Two processes pointed at one folder: the second is refused, and the first goes on."""

import errno
import os
import platform
import signal
import time

import pytest
from command_calls import assert_fails, call
from command_calls import start as start_command
from photo_files import TinyEncoder, draw_all, write_karpathy
from runs import losses, start, train

from jaxcap.files.lock import FolderLock
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.sweep import members
from jaxcap.learning.sweep_run import open_sweep
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--notensorboard"]
HERE = f"is in use by process {os.getpid()} on {platform.node()}: give another"


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_a_folder_in_use_is_refused_and_left_alone(tiny, info, tmp_path, options):
    folder = tmp_path / "run"
    run = start(folder, info)
    steps = run.train(tiny, tensorboard=False)
    next(steps)
    before = files(folder)
    with pytest.raises(BlockingIOError, match=f"run: {HERE} --checkpoint_dir"):
        start(folder, info, **options)
    with pytest.raises(BlockingIOError, match=f"run: {HERE} --checkpoint_dir"):
        open_sweep(folder, info, members({}, 0, 2), overwrite=True)
    assert files(folder) == before
    list(steps)
    assert len(losses(folder)) == 20
    assert not list(folder.glob(".lock*"))


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


def test_a_sweep_holds_its_folder(info, tmp_path):
    sweep = open_sweep(tmp_path / "sweep", info, members({}, 0, 2))
    with pytest.raises(BlockingIOError, match=f"sweep: {HERE} --checkpoint_dir"):
        start(tmp_path / "sweep", info)
    sweep.lock.release()
    start(tmp_path / "sweep", info)


def test_a_run_that_fails_lets_go(tiny, info, tmp_path):
    folder = tmp_path / "run"
    train(start(folder, info), tiny, tensorboard=False)
    with pytest.raises(FileExistsError, match="already holds a run"):
        start(folder, info)
    with pytest.raises(ValueError, match="nothing is left to train"):
        start(folder, info, resume=True)
    with FolderLock(folder, "wait"):
        pass


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


def wait_for_training(folder, process):
    deadline = time.monotonic() + 240
    while not read_metrics(folder):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


@pytest.mark.slow
def test_the_second_process_names_the_first_and_a_dead_one_is_no_obstacle(tiny_dir, tmp_path):
    folder = tmp_path / "run"
    flags = [f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}", *SMALL]
    with start_command("train", *flags, "--num_epochs=100000") as first:
        try:
            wait_for_training(folder, first)
            named = f"process {first.pid} on {platform.node()}"
            for more in (["--overwrite"], ["--resume"], ["--seeds=2", "--overwrite"]):
                assert_fails(call("train", *flags, "--num_epochs=100000", *more), named)
            assert first.poll() is None
        finally:
            first.send_signal(signal.SIGKILL)
            first.communicate()
    assert (folder / ".lock").exists()
    done = len(read_metrics(folder))
    epochs = done // 5 + 3
    code, out, err = call("train", *flags, f"--num_epochs={epochs}", "--resume")
    assert code == 0, err
    assert "resumed" in out
    assert [row["iteration"] for row in read_metrics(folder)] == list(range(1, 5 * epochs + 1))
