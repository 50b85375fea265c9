"""Commands within this process, which has imported and compiled already, or as a user does."""

import atexit
import io
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from unittest import mock

import jax
from absl import app, flags
from absl.testing import flagsaver

import jaxcap.commands

ROOT = Path(__file__).parents[1]
HALF_WRITTEN = "Error reading persistent compilation cache entry"
"""What JAX warns of where another process has begun to write a program; it is compiled again."""


def environment():
    """The variables of a started command, with one cache folder for all tests of a run."""
    return {"JAXCAP_CACHE": _own_cache(), **os.environ}


@cache
def _own_cache():
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def start(command, *arguments, pipesize=-1, **variables):
    """Start a command as a process; the caller ends it.

    `variables` are environment variables, None for one that is not to be there. With a small
    `pipesize` it cannot run far ahead of what the caller has read.
    """
    variables = {**environment(), **variables}
    # A process inherits that a signal is ignored, as it is for tests under `nohup`.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", f"jaxcap.{command}", *map(str, arguments)],
            cwd=ROOT,
            env={name: value for name, value in variables.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            pipesize=pipesize,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def call_anew(command, *arguments, timeout=300):
    """Run a command as a process to its end: exit code, stdout, stderr."""
    with start(command, *arguments) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return process.returncode, out, err


def call(command, *arguments, folder=ROOT):
    """Run a command within this process, in `folder`: exit code, stdout, stderr.

    It finds fresh flags, Python's own warning filters and JAX's own promotion rules, and leaves
    none of its own behind. Compiled programs stay. Use `call_anew` or `start` for what a process
    has to itself: devices, signals, other environment variables.
    """
    out, err = (_Stream(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    arguments = list(map(str, arguments))
    with redirect_stdout(out), redirect_stderr(err), _as_started(arguments, folder):
        code = _exit_code(command)
    return code, out.text(), err.text()


class _Stream(io.TextIOWrapper):
    def text(self):
        self.flush()
        return self.buffer.getvalue().decode("utf-8", "surrogateescape")


def _exit_code(command):
    """What `python -m` does."""
    try:
        runpy.run_module(f"jaxcap.{command}", run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
            return 1
        return int(error.code or 0)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _as_started(arguments, folder):
    """Make the process look freshly started, and put back what a command changes."""
    app.define_help_flags()
    kept = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    config = {name: getattr(jax.config, name) for name in kept}
    verbosity = app.logging.get_verbosity()
    asyncio = logging.getLogger("asyncio")
    with ExitStack() as stack:
        stack.enter_context(chdir(folder))
        stack.enter_context(mock.patch.dict(os.environ, environment()))
        for target, name, value in (
            (sys, "argv", [sys.argv[0], *arguments]),
            # Absl reads flags in full only once, and then takes over logging and the name.
            (app._run_init, "done", False),
            (app._register_and_parse_flags_with_usage, "done", False),
            (app, "faulthandler", None),
            (app.logging, "use_absl_handler", lambda: None),
            (app.command_name, "make_process_name_useful", lambda: None),
            (asyncio, "level", asyncio.level),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        stack.enter_context(jax.numpy_dtype_promotion("standard"))
        stack.enter_context(jax.numpy_rank_promotion("allow"))
        stack.enter_context(warnings.catch_warnings())
        warnings.resetwarnings()
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", HALF_WRITTEN)
        stack.enter_context(_flags_of_one_command())
        try:
            yield
        finally:
            app.logging.set_verbosity(verbosity)
            for name, value in config.items():
                jax.config.update(name, value)


@contextmanager
def _flags_of_one_command():
    """Forget the flags of jaxcap, so that a command's modules define theirs and no others."""
    modules = {name: sys.modules.pop(name) for name in list(sys.modules) if _defines_flags(name)}
    own = flags.FlagValues()
    for module, found in flags.FLAGS.flags_by_module_dict().items():
        for flag in found if not _defines_flags(module) else ():
            own[flag.name] = flag
            own.register_flag_by_module(module, flag)
    try:
        with mock.patch.dict(vars(flags.FLAGS), vars(own), clear=True), flagsaver.flagsaver():
            yield
    finally:
        for name in filter(_defines_flags, list(sys.modules)):
            del sys.modules[name]
        sys.modules.update(modules)
        jaxcap.commands = modules["jaxcap.commands"]


def _defines_flags(module):
    return module.startswith("jaxcap.commands")


def assert_fails(result, *texts):
    """One sentence on stderr, an exit code of 1, no traceback."""
    code, _, err = result
    assert code == 1, err
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    for text in texts:
        assert text in line
