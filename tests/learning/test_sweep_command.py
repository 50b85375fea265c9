"""`jaxcap.train` with --sweep and --seeds."""

import json
import re
import signal

from command_calls import assert_fails, call
from PIL import Image

from jaxcap.learning.checkpoints import Checkpoints

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--log_every=1", "--order=shuffle"]


def test_a_sweep_keeps_its_best(tiny_dir, tmp_path):
    folder, flags = tmp_path / "sweep", [f"--data_dir={tiny_dir}", "--num_epochs=3", *SMALL]
    flags += [f"--checkpoint_dir={folder}"]
    rates = ["--sweep", "learning_rate=1e-3,1e-2,1e38", "--seed=4"]
    code, out, err = call("train", *flags, *rates)
    assert code == 0, err
    assert "training 3 captioners" in out
    said = r"^warning: learning_rate=1e\+38,seed=(\d): .*--learning_rate.*left out from here on$"
    assert re.findall(said, err, re.M) == ["4"]
    table = re.findall(r"^(learning_rate=\S+)  +(\S+)  +(\S+)  +(\S+)$", out, re.M)
    assert len(table) == 3
    best, _, loss, iteration = table[0]
    assert f"{folder}: holds the best, {best}" in out
    assert re.search(rf"^{re.escape(best)}: \(Epoch 3 / 3\) val loss: ", out, re.M)
    assert re.search(rf"^{re.escape(best)}: saved {folder}/{iteration}$", out, re.M)
    with Image.open(folder / "loss.png") as image:
        assert image.size[0] > 500
    (start,) = json.loads((folder / "run.json").read_text())
    assert start["flags"]["seed"] == 4
    loaded = Checkpoints(folder).load("best")
    assert (loaded.path.name, loaded.info.seed) == (iteration, int(best[-1]))
    assert f"{Checkpoints(folder).best()[1]:.6f}" == loss

    assert_fails(call("train", *flags, *rates), str(folder), "--overwrite")
    assert_fails(call("train", *flags, "--resume"), str(folder), "holds a sweep", "--init_from")
    assert_fails(call("train", *flags, *rates, "--resume"), "leave out --resume, or --sweep and")
    assert_fails(call("train", *flags, "--sweep=hidden_dim=8,16"), "learning_rate, lr_decay")


def test_a_stopped_sweep_says_so(tiny_dir, tmp_path, monkeypatch):
    def stopped(interrupt):
        interrupt.received = signal.SIGTERM
        return True

    monkeypatch.setattr("jaxcap.learning.interrupts.Interrupt.anywhere", stopped)
    flags = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={tmp_path}", "--seeds=2", *SMALL]
    code, out, err = call("train", *flags)
    assert code == 143, err
    assert re.search(r": holds the best, seed=[01]$", out, re.M)
    assert "stopped after iteration 1 of 250: a sweep cannot be resumed\n" in out
