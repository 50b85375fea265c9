"""Atomic replacement of files, and the errors of disks that cannot be written."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jaxcap.files import AnyPath
from jaxcap.files.text import one_line


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """Give a path beside `path` to write to; on success it replaces `path`.

    On an error the old file stays, and the partial file is deleted. The error of a full disk,
    which names no file, is given the name of this one.
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
        # On a disk that cannot be written there is nothing to delete.
        with suppress(OSError):
            partial.unlink()


@contextmanager
def writing(where: AnyPath, remedy: str, *kinds: type[Exception]) -> Iterator[None]:
    """Replace errors about a disk by that of `unwritable`.

    Args:
        where: the file or folder being written.
        remedy: what to do, for the message.
        kinds: types of errors to replace, besides OSError.

    Raises:
        OSError: in place of an OSError or one of `kinds`.
    """
    try:
        yield
    except (OSError, *kinds) as error:
        raise unwritable(where, error, remedy) from error


def unwritable(where: AnyPath, error: Exception, remedy: str) -> OSError:
    """Make the error for a disk that is full, broken or read-only, with the system's reason."""
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number else one_line(error)
    return OSError(f"{where}: cannot be written ({reason}): {remedy}")


def check_room(folder: AnyPath, nbytes: int) -> None:
    """Raise an OSError if the disk of a folder has fewer than `nbytes` free."""
    free = shutil.disk_usage(folder).free
    if free < nbytes:
        raise OSError(f"{free / 1e6:.1f} MB are free, {nbytes / 1e6:.1f} MB are needed")
