"""Grids of images in a file, read by rows, for grids larger than memory.

`SPLIT2014_grid.h5` holds `grid` (K, L, C), float16. A chunk is an image, so that any image is one
read.
"""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float, Int, Shaped

from jaxcap.files import AnyPath
from jaxcap.files.hdf5 import aligned, find_dataset, naming, open_hdf5


class Grids:
    """Grids of K images in a file that stays open; reading them takes no memory of their size.

    Args:
        path: the file.

    Attributes:
        dataset: the grids in the open file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no grids.
        OSError: it is broken.
    """

    _NAME, _NDIM, _KIND = "grid", 3, "floats"

    def __init__(self, path: AnyPath):
        self.path = Path(path)
        with ExitStack() as stack:
            # Without HDF5's cache of chunks, each of which is read once.
            file = stack.enter_context(open_hdf5(path, rdcc_nbytes=0))
            self.dataset = find_dataset(file, self._NAME, ndim=self._NDIM, kind=self._KIND)
            self._held = stack.pop_all()
        self.shape: tuple[int, ...] = self.dataset.shape
        self.dtype: np.dtype = self.dataset.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all grids."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def read(self, rows: Int[np.ndarray, " N"]) -> Shaped[np.ndarray, "N ..."]:
        """Read the grids of the images `rows`, (N, L, C), in that order, in the type of the file.

        Raises:
            ValueError: a value is NaN or infinite; the message names the row.
            OSError: the file is broken.
        """
        grids = aligned((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        with naming(f"{self.path}: {self._NAME}"):
            for last, own in zip([None, *order], order, strict=False):
                if last is not None and rows[last] == rows[own]:
                    grids[own] = grids[last]
                else:
                    self.dataset.read_direct(grids, np.s_[rows[own]], np.s_[own])
        self._check(grids, rows)
        return grids

    def _check(self, grids: np.ndarray, rows: np.ndarray) -> None:
        if not _all_finite(grids):
            wrong = ~np.isfinite(grids).all((1, 2))
            raise ValueError(
                f"{self.path}: grid row {rows[np.argmax(wrong)]} holds values that are NaN or "
                "infinite; make the grids again with jaxcap.prepare"
            )

    def close(self) -> None:
        """Close the file."""
        self._held.close()

    def __enter__(self) -> "Grids":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _all_finite(grids: Float[np.ndarray, "N L C"]) -> bool:
    if grids.dtype != np.float16 or not grids.size:
        return bool(np.isfinite(grids).all())
    # By their bits, in a tenth of the time: NaN and infinity are the largest of both
    # signs, as integers with a sign the positive ones, as integers without one the negative ones.
    positive, negative = int(grids.view(np.int16).max()), int(grids.view(np.uint16).max())
    return positive < 0x7C00 and negative < 0xFC00
