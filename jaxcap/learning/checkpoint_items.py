"""The items of checkpoints, stored by Orbax, each with a checksum that is compared when it is read.

The checksums are in the item `info`, its own among them. A checkpoint written before there were
checksums has none, and is read without that check.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from jaxcap.learning import checksums, processes

_CHECKSUMS = "checksums"
_ROOM = 1_000_000
"""Bytes that a checkpoint takes beside its arrays, and more."""


class ChecksumError(ValueError):
    """Something in a checkpoint is not what was saved."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Orbax's warnings, in which it repeats that it was asked to read only."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)


class CheckpointItems:
    """Items of the checkpoints in a folder, by iteration and name.

    Args:
        folder: of the checkpoints.
        create: make it if missing, delete what is half-written in it, and allow writing.
    """

    def __init__(self, folder: Path, *, create: bool):
        self._folder = folder
        # The state is donated to the next call, so that it must be on disk before it: no
        # asynchronous saves.
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False,
            create=create,
            read_only=not create,
            cleanup_tmp_directories=create,
        )
        with _quiet() if not create else nullcontext():
            self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self.delete = self._manager.delete
        self.reload = self._manager.reload
        self.close = self._manager.close

    @property
    def steps(self) -> list[int]:
        """Iterations of the checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def write(self, step: int, arrays: dict[str, Any], values: dict[str, dict[str, Any]]) -> None:
        """Write a checkpoint whole or not at all.

        Args:
            step: its iteration.
            arrays: trees of arrays by the names of the items.
            values: plain JSON by the names of the items, `info` among them.

        Raises:
            OSError, ValueError, RuntimeError: it cannot be written; `why_not` says why.
        """
        self._check_room(arrays)
        sums = {name: checksums.of_arrays(tree) for name, tree in arrays.items()}
        sums |= {name: checksums.of_json(value) for name, value in values.items()}
        values = {**values, "info": {**values["info"], _CHECKSUMS: sums}}
        args = ocp.args.Composite(
            **{name: ocp.args.JsonSave(value) for name, value in values.items()},
            **{name: ocp.args.StandardSave(tree) for name, tree in arrays.items()},
        )
        self._manager.save(step, args=args)

    def _check_room(self, arrays: dict[str, Any]) -> None:
        # Orbax, whose threads all fail on a full disk, would say so many times over.
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))
        free = shutil.disk_usage(self._folder).free
        if processes.largest(free < 1.1 * size + _ROOM):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def has(self, step: int, item: str) -> bool:
        """Tell whether a checkpoint has or had an item."""
        return (self._folder / str(step) / item).is_dir() or item in self._read_info(step)[1]

    def read_value(self, step: int, item: str) -> dict[str, Any]:
        """Read plain JSON.

        Raises:
            ChecksumError: it is not what was saved.
            Exception: whatever Orbax raises where it cannot be read.
        """
        info, sums = self._read_info(step)
        if item == "info":
            return info
        value = self._read_json(step, item)
        if sums and checksums.of_json(value) != sums.get(item):
            raise _changed(item)
        return value

    def read_arrays(self, step: int, item: str, like: Any) -> Any:
        """Read arrays, with the structure, shapes and shardings of `like`.

        Raises:
            ChecksumError: they are not what was saved.
            Exception: whatever Orbax raises where they cannot be read.
        """
        _, sums = self._read_info(step)
        # Parameters may have been saved on another kind or number of devices.
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=getattr(x, "sharding", None) or device
            ),
            like,
        )
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(shapes)})
        found = failure = None
        try:
            found = self._manager.restore(step, args=args)[item]
        except Exception as error:  # noqa: BLE001  Orbax raises whatever its parts raise.
            failure = error
        # Processes that differed here would wait for each other in the checksum.
        if processes.largest(failure is not None):
            raise failure or OSError(f"another process cannot read its {item}")
        if sums and processes.largest(checksums.of_arrays(found) != sums.get(item)):
            raise _changed(item)
        return found

    def _read_info(self, step: int) -> tuple[dict[str, Any], dict[str, str]]:
        """Read the item `info` and the checksums by item; an old checkpoint has none."""
        info = self._read_json(step, "info")
        sums = info.pop(_CHECKSUMS, {})
        if sums and checksums.of_json(info) != sums.get("info"):
            raise _changed("info")
        return info, sums

    def _read_json(self, step: int, item: str) -> dict[str, Any]:
        args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
        return self._manager.restore(step, args=args)[item]


def why_not(error: Exception) -> str:
    """Say why something could not be written, which TensorStore does at the end of a long line."""
    found = re.search(r"os_error_code='(\d+)'", str(error))
    number = error.errno if isinstance(error, OSError) else found and int(found[1])
    return os.strerror(number) if number else first_line(error)


def first_line(error: Exception) -> str:
    """Give the first line of an error, cut at 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _changed(item: str) -> ChecksumError:
    return ChecksumError(f"the item {item} is not what was saved, by its checksum")
