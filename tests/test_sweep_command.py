"""`jaxcap.train` with --sweep and --seeds, as a user starts it."""

import json
import re
import signal

import pytest
from command_calls import assert_fails, call, start
from PIL import Image

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.metrics import read_metrics

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--log_every=5"]


@pytest.mark.slow
def test_a_sweep_keeps_its_best_and_equals_runs_alone(tiny_dir, tmp_path):
    folder, flags = tmp_path / "sweep", [f"--data_dir={tiny_dir}", "--num_epochs=3", *SMALL]
    # What a seed draws of the captions is a member's own too.
    flags += ["--max_train=40", f"--checkpoint_dir={folder}"]
    rates = ["--sweep", "learning_rate=1e-3,1e-2,1e38", "--seeds=2", "--seed=4"]
    code, out, err = call("train", *flags, *rates)
    assert (code, err) == (0, "")
    assert "training 6 captioners" in out
    failures = re.findall(r"^learning_rate=1e\+38,seed=(\d): .*left out from here on$", out, re.M)
    assert failures == ["4", "5"]
    table = re.findall(r"^(learning_rate=\S+)  +(\S+)  +(\S+)  +(\S+)$", out, re.M)
    assert len(table) == 6
    best, _, loss, iteration = table[0]
    assert f"{folder}: holds the best, {best}" in out
    assert re.search(rf"^saved {folder}/{iteration}, {re.escape(best)}$", out, re.M)
    with Image.open(folder / "loss.png") as image:
        assert image.size[0] > 500
    (start,) = json.loads((folder / "run.json").read_text())
    assert start["flags"]["seeds"] == 2

    checkpoints = Checkpoints(folder)
    step, rank = checkpoints.best()
    assert (str(step), f"{rank:.6f}") == (iteration, loss)
    assert checkpoints.load_info(step).seed == int(best[-1])
    assert call("sample", f"--checkpoint={folder}", "--num=2")[0] == 0

    own = ["--learning_rate=1e-2", "--seed=5", f"--checkpoint_dir={tmp_path / 'own'}"]
    assert call("train", *flags, *own)[0] == 0
    ours, theirs = (
        [row["loss"] for row in read_metrics(path)]
        for path in (folder / "learning_rate=0.01,seed=5", tmp_path / "own")
    )
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert_fails(call("train", *flags, *rates), str(folder), "--overwrite")
    assert_fails(call("train", *flags, "--resume"), str(folder), "holds a sweep", "--init_from")
    assert_fails(call("train", *flags, *rates, "--resume"), "a sweep cannot be resumed")
    assert_fails(call("train", *flags, "--sweep=hidden_dim=8,16"), "learning_rate, lr_decay")


@pytest.mark.slow
def test_a_stopped_sweep_keeps_the_best_so_far(tiny_dir, tmp_path):
    flags = [f"--data_dir={tiny_dir}", "--num_epochs=4000", *SMALL, "--seeds=2"]
    with start("train", *flags, f"--checkpoint_dir={tmp_path}") as process:
        for line in process.stdout:
            if line.startswith("(Iteration 11 /"):
                process.send_signal(signal.SIGINT)
                break
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    best = re.search(r": holds the best, seed=(\d)$", out, re.M)[1]
    assert re.search(
        r"^stopped after iteration \d+ of 20000: a sweep cannot be resumed$", out, re.M
    )
    step, (_, info) = (checkpoints := Checkpoints(tmp_path)).load_newest(checkpoints.load_params)
    assert step >= 5
    assert info.seed == int(best)
