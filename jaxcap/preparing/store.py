"""Features on disk while they are computed, batch by batch, so that a kill loses at most one batch.

A store is a folder with

    features.npy   (R, D) float32, a row an image
    grids.npy      (R, L, C) float16, a row an image, if grids are computed too
    done.jsonl     one line with what all features depend on, then a line for each finished batch:
                   its number, digests of its images, features and grids, and its unreadable rows

Batch b is the rows from b * batch_size. Its line is written after its features and grids are on
disk, and an incomplete last line is ignored. So a batch marked done is done, whenever the process
is killed. A batch whose features or grids have changed since is encoded again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing

_FEATURES, _GRIDS, _DONE = "features.npy", "grids.npy", "done.jsonl"


class FeatureStore:
    """Features of R images, some of which may be computed already.

    Args:
        folder: folder of the store; created if missing.
        images: name and size in bytes of each image, in the order of rows.
        width: width of the features, D.
        batch_size: images a batch.
        depends_on: what the features depend on besides the images, in plain JSON. A store with
            another value, or with another number of images, is started again.
        grid_shape: places and width (L, C) of the grids; None for features alone. A store with
            other grids, or without grids, is started again too.

    Attributes:
        features: (R, D) float32.
        grids: (R, L, C) float16; None without grids.
        begun_again: whether an old store was started again.
        unreadable: unreadable rows, with the reason.
    """

    def __init__(
        self,
        folder: AnyPath,
        images: Sequence[tuple[str, int]],
        width: int,
        batch_size: int,
        depends_on: Mapping[str, Any],
        grid_shape: tuple[int, int] | None = None,
    ):
        self._folder = folder = Path(folder)
        self._digests = [
            _digest(json.dumps(list(images[start : start + batch_size])).encode("ascii"))
            for start in range(0, len(images), batch_size)
        ]
        self.batch_size = batch_size
        self.unreadable: dict[int, str] = {}
        self._done: set[int] = set()
        header = {"rows": len(images), "width": width, "batch_size": batch_size, **depends_on}
        arrays: dict[str, _Kind] = {_FEATURES: ((len(images), width), np.float32)}
        if grid_shape is not None:
            header["grid"] = list(grid_shape)
            arrays[_GRIDS] = ((len(images), *grid_shape), np.float16)
        lines = self._read_lines()
        self.begun_again = bool(lines) and lines[0] != header
        kept, whole = {}, []
        if lines and not self.begun_again:
            kept = {name: _open(folder / name, kind) for name, kind in arrays.items()}
        known = bool(kept) and all(array is not None for array in kept.values())
        if not known:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            kept = {name: _create(folder / name, kind) for name, kind in arrays.items()}
        self.features: np.ndarray = kept[_FEATURES]  # pyright: ignore[reportAttributeAccessIssue]
        self.grids: np.ndarray | None = kept.get(_GRIDS)
        if known:
            whole = list(filter(self._is_whole, lines[1:]))
            for line in whole:
                self._mark(line)
        # Rewritten, so that an incomplete line does not spoil the next one.
        text = "".join(json.dumps(line) + "\n" for line in [header, *whole])
        with replacing(folder / _DONE) as partial:
            partial.write_text(text, encoding="ascii")

    @property
    def num_done(self) -> int:
        """Number of images in finished batches."""
        return sum(len(self.rows(batch)) for batch in self._done)

    def pending(self) -> Iterator[int]:
        """Iterate over the numbers of the remaining batches, in order."""
        return (batch for batch in range(len(self._digests)) if batch not in self._done)

    def rows(self, batch: int) -> range:
        """Return the rows of a batch."""
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, len(self.features)))

    def write(
        self,
        batch: int,
        features: Float[np.ndarray, "N D"],
        unreadable: Mapping[int, str],
        grids: Float[np.ndarray, "N L C"] | None = None,
    ) -> None:
        """Write a batch to disk and mark it done.

        Args:
            batch: number of the batch.
            features: (N, D), a row an image; rows of unreadable images are ignored.
            unreadable: unreadable rows of the store, with the reason.
            grids: (N, L, C) within the range of float16, if the store has grids.
        """
        rows = self.rows(batch)
        for held, found in ((self.features, features), (self.grids, grids)):
            if held is not None:
                held[rows.start : rows.stop] = found
                held.flush()  # pyright: ignore[reportAttributeAccessIssue]  (a memmap)
        line = {
            "batch": batch,
            "images": self._digests[batch],
            **self._digests_of_arrays(batch),
            "unreadable": {str(row): reason for row, reason in unreadable.items()},
        }
        with (self._folder / _DONE).open("a", encoding="ascii") as log:
            log.write(json.dumps(line) + "\n")
            log.flush()
            os.fsync(log.fileno())
        self._mark(line)

    def reopen(self, batch: int) -> None:
        """Take a batch for pending; it stays done on disk until it is written again."""
        self._done.discard(batch)
        rows = self.rows(batch)
        kept = {row: reason for row, reason in self.unreadable.items() if row not in rows}
        self.unreadable = kept

    def close(self) -> None:
        """Close the features and grids; the store stays on disk."""
        vars(self).pop("features", None)
        vars(self).pop("grids", None)

    def _read_lines(self) -> list[Any]:
        path = self._folder / _DONE
        if not path.exists():
            return []
        lines = []
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines

    def _is_whole(self, line: Any) -> bool:
        """Say whether a line matches the present images, features and grids of its batch."""
        try:
            batch = line["batch"]
            # A replaced image has another size, so its batch is encoded again.
            return (
                batch >= 0
                and line["images"] == self._digests[batch]
                and all(line[k] == found for k, found in self._digests_of_arrays(batch).items())
            )
        except (KeyError, IndexError, TypeError):
            return False

    def _digests_of_arrays(self, batch: int) -> dict[str, str]:
        rows, arrays = self.rows(batch), {"features": self.features, "grids": self.grids}
        return {
            name: _digest(array[rows.start : rows.stop].tobytes())
            for name, array in arrays.items()
            if array is not None
        }

    def _mark(self, line: Any) -> None:
        self._done.add(line["batch"])
        self.unreadable |= {int(row): reason for row, reason in line["unreadable"].items()}


_Kind = tuple[tuple[int, ...], type]
"""Shape and type of an array on disk."""


def _open(path: Path, kind: _Kind) -> np.memmap | None:
    """Open the file if it exists with the right shape and type."""
    try:
        # No pickle is read: NumPy maps only plain numbers.
        array = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError):
        return None
    return array if (array.shape, array.dtype) == kind else None


def _create(path: Path, kind: _Kind) -> np.memmap:
    array = np.lib.format.open_memmap(path, "w+", kind[1], kind[0])
    _reserve(path)
    return array


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _reserve(path: Path) -> None:
    """Reserve the space of a sparse file: a full disk is an error here but a crash later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
