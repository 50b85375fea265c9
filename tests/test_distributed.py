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

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--order=shuffle"]
SMALL += ["--log_every=2", "--notensorboard"]


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextmanager
def together(num, *arguments, own=(), env=()):
    """Start `num` processes of training; those that are left are killed at the end.

    `own` are flags and `env` environment variables of each process.
    """
    port, started = free_port(), []
    try:
        for i in range(num):
            joined = [f"--coordinator=127.0.0.1:{port}", f"--num_processes={num}"]
            joined = ["--distributed"] if env else [*joined, f"--process_id={i}"]
            more = dict(env[i], JAX_COORDINATOR_PORT=str(port)) if env else {}
            started.append(start("train", *arguments, *joined, *own[i : i + 1], **more))
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ends(started, timeout=240):
    """Exit code, stdout and stderr of each process; all must end in time."""
    deadline = time.monotonic() + timeout
    found = [p.communicate(timeout=max(deadline - time.monotonic(), 0.1)) for p in started]
    return [(p.returncode, *texts) for p, texts in zip(started, found, strict=True)]


def wait_for_iteration(folder, iteration, started):
    while not any(row["iteration"] >= iteration for row in read_metrics(folder)):
        assert all(process.poll() is None for process in started)
        time.sleep(0.2)


def losses(folder):
    return [row["loss"] for row in read_metrics(folder)]


@pytest.fixture(scope="module")
def alone(tiny_dir, tmp_path_factory):
    """The losses of one process on one device, over 6 epochs of 5 minibatches."""
    folder = tmp_path_factory.mktemp("alone")
    flags = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={folder}", "--num_epochs=6", *SMALL]
    code, _, err = call("train", *flags)
    assert code == 0, err
    return losses(folder)


@pytest.fixture
def given(tiny_dir, tmp_path):
    return [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL]


def assert_near(found, alone):
    num = min(len(found), len(alone))
    np.testing.assert_allclose(found[:num], alone[:num], rtol=0, atol=1e-5 * max(alone))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("num", "options"),
    [(2, ["--val_images=5"]), (4, ["--vocab_shards=2"])],
)
def test_losses_are_those_of_one_process(given, tmp_path, alone, num, options):
    with together(num, *given, "--num_epochs=6", *options) as started:
        first, *others = ends(started)
    assert first[0] == 0, first[2]
    assert "(Epoch 6 / 6) val loss" in first[1]
    assert f"devices: {num} of {num} processes" in first[1]
    for code, out, err in others:
        assert code == 0, err
        assert all(line.startswith("[Gloo]") for line in out.splitlines())
    assert len(losses(tmp_path)) == Checkpoints(tmp_path).steps[-1] == 30
    assert_near(losses(tmp_path), alone)


@pytest.mark.nightly
@pytest.mark.parametrize(("num", "victim"), [(2, 1), (2, 0), (4, 2)])
def test_a_killed_process_stops_the_others_and_all_resume(given, tmp_path, alone, num, victim):
    with together(num, *given, "--num_epochs=100000", "--save_every=2") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[victim].kill()
        results = ends(started, 60)
    for i, result in enumerate(results):
        assert result[0] != 0
        if i != victim:
            assert_last_error(result, f"process {i} of {num}", "--resume")
    epochs = Checkpoints(tmp_path).steps[-1] // 5
    assert epochs >= 2
    # On to the next epoch but one, together.
    with together(num, *given, f"--num_epochs={epochs + 2}", "--resume") as started:
        assert [code for code, _, _ in ends(started)] == [0] * num
    assert len(losses(tmp_path)) == 5 * epochs + 10
    assert_near(losses(tmp_path), alone)
    # And one process goes on from what they saved.
    code, out, err = call("train", *given, f"--num_epochs={epochs + 3}", "--resume")
    assert code == 0 and f"at iteration {5 * epochs + 10}" in out, err


@pytest.mark.nightly
def test_a_signal_to_one_process_stops_all_at_one_iteration(given, tmp_path):
    with together(2, *given, "--num_epochs=100000", "--save_every=100000") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[1].send_signal(signal.SIGTERM)
        first, second = ends(started, 60)
    assert (first[0], second[0]) == (143, 143), first[2] + second[2]
    last = len(losses(tmp_path))
    assert f"stopped after iteration {last}: the same command with --resume goes on" in first[1]
    assert Checkpoints(tmp_path).steps[-1] == last


@pytest.mark.nightly
def test_processes_find_each_other_by_what_slurm_sets(given):
    """As `srun` would set it for two tasks on this host."""
    job = {"SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    env = [{**job, "SLURM_PROCID": i, "SLURM_LOCALID": i} for i in ("0", "1")]
    with together(2, *given, "--num_epochs=1", env=env) as started:
        first, second = ends(started)
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "devices: 2 of 2 processes" in first[1]


def assert_last_error(result, *texts):
    *_, last = [line for line in result[2].splitlines() if line.startswith("error: ")]
    assert all(text in last for text in texts), last


@pytest.mark.nightly
def test_processes_that_differ_or_fail_stop_the_others(given, tmp_path):
    with together(2, *given, "--num_epochs=2", own=["--seed=0", "--seed=1"]) as started:
        for result in ends(started):
            assert_fails(result, "process 1 was started with flags or data other than process 0's")
    own = ["--num_epochs=2", f"--data_dir={tmp_path / 'missing'}"]
    with together(2, *given, "--num_epochs=2", own=own) as started:
        first, second = ends(started, 120)
    assert_fails(second, "missing: no such folder")
    assert first[0] != 0
    assert_last_error(first, "process 0 of 2")


@pytest.mark.nightly
def test_a_coordinator_or_cluster_that_is_not_there_is_an_error_in_time(tmp_path):
    coordinator = f"127.0.0.1:{free_port()}"
    code = "from jaxcap.learning import processes\n"
    code += f"processes.connect('{coordinator}', 2, 1, seconds=3)"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert result.returncode != 0
    said = f"process 1 of 2 found no others at `coordinator={coordinator}` within 3 s"
    assert_last_error((1, "", result.stderr), said)
    with start("train", f"--checkpoint_dir={tmp_path}", "--distributed") as process:
        result = ends([process])[0]
    assert_fails(result, "--distributed finds no SLURM, Open MPI or TPU pod", "--coordinator")


@pytest.fixture
def connect(monkeypatch):
    """`connect(*flags)`: what the flags make of `processes.connect`."""
    calls = []
    monkeypatch.setattr(processes, "connect", lambda *given, spell: calls.append(given))

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
        (THREE[:1], "needed together: give --num_processes and --process_id too"),
        (THREE[1:], "needed together: give --coordinator too"),
        ([*THREE, "--distributed"], "or only those three"),
        ([*THREE, "--coordinator=node1"], "--coordinator=node1: expected HOST:PORT"),
        ([*THREE, "--coordinator=node1:99999"], "expected HOST:PORT"),
        ([*THREE, "--process_id=2"], "--process_id=2: expected 0 to 1, since --num_processes=2"),
    ],
)
def test_flags_that_cannot_be_are_refused(connect, given, message):
    with pytest.raises(ValueError, match=message):
        connect(*given)
