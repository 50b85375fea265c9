"""What all commands share: the flags they have in common, and how they start and fail."""

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import jax
from absl import app, flags, logging
from jax.errors import JaxRuntimeError

from jaxcap.data.cache import cache_folder

SEED = flags.DEFINE_integer("seed", 0, "Seed of everything random.", lower_bound=0)
TRACEBACK = flags.DEFINE_bool("traceback", False, "Show where in the program an error arose.")


def run(main: Callable[..., int | None], *, arguments: bool = False) -> None:
    """Read the flags, call `main`, and leave with its exit code.

    With `arguments`, `main` is called with the list of what stands beside the flags; otherwise
    anything there is an error.

    An error that the library raises on bad input becomes one line on stderr and exit code 1.
    Compiled programs are kept between runs in the user's cache folder, unless
    `JAX_COMPILATION_CACHE_DIR` names another.
    """

    def guarded(argv: list[str]) -> int | None:
        if argv[1:] and not arguments:
            raise app.UsageError(f"unexpected argument {argv[1]}: everything is given by flags")
        if not flags.FLAGS["verbosity"].present:
            logging.set_verbosity(logging.ERROR)
        warnings.showwarning = _show_warning
        if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
            jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        try:
            _check_devices()
            return main(argv[1:]) if arguments else main()
        except (OSError, ValueError, ArithmeticError, ImportError, JaxRuntimeError) as error:
            if TRACEBACK.value:
                raise
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130

    app.run(guarded)


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
    print(f"warning: {message}", file=file or sys.stderr)
