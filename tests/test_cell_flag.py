"""`--cell` with the import path of a cell, from training to captions, as a user gives it."""

import re

from command_calls import assert_fails, call

from jaxcap.learning.checkpoints import Checkpoints

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8"]


def test_a_cell_by_its_path(tiny_dir, tmp_path):
    """A run keeps the path, resumes with it alone, and writes captions."""
    folder, cell = tmp_path / "run", "own_cells:leaky"
    train = ["train", f"--checkpoint_dir={folder}", f"--data_dir={tiny_dir}", *SMALL]
    code, out, err = call(*train, f"--cell={cell}", "--num_epochs=1")
    assert (code, err) == (0, "")
    assert f"saved {folder}/5" in out
    assert Checkpoints(folder).load_info(5).model.cell == cell
    assert_fails(call(*train, "--resume", "--num_epochs=2"), f"cell {cell}, now it is lstm")
    code, out, err = call(*train, "--resume", "--num_epochs=2", f"--cell={cell}")
    assert (code, err) == (0, "")
    assert f"saved {folder}/10" in out
    code, out, err = call("sample", f"--checkpoint={folder}", "--num=3", "--beam=3")
    assert (code, err) == (0, "")
    assert len(re.findall(r"^val \d+: ", out, re.M)) == 3


def test_a_cell_that_cannot_be_used_is_one_sentence(tiny_dir, tmp_path):
    flags = [f"--checkpoint_dir={tmp_path / 'run'}", f"--data_dir={tiny_dir}", *SMALL]
    missing = call("train", *flags, "--cell=no_such_module:Cell")
    assert_fails(missing, "cell=no_such_module:Cell", "cannot be imported (ModuleNotFoundError")
    assert_fails(call("train", *flags, "--cell=flax.nnx.GRUCell"), "RNNCellBase")
    assert not (tmp_path / "run").exists()
