"""Features of many images while they are computed: on disk batch by batch, to go on after a kill.

A store is a folder with

    features.npy   (R, D) float32, a row an image
    done.jsonl     one line with what all depends on, then a line for each batch that is done:
                   its number, digests of its images and of its features, and the rows that could
                   not be read

Batches are fixed by number: batch b is the rows from b * batch_size on. A line is written after
the features it speaks of are on disk, and a last line that was cut is no line, so that whatever
moment the process dies at, what is marked done is done. A batch whose features are no longer what
was written is done again.
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
    """The features of R images, some of which may be computed already.

    Args:
        folder: of the store; made if missing.
        images: what tells each image from another, in the order of rows: name and size.
        width: of the features, D.
        batch_size: images a batch.
        depends_on: what the features depend on beside the images, plain JSON. A store that was
            begun under another value, or for another number of images, is begun again.

    Attributes:
        begun_again: whether there was such a store.
        unreadable: rows that could not be read, with the reason.
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
        # Written anew, so that a line that was cut does not spoil the one after it.
        text = "".join(json.dumps(line) + "\n" for line in [header, *whole])
        with replacing(folder / _DONE) as partial:
            partial.write_text(text, encoding="ascii")

    @property
    def num_done(self) -> int:
        """Number of images whose batch is done."""
        return sum(len(self.rows(batch)) for batch in self._done)

    def pending(self) -> Iterator[int]:
        """The numbers of the batches to do, in order."""
        return (batch for batch in range(len(self._digests)) if batch not in self._done)

    def rows(self, batch: int) -> range:
        """The rows of a batch."""
        start = batch * self.batch_size
        return range(start, min(start + self.batch_size, len(self.features)))

    def write(
        self, batch: int, features: Float[np.ndarray, "N D"], unreadable: Mapping[int, str]
    ) -> None:
        """Keep a batch for good.

        Args:
            batch: its number.
            features: a row an image; those of unreadable ones do not matter.
            unreadable: rows of the store, with the reason.
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

    def close(self) -> None:
        """Let go of the features; the store stays on disk."""
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
        """Whether a line speaks of a batch that there is, as its images and features are now."""
        try:
            batch = line["batch"]
            # An image that was replaced since has another size, and its batch is done again.
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
    """The file, if it is there and as it was made."""
    try:
        # No pickle is read: NumPy maps plain numbers only.
        features = np.lib.format.open_memmap(path, "r+")
    except (OSError, ValueError):
        return None
    return features if features.dtype == np.float32 and features.shape == shape else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _reserve(path: Path) -> None:
    """Take the space of a sparse file now: a full disk is an error here and a crash later."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
