"""From image files to rows of a feature store; one batch is decoded while the last is encoded."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from jaxcap.data.grid_writing import round_grid
from jaxcap.files.text import one_line
from jaxcap.preparing.store import FeatureStore
from jaxcap.vision.encoder import Features, without_grid
from jaxcap.vision.images import RGB, open_image

_THREADS = min(os.cpu_count() or 1, 16)

Pixels = UInt8[np.ndarray, "..."]


@runtime_checkable
class ImageEncoder(Protocol):
    """Interface of an encoder, which `jaxcap.vision.encoder.Encoder` implements."""

    @property
    def feature_dim(self) -> int:
        """Width D of the features."""
        ...

    def describe(self) -> dict[str, Any]:
        """Describe what the features depend on, in plain JSON."""
        ...

    def prepare(self, image: RGB) -> Pixels:
        """Resize a picture for `encode_prepared`."""
        ...

    def encode_prepared(
        self, images: UInt8[np.ndarray, "N ..."], *, batch_size: int = 32
    ) -> Features:
        """Encode a batch of prepared pictures."""
        ...


@runtime_checkable
class GridEncoder(ImageEncoder, Protocol):
    """Interface of an encoder that can also give a grid, a vector of C for each of L places."""

    @property
    def grid_cells(self) -> int:
        """Places L of the grid, 0 without a grid."""
        ...

    @property
    def grid_dim(self) -> int:
        """Width C of the grid."""
        ...

    def encode_prepared(
        self, images: UInt8[np.ndarray, "N ..."], *, grid: bool = False, batch_size: int = 32
    ) -> Features:
        """Encode a batch of prepared pictures, with their grids if asked for."""
        ...


def grid_shape(encoder: ImageEncoder) -> tuple[int, int]:
    """Return the places and the width (L, C) of an encoder's grids.

    Raises:
        ValueError: it has no grid.
    """
    if not isinstance(encoder, GridEncoder) or not encoder.grid_cells:
        raise ValueError(without_grid(encoder.describe().get("name", "the encoder")))
    return encoder.grid_cells, encoder.grid_dim


def encode_images(
    paths: Sequence[Path], encoder: ImageEncoder, store: FeatureStore, *, strict: bool = False
) -> Iterator[int]:
    """Encode the images that a store lacks.

    Pillow decodes in threads. The prepared pictures of two batches are in memory.

    Args:
        paths: paths of the images, one a row of the store.
        encoder: encoder of the features.
        store: store of the features, which also records unreadable images.
        strict: fail on an unreadable image.

    Yields:
        The number of images in each batch, once it is on disk.

    Raises:
        ValueError: an image cannot be read, and `strict` is true; or the store has grids, and a
            grid is not finite. Batches before it are kept.
    """
    pending = list(store.pending())
    _check(store.unreadable, store, strict)
    futures: dict[int, list[Future[Pixels | str]]] = {}
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        for place, batch in enumerate(pending):
            for ahead in pending[place : place + 2]:
                if ahead not in futures:
                    futures[ahead] = [
                        pool.submit(_decode, paths[row], encoder) for row in store.rows(ahead)
                    ]
            rows = store.rows(batch)
            pictures = [future.result() for future in futures.pop(batch)]
            unreadable = {
                row: picture
                for row, picture in zip(rows, pictures, strict=True)
                if isinstance(picture, str)
            }
            _check(unreadable, store, strict)
            found = _encode(pictures, encoder, store)
            store.write(batch, found.pooled, unreadable, _rounded(found.grid, rows, paths))
            yield len(rows)
    finally:
        pool.shutdown(cancel_futures=True)


def retry_unreadable(paths: Sequence[Path], encoder: ImageEncoder, store: FeatureStore) -> None:
    """Take batches for pending whose unreadable images can be read by now.

    The size of such a file need not have changed: its permissions may have, or what is installed.
    """
    for row in list(store.unreadable):
        if row in store.unreadable and not isinstance(_decode(paths[row], encoder), str):
            store.reopen(row // store.batch_size)


def _decode(path: Path, encoder: ImageEncoder) -> Pixels | str:
    """Return the prepared picture, or the reason why it is unreadable."""
    try:
        return encoder.prepare(open_image(path))
    except (OSError, ValueError) as error:
        return one_line(error)


def _encode(
    pictures: Sequence[Pixels | str], encoder: ImageEncoder, store: FeatureStore
) -> Features:
    readable = [picture for picture in pictures if not isinstance(picture, str)]
    num, size = len(pictures), store.batch_size
    if not readable:
        grid = None if store.grids is None else np.zeros((num, *store.grids.shape[1:]), np.float32)
        return Features(np.zeros((num, encoder.feature_dim), np.float32), grid)
    # Black in place of unreadable pictures keeps the batch's shape, and so its program.
    black = np.zeros_like(readable[0])
    whole = np.stack([black if isinstance(picture, str) else picture for picture in pictures])
    if store.grids is not None and isinstance(encoder, GridEncoder):
        return encoder.encode_prepared(whole, grid=True, batch_size=size)
    return encoder.encode_prepared(whole, batch_size=size)


def _rounded(
    grids: np.ndarray | None, rows: Sequence[int], paths: Sequence[Path]
) -> np.ndarray | None:
    if grids is None:
        return None
    try:
        return round_grid(grids)
    except ValueError:
        row = rows[int(np.argmin(np.isfinite(grids).all((1, 2))))]
        raise ValueError(
            f"{paths[row]}: the encoder gives it a grid of values that are NaN or infinite; "
            "take the picture out, or use other weights"
        ) from None


def _check(unreadable: dict[int, str], store: FeatureStore, strict: bool) -> None:
    if strict and unreadable:
        raise ValueError(
            f"{unreadable[min(unreadable)]}; {store.num_done} images are done and kept: fix this "
            "one and run the same command again, or run it without `strict` to leave it out"
        )
