"""Decoded pictures in a file, read by rows, for training that encodes them anew at each step.

`SPLIT2014_pictures.h5` holds `pictures` (K, S, S, 3), uint8, one after another, so that any picture
is one read. The interface is that of `jaxcap.data.grids.Grids`.
"""

from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Int, UInt8

from jaxcap.files import AnyPath
from jaxcap.files.hdf5 import find_dataset, open_hdf5

DATASET = "pictures"


def pictures_file(split: str) -> str:
    """Name the file with a split's pictures."""
    return f"{split}2014_pictures.h5"


class Pictures:
    """Pictures of K images in a file that stays open; reading them takes no memory of their size.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no pictures.
        OSError: it is broken.
    """

    def __init__(self, path: AnyPath):
        self.path = Path(path)
        with open_hdf5(path) as file:
            found = find_dataset(file, DATASET, ndim=4, kind="integers")
            if found.dtype != np.uint8 or found.shape[3] != 3:
                raise ValueError(
                    f"{path}: {DATASET} has type {found.dtype} and shape {found.shape}, expected "
                    "uint8 of shape (K, S, S, 3); decode the pictures again"
                )
        self._file = h5py.File(path, "r", locking="best-effort", rdcc_nbytes=0)
        self._dataset = find_dataset(self._file, DATASET, ndim=4, kind="integers")
        self.shape: tuple[int, ...] = self._dataset.shape
        self.dtype: np.dtype = self._dataset.dtype

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def read(self, rows: Int[np.ndarray, " N"]) -> UInt8[np.ndarray, "N S S 3"]:
        """Read the pictures of the images `rows`, in that order.

        Raises:
            OSError: the file is broken.
        """
        pictures = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            self._dataset.read_direct(pictures, np.s_[row], np.s_[place])
        return pictures

    def close(self) -> None:
        """Close the file."""
        self._file.close()
