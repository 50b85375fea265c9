"""What all commands share: the flags they have in common, and how they start and fail."""

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

SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the program an error arose.")


_ERRORS = (OSError, ValueError, ArithmeticError, ImportError, JaxRuntimeError)
"""What the library raises on bad input."""


def run(
    main: Callable[..., int | None],
    *,
    arguments: bool = False,
    connect: Callable[[], None] | None = None,
) -> None:
    """Read the flags, call `main`, and leave with its exit code.

    With `arguments`, `main` is called with the list of what stands beside the flags; otherwise
    anything there is an error. `connect` is called before JAX touches a device.

    An error that the library raises on bad input, or that the end of another process causes,
    becomes one line on stderr and exit code 1; arguments that it names are written as flags.
    Compiled programs are kept between runs in the user's cache folder, unless
    `JAX_COMPILATION_CACHE_DIR` names another.
    """

    def guarded(argv: list[str]) -> int | None:
        if argv[1:] and not arguments:
            raise app.UsageError(f"unexpected argument {argv[1]}: everything is given by flags")
        if not flags.FLAGS["verbosity"].present:
            # Orbax logs errors with their tracebacks that it raises too, as asyncio does for it.
            logging.set_verbosity(logging.FATAL)
            getLogger("asyncio").setLevel(CRITICAL)
        warnings.showwarning = _show_warning
        # What Orbax drops where it cannot read an array, which is told by an error.
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
                # What is raised would wait for the other processes.
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
    """Read the flags of a command line and of the flag files that it names.

    Leaves with exit code 1 and one sentence on stderr where they cannot be read.

    Args:
        arguments: the program's name and what stands behind it.

    Returns:
        What is no flag, after the program's name.
    """
    try:
        return app.parse_flags_with_usage(arguments)
    # What absl lets through: a flag file that is no text, or has a NUL in the path of another.
    except (ValueError, RecursionError) as error:
        print(f"FATAL Flags parsing error: a flag file cannot be read: {error}", file=sys.stderr)
        sys.exit(1)


def writable_path(text: str | None) -> Path | None:
    """The path of a file to be written at the end of a command, checked at its start.

    Raises:
        FileNotFoundError: the folder that it is to lie in is missing.
    """
    if not text:
        return None
    path = Path(text).expanduser()
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent} to write it into")
    return path


def _check_devices() -> None:
    try:
        jax.devices()
    # Which kind of error it is depends on what is missing.
    except Exception as error:
        raise OSError(
            f"JAX finds no device (JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}): "
            f"{str(error).strip()[:200] or type(error).__name__}"
        ) from error


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    del category, filename, lineno, line
    print(f"warning: {in_flags(str(message), _switches())}", file=file or sys.stderr)


def _switches() -> dict[str, bool]:
    """The flags of the running command, and whether each is a switch."""
    found = flags.FLAGS.get_key_flags_for_module(sys.argv[0])
    return {flag.name: bool(flag.boolean) for flag in found}
