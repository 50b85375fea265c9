"""Files that are there whole or not at all, and what is said of a disk that cannot be written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxcap.files import AnyPath
from jaxcap.files.text import one_line


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """Give a path beside `path` to write to; what is written there takes its place at the end.

    On an error the file that was there stays, and nothing is left beside it. The error of a full
    disk, which names no file, is made to name this one.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise
    finally:
        # Where nothing can be written there is nothing to delete either.
        with suppress(OSError):
            partial.unlink()


@contextmanager
def writing(where: AnyPath, remedy: str, *kinds: type[Exception]) -> Iterator[None]:
    """Raise the error of `unwritable` in place of any other about a disk.

    Args:
        where: the file or folder that is written.
        remedy: what to do.
        kinds: of errors that mean the same, beside OSError.

    Raises:
        OSError: in place of an OSError or one of `kinds`.
    """
    try:
        yield
    except (OSError, *kinds) as error:
        raise unwritable(where, error, remedy) from error


def unwritable(where: AnyPath, error: Exception, remedy: str) -> OSError:
    """Make the error of a disk that is full, broken or read-only, with the system's reason."""
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number else one_line(error)
    return OSError(f"{where}: cannot be written ({reason}): {remedy}")


def check_room(folder: AnyPath, nbytes: int) -> None:
    """Raise an OSError if a folder's disk has no room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < nbytes:
        raise OSError(f"{free / 1e6:.1f} MB are free, {nbytes / 1e6:.1f} MB are needed")
