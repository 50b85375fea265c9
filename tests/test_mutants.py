"""Faults put into the code on purpose: the test that holds a guarantee fails where it is broken.

python -m pytest -n 0 -m nightly tests/test_mutants.py
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
from command_calls import ROOT


@dataclass(frozen=True)
class Fault:
    """A text in a module that stands there once, what replaces it, and a test that must fail."""

    path: str
    old: str
    new: str
    test: str


FAULTS = {}


def run(tests, folder):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *tests], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout[-3000:]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what the tests read, in which the tests below pass."""
    folder = tmp_path_factory.mktemp("copy")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    code, said = run({fault.test for fault in FAULTS.values()}, folder)
    assert code == 0, said
    return folder


@pytest.mark.parametrize("name", FAULTS)
def test_the_code_can_be_spoilt_so(name):
    fault = FAULTS[name]
    assert (ROOT / fault.path).read_text(encoding="utf-8").count(fault.old) == 1


@pytest.mark.nightly
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_noticed(name, copy):
    fault = FAULTS[name]
    path = copy / fault.path
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
    try:
        code, said = run([fault.test], copy)
    finally:
        path.write_text(text, encoding="utf-8")
    assert code == 1, f"{fault.test} does not notice it\n{said}"
