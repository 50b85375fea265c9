"""The two harnesses with a few kills; as commands they do fifty."""

import pytest
from kill_preparation import KillPreparation
from kill_training import KillTraining
from killing import run_kills


@pytest.mark.nightly
@pytest.mark.parametrize("harness", [KillTraining, KillPreparation])
def test_killed_and_resumed_gives_the_same_bits(harness, tmp_path):
    assert len(run_kills(harness(tmp_path), kills=6, seed=1)) == 6
