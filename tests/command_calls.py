"""Commands as a user starts them."""

import atexit
import multiprocessing
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What the commands spend most of their start on; the process that forks them imports it once.
_IMPORTS = [
    "jaxcap.captioners",
    "jaxcap.preparing.preparation",
    "jaxcap.learning.run",
    "jaxcap.photos",
]
_IMPORTS += ["jaxcap.commands.run", "jaxcap.plots", "tensorboardX"]


@cache
def environment():
    """One cache folder for all of them, so that scenes and programs are made once."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {**os.environ, "JAXCAP_CACHE": folder}


def start(command, *arguments, **variables):
    """Start a command, with environment variables; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", f"jaxcap.{command}", *map(str, arguments)],
        cwd=ROOT,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def call_anew(command, *arguments, timeout=300):
    """Run a command to its end in a new interpreter: exit code, stdout, stderr."""
    with start(command, *arguments) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


def call(command, *arguments, timeout=300):
    """As `call_anew`, but the interpreter has imported most modules already, which takes seconds.

    It is a process of its own all the same, with its own flags, devices and exit code.
    """
    if sys.platform != "linux":
        return call_anew(command, *arguments, timeout=timeout)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("out", "err")]
        process = _forks().Process(
            target=_run, args=(command, list(map(str, arguments)), environment(), paths)
        )
        process.start()
        try:
            process.join(timeout)
            if process.exitcode is None:
                raise TimeoutError(f"{command} {arguments} runs for more than {timeout} s")
        finally:
            process.kill()
            process.join()
        out, err = (path.read_text(encoding="utf-8") for path in paths)
        return process.exitcode, out, err


@cache
def _forks():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTS)
    return context


def _run(command, arguments, variables, paths):
    """What `python -m` does, in the forked process."""
    for stream, path in zip((sys.stdout, sys.stderr), paths, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream.fileno())
        stream.reconfigure(encoding="utf-8")
    os.chdir(ROOT)
    os.environ.update(variables)
    sys.argv[1:] = arguments
    runpy.run_module(f"jaxcap.{command}", run_name="__main__", alter_sys=True)


def assert_fails(result, *texts):
    """One sentence on stderr, an exit code of 1, no traceback."""
    code, _, err = result
    assert code == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    for text in texts:
        assert text in line
