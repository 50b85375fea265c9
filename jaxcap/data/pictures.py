"""Decoded pictures in a file, read by rows, for training that encodes them anew at each step.

`SPLIT2014_pictures.h5` holds `pictures` (K, S, S, 3), uint8, one after another, so that any picture
is one read. They stand where grids do: `Split.grids` may be pictures, which training then reads
ahead.
"""

import numpy as np

from jaxcap.data.grids import Grids
from jaxcap.files import AnyPath

DATASET = "pictures"


def pictures_file(split: str) -> str:
    """Name the file with a split's pictures."""
    return f"{split}2014_pictures.h5"


class Pictures(Grids):
    """Pictures of K images in a file that stays open; reading them takes no memory of their size.

    `read` gives (N, S, S, 3) uint8.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no pictures.
        OSError: it is broken.
    """

    _NAME, _NDIM, _KIND = DATASET, 4, "integers"

    def __init__(self, path: AnyPath):
        super().__init__(path)
        if self.dtype != np.uint8 or self.shape[3] != 3:
            self.close()
            raise ValueError(
                f"{path}: {DATASET} has type {self.dtype} and shape {self.shape}, expected uint8 "
                "of shape (K, S, S, 3); decode the pictures again"
            )

    def _check(self, grids: np.ndarray, rows: np.ndarray) -> None:
        """Accept any: bytes are finite."""
