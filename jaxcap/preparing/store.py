"""Features on disk while they are computed, batch by batch, so that a kill loses at most one batch.

A store is a folder with

    features.npy   (R, D) float32, a row an image
    done.jsonl     one line with what all features depend on, then a line for each finished batch:
                   its number, digests of its images and of its features, and its unreadable rows

Batch b is the rows from b * batch_size. Its line is written after its features are on disk, and an
incomplete last line is ignored. So a batch marked done is done, whenever the process is killed. A
batch whose features have changed since is encoded again.
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

_FEATURES, _DONE = "features.npy", "done.jsonl"


class FeatureStore:
    """Features of R images, some of which may be computed already.

    Args:
        folder: folder of the store; created if missing.
        images: name and size in bytes of each image, in the order of rows.
        width: width of the features, D.
        batch_size: images a batch.
        depends_on: what the features depend on besides the images, in plain JSON. A store with
            another value, or with another number of images, is started again.

    Attributes:
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
        lines = self._read_lines()
        self.begun_again = bool(lines) and lines[0] != header
        kept, whole = None, []
        if lines and not self.begun_again:
            kept = _open_features(folder / _FEATURES, (len(images), width))
        if kept is not None:
            self.features = kept
            whole = list(filter(self._is_whole, lines[1:]))
            for line in whole:
                self._mark(line)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            self.features = np.lib.format.open_memmap(
                folder / _FEATURES, "w+", np.float32, (len(images), width)
            )
            _reserve(folder / _FEATURES)
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
        self, batch: int, features: Float[np.ndarray, "N D"], unreadable: Mapping[int, str]
    ) -> None:
        """Write a batch to disk and mark it done.

        Args:
            batch: number of the batch.
            features: (N, D), a row an image; rows of unreadable images are ignored.
            unreadable: unreadable rows of the store, with the reason.
        """
        rows = self.rows(batch)
        self.features[rows.start : rows.stop] = features
        self.features.flush()
        line = {
            "batch": batch,
            "images": self._digests[batch],
            "features": self._digest_of_features(batch),
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
        """Close the features; the store stays on disk."""
        vars(self).pop("features", None)

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
        """Say whether a line matches the present images and features of its batch."""
        try:
            batch = line["batch"]
            # A replaced image has another size, so its batch is encoded again.
            return (
                batch >= 0
                and line["images"] == self._digests[batch]
                and line["features"] == self._digest_of_features(batch)
            )
        except (KeyError, IndexError, TypeError):
            return False

    def _digest_of_features(self, batch: int) -> str:
        rows = self.rows(batch)
        return _digest(self.features[rows.start : rows.stop].tobytes())

    def _mark(self, line: Any) -> None:
        self._done.add(line["batch"])
        self.unreadable |= {int(row): reason for row, reason in line["unreadable"].items()}


def _open_features(path: Path, shape: tuple[int, int]) -> np.memmap | None:
    """Open the file if it exists with the right type and shape."""
    try:
        # No pickle is read: NumPy maps only plain numbers.
        features = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError):
        return None
    return features if features.dtype == np.float32 and features.shape == shape else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _reserve(path: Path) -> None:
    """Reserve the space of a sparse file: a full disk is an error here but a crash later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
