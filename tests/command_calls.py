"""Commands as a user starts them."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def environment():
    """One cache folder for all of them, so that scenes and programs are made once."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {**os.environ, "JAXCAP_CACHE": folder}


def start(command, *arguments):
    """Start a command; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", f"jaxcap.{command}", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def call(command, *arguments, timeout=300):
    """Run a command to its end: exit code, stdout, stderr."""
    with start(command, *arguments) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


def assert_fails(result, *texts):
    """One sentence on stderr, an exit code of 1, no traceback."""
    code, _, err = result
    assert code == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    for text in texts:
        assert text in line
