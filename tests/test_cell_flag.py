"""`--cell` with the import path of a cell, from training to captions, as a user gives it."""

import re

import pytest
from command_calls import assert_fails, call

from jaxcap.learning.checkpoints import Checkpoints

# Every part is tested within the process too: in test_linen_cell.py and test_run.py.
pytestmark = pytest.mark.slow

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--num_epochs=2"]


@pytest.fixture(scope="module", params=["flax.linen.GRUCell", "tests.own_cells:GatedCell"])
def trained(request, tiny_dir, tmp_path_factory):
    """A run with a cell, and that cell."""
    folder = tmp_path_factory.mktemp("runs") / "own"
    flags = [f"--data_dir={tiny_dir}", f"--cell={request.param}", *SMALL]
    code, out, err = call("train", f"--checkpoint_dir={folder}", *flags)
    assert (code, err) == (0, "")
    assert f"saved {folder}/10" in out
    return folder, request.param


def test_the_checkpoint_keeps_the_path(trained):
    folder, cell = trained
    assert Checkpoints(folder).load_info(10).model.cell == cell


@pytest.mark.parametrize("flags", [[], ["--beam=3"]])
def test_sample(trained, flags):
    code, out, err = call("sample", f"--checkpoint={trained[0]}", "--num=3", *flags)
    assert (code, err) == (0, "")
    assert len(re.findall(r"^val \d+: ", out, re.M)) == 3


def test_evaluate(trained):
    code, out, err = call("evaluate", "--nojava", f"--checkpoint={trained[0]}")
    assert (code, err) == (0, "")
    assert re.search(r"^CIDEr\S* +\d", out, re.M)


def test_resume_needs_the_same_cell(trained, tiny_dir):
    folder, cell = trained
    where = [f"--data_dir={tiny_dir}", f"--checkpoint_dir={folder}", "--resume"]
    more = [*SMALL[:-1], "--num_epochs=3"]
    assert_fails(call("train", *where, *more), f"cell {cell}, now it is lstm")
    code, out, err = call("train", *where, *more, f"--cell={cell}")
    assert (code, err) == (0, "")
    assert f"saved {folder}/15" in out


def test_a_cell_that_cannot_be_used_is_one_sentence(tiny_dir, tmp_path):
    flags = [f"--checkpoint_dir={tmp_path / 'run'}", f"--data_dir={tiny_dir}", *SMALL]
    assert_fails(
        call("train", *flags, "--cell=no_such_module:Cell"),
        "--cell=no_such_module:Cell: cannot be imported (ModuleNotFoundError",
    )
    assert_fails(call("train", *flags, "--cell=flax.nnx.GRUCell"), "RNNCellBase")
    assert not (tmp_path / "run").exists()
