"""Lock a folder: one process writes to it, every other is refused."""

import json
import os
import platform
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing, unwritable

LOCK_FILE, HOLDER_FILE = ".lock", ".lock.json"


class FolderLock:
    """Lock of a folder, held by one process at a time; a context manager.

    The operating system releases the lock when the process ends, even when it is killed. The files
    that a killed process leaves behind block nobody.

    Args:
        folder: the folder; created if missing.
        remedy: what to do about a folder that is in use or cannot be written.

    Raises:
        BlockingIOError: on entering, if another process holds the folder; the message names it.
        OSError: on entering, if the folder cannot be written.
    """

    def __init__(self, folder: AnyPath, remedy: str):
        self._folder, self._remedy = Path(folder), remedy
        self._lock = FileLock(self._folder / LOCK_FILE)

    def __enter__(self) -> "FolderLock":
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            holder = {"process": os.getpid(), "host": platform.node()}
            with replacing(self._folder / HOLDER_FILE) as partial:
                partial.write_text(json.dumps(holder), encoding="utf-8")
        except Timeout:
            raise BlockingIOError(
                f"{self._folder}: is in use by {self._holder()}: {self._remedy}"
            ) from None
        except OSError as error:
            self.release()
            raise unwritable(self._folder, error, self._remedy) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock; may be called again."""
        if self._lock.is_locked:
            with suppress(OSError):
                # Deleted while the lock is held, so that the files of the next holder stay.
                (self._folder / HOLDER_FILE).unlink(missing_ok=True)
                (self._folder / LOCK_FILE).unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> str:
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads((self._folder / HOLDER_FILE).read_text(encoding="utf-8"))
            return f"process {found['process']} on {found['host']}"
        return "another process"
