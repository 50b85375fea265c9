"""Code shared by all commands: common flags, start and exit."""

import os
import sys
import traceback
import warnings
from collections.abc import Callable
from logging import CRITICAL, getLogger
from pathlib import Path

import jax
from absl import app, flags, logging
from jax.errors import JaxRuntimeError

from jaxcap.commands.messages import in_flags
from jaxcap.files.cache import cache_folder
from jaxcap.files.text import one_line
from jaxcap.learning import processes

SEED = flags.DEFINE_integer(
    "seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=2**32 - 1
)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show the Python traceback of an error.")


_ERRORS = (OSError, ValueError, ArithmeticError, ImportError, JaxRuntimeError)
"""Types of errors that the library raises on bad input."""


def run(
    main: Callable[..., int | None],
    *,
    arguments: bool = False,
    connect: Callable[[], None] | None = None,
) -> None:
    """Read the flags, call `main`, and exit with its exit code.

    An error of the library on bad input, or one caused by the end of another process, becomes one
    line on stderr and exit code 1; the arguments that it names are written as flags. Compiled
    programs are cached between runs in your cache folder, or in `JAX_COMPILATION_CACHE_DIR` if set.

    Args:
        main: the command; returns its exit code, None for 0.
        arguments: pass the arguments that are not flags to `main` as a list; otherwise they are an
            error.
        connect: called before JAX touches a device.
    """

    def guarded(argv: list[str]) -> int | None:
        if argv[1:] and not arguments:
            raise app.UsageError(f"unexpected argument {argv[1]}: give everything by flags")
        if not flags.FLAGS["verbosity"].present:
            # Orbax, and asyncio for it, log tracebacks of errors that are also raised.
            logging.set_verbosity(logging.FATAL)
            getLogger("asyncio").setLevel(CRITICAL)
        warnings.showwarning = _show_warning
        # Orbax drops coroutines after it fails to read an array and raises an error.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        try:
            if connect is not None:
                connect()
            _check_devices()
            code = main(argv[1:]) if arguments else main()
            processes.part()
            return code
        except Exception as error:
            said = processes.explain_loss(error)
            if said is None and isinstance(error, _ERRORS):
                said = one_line(error)
            if TRACEBACK.value or said is None:
                if not processes.joined():
                    raise
                # A raised error would wait for the other processes at exit.
                traceback.print_exc()
            else:
                print(f"error: {in_flags(said, _switches())}", file=sys.stderr)
            processes.leave(1)
            return 1
        except KeyboardInterrupt:
            processes.leave(130)
            return 130

    app.run(guarded, flags_parser=parse_flags)


def parse_flags(arguments: list[str]) -> list[str]:
    """Read the flags of a command line and of its flag files.

    Exit with code 1 and one sentence on stderr if they cannot be read.

    Args:
        arguments: the name of the program and its arguments.

    Returns:
        The name of the program and the arguments that are not flags.
    """
    try:
        return app.parse_flags_with_usage(arguments)
    # absl does not catch these: a flag file that is not text, or names a path with a NUL.
    except (ValueError, RecursionError) as error:
        print(f"FATAL Flags parsing error: a flag file cannot be read: {error}", file=sys.stderr)
        sys.exit(1)


def writable_path(text: str | None) -> Path | None:
    """Return the path of a file to write at the end of a command, checked at its start.

    Raises:
        FileNotFoundError: the folder of the file is missing.
        IsADirectoryError: it is a folder itself.
    """
    if not text:
        return None
    path = Path(text).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}; create it")
    return path


def _check_devices() -> None:
    try:
        jax.devices()
    # The type of the error depends on what is missing.
    except Exception as error:
        raise OSError(
            f"JAX finds no device (JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}): "
            f"{str(error).strip()[:200] or type(error).__name__}"
        ) from error


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    del category, filename, lineno, line
    print(f"warning: {in_flags(str(message), _switches())}", file=file or sys.stderr)


def _switches() -> dict[str, bool]:
    """Return the flags of the running command, and whether each is a switch."""
    found = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name: bool(flag.boolean) for flag in found}
