"""What fuzzing found, and a valid file of each kind: each is read, or refused as documented."""

import subprocess
import sys
from pathlib import Path

import pytest
from readers import CORPUS, READERS, check


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_read(name, tmp_path):
    for seed in READERS[name].seeds():
        assert check(name, seed, tmp_path) == "read"


@pytest.mark.parametrize("name", READERS)
def test_finds_are_read_or_refused(name, tmp_path):
    for path in sorted((CORPUS / name).glob("*")):
        check(name, path.read_bytes(), tmp_path)


def test_every_find_has_a_reader():
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= set(READERS)


@pytest.mark.nightly
def test_fuzzing_breaks_no_reader(capfd):
    """A minute for each; what is found is kept."""
    pytest.importorskip("atheris", reason="needs pip install 'jaxcap[fuzz]'")
    with capfd.disabled():
        done = subprocess.run([sys.executable, str(Path(__file__).with_name("run.py"))])
    assert done.returncode == 0
