"""Processes that train together on this machine, over loopback with gloo."""

import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from command_calls import ROOT, assert_fails, call, environment, start

from jaxcap.commands import scale as scale_flags
from jaxcap.learning import processes
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.metrics import read_metrics

SMALL = [
    "--hidden_dim=16",
    "--wordvec_dim=8",
    "--batch_size=8",
    "--order=shuffle",
    "--log_every=2",
    "--notensorboard",
]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def together(num, *arguments, **differing):
    """Start `num` processes of training; those that are left are killed at the end.

    `differing` are flags with a value for each process.
    """
    coordinator = f"--coordinator=127.0.0.1:{free_port()}"
    started = []
    try:
        for i in range(num):
            own = [f"--{name}={values[i]}" for name, values in differing.items()]
            one = [coordinator, f"--num_processes={num}", f"--process_id={i}"]
            started.append(start("train", *arguments, *one, *own))
        yield started
    finally:
        kill(started)


def kill(started):
    for process in started:
        process.kill()
        process.communicate()


def ends(started, timeout):
    """Exit code, stdout and stderr of each process; all must end in time."""
    deadline = time.monotonic() + timeout
    results = []
    for process in started:
        out, err = process.communicate(timeout=max(deadline - time.monotonic(), 0.1))
        results.append((process.returncode, out, err))
    return results


def wait_for_iteration(folder, iteration, started, timeout=240):
    deadline = time.monotonic() + timeout
    while not any(row["iteration"] >= iteration for row in read_metrics(folder)):
        assert time.monotonic() < deadline
        for process in started:
            assert process.poll() is None, process.communicate()
        time.sleep(0.2)


def losses(folder):
    return [row["loss"] for row in read_metrics(folder)]


def errors(err):
    return [line for line in err.splitlines() if line.startswith("error: ")]


@pytest.fixture(scope="module")
def alone(tiny_dir, tmp_path_factory):
    """The losses of one process on one device, over 6 epochs of 5 minibatches."""
    folder = tmp_path_factory.mktemp("alone")
    code, _, err = call(
        "train", f"--data_dir={tiny_dir}", f"--checkpoint_dir={folder}", "--num_epochs=6", *SMALL
    )
    assert code == 0, err
    return losses(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num", "options"),
    [(2, ["--val_images=5"]), (4, ["--vocab_shards=2"])],
    ids=["two", "four"],
)
def test_losses_are_those_of_one_process(tiny_dir, tmp_path, alone, num, options):
    folder = f"--checkpoint_dir={tmp_path}"
    with together(
        num, f"--data_dir={tiny_dir}", folder, "--num_epochs=6", *SMALL, *options
    ) as started:
        first, *others = ends(started, 400)
    assert first[0] == 0, first[2]
    assert "(Epoch 6 / 6) val loss" in first[1]
    assert f"devices: {num} of {num} processes" in first[1]
    for code, out, err in others:
        assert code == 0, err
        assert all(line.startswith("[Gloo]") for line in out.splitlines())
    np.testing.assert_allclose(losses(tmp_path), alone, rtol=0, atol=1e-5 * max(alone))
    assert Checkpoints(tmp_path).steps[-1] == 30


@pytest.mark.slow
@pytest.mark.parametrize(("num", "victim"), [(2, 1), (2, 0), (4, 2)])
def test_a_killed_process_stops_the_others_and_all_resume(tiny_dir, tmp_path, alone, num, victim):
    given = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL]
    with together(num, *given, "--num_epochs=100000", "--save_every=2") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[victim].kill()
        results = ends(started, 60)
    for i, (code, _, err) in enumerate(results):
        assert code != 0
        if i != victim:
            (line,) = errors(err)[-1:]
            assert f"process {i} of {num}" in line
            assert "--resume" in line
    saved = Checkpoints(tmp_path).steps[-1]
    assert saved >= 10
    # On to the next epoch but one, together.
    epochs = f"--num_epochs={saved // 5 + 2}"
    with together(num, *given, epochs, "--resume") as started:
        for code, _, err in ends(started, 400):
            assert code == 0, err
    assert len(losses(tmp_path)) == saved // 5 * 5 + 10
    np.testing.assert_allclose(
        losses(tmp_path)[: len(alone)],
        alone[: len(losses(tmp_path))],
        rtol=0,
        atol=1e-5 * max(alone),
    )
    # And one process goes on from what they saved.
    code, out, err = call("train", *given, f"--num_epochs={saved // 5 + 3}", "--resume")
    assert code == 0, err
    assert f"at iteration {saved // 5 * 5 + 10}" in out


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_one_iteration(tiny_dir, tmp_path):
    given = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL]
    with together(2, *given, "--num_epochs=100000", "--save_every=100000") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[1].send_signal(signal.SIGTERM)
        first, second = ends(started, 60)
    assert (first[0], second[0]) == (143, 143), first[2] + second[2]
    last = len(losses(tmp_path))
    assert f"stopped after iteration {last}: the same command with --resume goes on" in first[1]
    assert Checkpoints(tmp_path).steps[-1] == last


@pytest.mark.slow
def test_processes_find_each_other_by_what_slurm_sets(tiny_dir, tmp_path):
    """As `srun` would set it for two tasks on this host."""
    job = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "JAX_COORDINATOR_PORT": str(free_port()),
    }
    given = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL, "--num_epochs=1"]
    started = []
    try:
        for i in ("0", "1"):
            task = {"SLURM_PROCID": i, "SLURM_LOCALID": i}
            started.append(start("train", *given, "--distributed", **job, **task))
        first, second = ends(started, 240)
    finally:
        kill(started)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "devices: 2 of 2 processes" in first[1]


@pytest.mark.slow
def test_processes_with_other_flags_are_refused(tiny_dir, tmp_path):
    given = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL, "--num_epochs=2"]
    with together(2, *given, seed=[0, 1]) as started:
        for result in ends(started, 240):
            assert_fails(result, "process 1 was started with flags or data other than process 0's")


@pytest.mark.slow
def test_a_fault_in_one_process_stops_the_others(tiny_dir, tmp_path):
    given = [f"--checkpoint_dir={tmp_path / 'run'}", *SMALL, "--num_epochs=2"]
    with together(2, *given, data_dir=[tiny_dir, tmp_path / "missing"]) as started:
        first, second = ends(started, 120)
    assert_fails(second, "missing: no such folder")
    assert first[0] != 0
    (line,) = errors(first[2])[-1:]
    assert "process 0 of 2" in line


@pytest.mark.slow
def test_a_coordinator_that_is_not_there_is_an_error_in_time():
    coordinator = f"127.0.0.1:{free_port()}"
    code = (
        "from jaxcap.learning import processes\n"
        f"processes.connect('{coordinator}', 2, 1, seconds=3)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode != 0
    (line,) = errors(result.stderr)
    assert f"process 1 of 2 found no others at --coordinator={coordinator} within 3 s" in line


@pytest.mark.slow
def test_what_is_no_cluster_is_an_error(tmp_path):
    result = call("train", f"--checkpoint_dir={tmp_path}", "--distributed")
    assert_fails(result, "--distributed finds no SLURM, Open MPI or TPU pod", "--coordinator")


@pytest.fixture
def connect(monkeypatch):
    """`connect(*flags)`: what the flags make of `processes.connect`."""
    calls = []
    monkeypatch.setattr(processes, "connect", lambda *given: calls.append(given))

    def connect(*given):
        flags.FLAGS([sys.argv[0], *given])
        scale_flags.connect()
        return calls

    with flagsaver.flagsaver():
        yield connect


THREE = ["--coordinator=node1:29500", "--num_processes=2", "--process_id=1"]


@pytest.mark.parametrize(
    ("given", "calls"), [([], []), (["--distributed"], [()]), (THREE, [("node1:29500", 2, 1)])]
)
def test_flags_join_processes(connect, given, calls):
    assert connect(*given) == calls


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (THREE[:1], "needed together: --num_processes, --process_id missing"),
        (THREE[1:], "needed together: --coordinator missing"),
        ([*THREE, "--distributed"], "either it or those three"),
        ([*THREE, "--coordinator=node1"], "--coordinator=node1: expected HOST:PORT"),
        ([*THREE, "--coordinator=node1:99999"], "expected HOST:PORT"),
        ([*THREE, "--process_id=2"], "--process_id=2: expected 0 to 1, for --num_processes=2"),
    ],
)
def test_flags_that_cannot_be_are_refused(connect, given, message):
    with pytest.raises(ValueError, match=message):
        connect(*given)
