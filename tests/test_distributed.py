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
    """Start `num` processes of training, each with flags or a job's variables of its own."""
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


def ends(started):
    """Exit code, stdout and stderr of each process; all must end in time."""
    found = [process.communicate(timeout=240) for process in started]
    return [(p.returncode, *texts) for p, texts in zip(started, found, strict=True)]


def wait_for_iteration(folder, iteration, started):
    while not any(row["iteration"] >= iteration for row in read_metrics(folder)):
        assert all(process.poll() is None for process in started)
        time.sleep(0.2)


@pytest.fixture(scope="module")
def assert_near(tiny_dir, tmp_path_factory):
    """Asserts that losses are those of one process on one device, of which there are 30."""
    alone = tmp_path_factory.mktemp("alone")
    flags = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={alone}", "--num_epochs=6", *SMALL]
    assert call("train", *flags)[0] == 0

    def assert_near(folder, num):
        expected, found = ([row["loss"] for row in read_metrics(f)] for f in (alone, folder))
        assert len(found) == num
        atol = 1e-5 * max(expected)
        np.testing.assert_allclose(found[:30], expected[: len(found)], rtol=0, atol=atol)

    return assert_near


@pytest.fixture
def given(tiny_dir, tmp_path):
    return [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", *SMALL]


def last_error(err):
    return [line for line in err.splitlines() if line.startswith("error: ")][-1]


@pytest.mark.nightly
@pytest.mark.parametrize(("num", "option"), [(2, "--val_images=5"), (4, "--vocab_shards=2")])
def test_losses_are_those_of_one_process(given, tmp_path, assert_near, num, option):
    with together(num, *given, "--num_epochs=6", option) as started:
        first, *others = ends(started)
    assert first[0] == 0, first[2]
    assert "(Epoch 6 / 6) val loss" in first[1]
    assert f"devices: {num} of {num} processes" in first[1]
    for code, out, err in others:
        assert code == 0, err
        assert all(line.startswith("[Gloo]") for line in out.splitlines())
    assert Checkpoints(tmp_path).steps[-1] == 30
    assert_near(tmp_path, 30)


@pytest.mark.nightly
@pytest.mark.parametrize(("num", "victim"), [(2, 1), (2, 0), (4, 2)])
def test_a_killed_process_stops_the_others_and_all_resume(
    given, tmp_path, assert_near, num, victim
):
    with together(num, *given, "--num_epochs=100000", "--save_every=2") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[victim].kill()
        results = ends(started)
    for i, (code, _, err) in enumerate(results):
        assert code != 0
        if i != victim:
            assert f"process {i} of {num}" in last_error(err) and "--resume" in last_error(err)
    epochs = Checkpoints(tmp_path).steps[-1] // 5
    # On to the next epoch but one, together.
    with together(num, *given, f"--num_epochs={epochs + 2}", "--resume") as started:
        assert [code for code, _, _ in ends(started)] == [0] * num
    assert_near(tmp_path, 5 * epochs + 10)
    # And one process resumes what they saved.
    code, out, err = call("train", *given, f"--num_epochs={epochs + 3}", "--resume")
    assert code == 0 and f"at iteration {5 * epochs + 10}" in out, err


@pytest.mark.nightly
def test_a_signal_to_one_process_stops_all_at_one_iteration(given, tmp_path):
    with together(2, *given, "--num_epochs=100000", "--save_every=100000") as started:
        wait_for_iteration(tmp_path, 13, started)
        started[1].send_signal(signal.SIGTERM)
        first, second = ends(started)
    assert (first[0], second[0]) == (143, 143), first[2] + second[2]
    last = len(read_metrics(tmp_path))
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


@pytest.mark.nightly
def test_processes_that_differ_fail_or_are_missing_stop_the_others(given, tmp_path):
    with together(2, *given, "--num_epochs=2", own=["--seed=0", "--seed=1"]) as started:
        for result in ends(started):
            assert_fails(result, "process 1 was started with flags or data other than process 0's")
    own = ["--num_epochs=2", f"--data_dir={tmp_path / 'missing'}"]
    with together(2, *given, "--num_epochs=2", own=own) as started:
        first, second = ends(started)
    assert_fails(second, "missing: no such folder")
    assert first[0] != 0 and "process 0 of 2" in last_error(first[2])
    with together(1, *given, env=[{}]) as started:
        said = "--distributed finds no SLURM, Open MPI or TPU pod"
        assert_fails(ends(started)[0], said, "--coordinator")
    address = f"127.0.0.1:{free_port()}"
    code = f"from jaxcap.learning.processes import connect; connect('{address}', 2, 1, seconds=3)"
    command, streams = [sys.executable, "-c", code], {"capture_output": True, "text": True}
    result = subprocess.run(command, cwd=ROOT, env=environment(), **streams)
    said = f"process 1 of 2 found no others at `coordinator={address}` within 3 s"
    assert result.returncode != 0 and said in last_error(result.stderr)


THREE = ["--coordinator=node1:29500", "--num_processes=2", "--process_id=1"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ([], []),
        (["--distributed"], [()]),
        (THREE, [("node1:29500", 2, 1)]),
        (THREE[:1], "needed together: give --num_processes and --process_id too"),
        (THREE[1:], "needed together: give --coordinator too"),
        ([*THREE, "--distributed"], "or only those three"),
        ([*THREE, "--coordinator=node1"], "--coordinator=node1: expected HOST:PORT"),
        ([*THREE, "--coordinator=node1:99999"], "expected HOST:PORT"),
        ([*THREE, "--process_id=2"], "--process_id=2: expected 0 to 1, since --num_processes=2"),
    ],
)
def test_flags_join_processes_or_are_refused(monkeypatch, given, found):
    calls = []
    monkeypatch.setattr(processes, "connect", lambda *given, spell: calls.append(given))
    with flagsaver.flagsaver():
        flags.FLAGS([sys.argv[0], *given])
        if isinstance(found, str):
            with pytest.raises(ValueError, match=found):
                scale_flags.connect()
        else:
            scale_flags.connect()
            assert calls == found
