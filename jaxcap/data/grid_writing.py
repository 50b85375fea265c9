"""Writing of the grids of images: rounded to float16, projected if asked for, chunk by chunk.

`jaxcap.data.coco` describes the file, and `jaxcap.data.grids` reads it.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

from jaxcap.data.coco_writing import write_rows
from jaxcap.data.projection import Projection
from jaxcap.files import AnyPath

_LARGEST = float(np.finfo(np.float16).max)


def round_grid(grid: Float[np.ndarray, "N L C"]) -> Float[np.ndarray, "N L C"]:
    """Round grids to float16; a value beyond its range becomes the largest of it, 65504.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not np.isfinite(grid).all():
        raise ValueError(
            "the encoder gives a grid of values that are NaN or infinite; take the picture out, or "
            "use other weights"
        )
    return np.clip(grid, -_LARGEST, _LARGEST).astype(np.float16)


def project_grid(
    grid: Float[np.ndarray, "N L C"], projection: Projection | None
) -> Float[np.ndarray, "N L K"]:
    """Project each place of rounded grids, and round again; None leaves them as they are.

    Raises:
        ValueError: the projection was made for grids of another width.
    """
    if projection is None:
        return grid
    places = projection.apply(grid.reshape(-1, grid.shape[2]).astype(np.float32))
    return round_grid(places.reshape(*grid.shape[:2], -1))


def write_grids(
    path: AnyPath, shape: tuple[int, int, int], chunks: Iterable[Float[np.ndarray, "_ L C"]]
) -> None:
    """Write a split's grids, a chunk of the file an image; equal grids give equal bytes.

    Args:
        path: the file; replaced if it exists.
        shape: shape of all grids, (K, L, C).
        chunks: the grids in order, any number at a time; written as float16.

    Raises:
        ValueError: the chunks together do not have that shape.
    """
    write_rows(path, "grid", shape, chunks, dtype=np.float16, chunks=(1, *shape[1:]))
