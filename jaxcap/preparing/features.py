"""From image files to rows of a feature store; one batch is decoded while the last is encoded."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from jaxcap.files.text import one_line
from jaxcap.preparing.store import FeatureStore
from jaxcap.vision.encoder import Features
from jaxcap.vision.images import RGB, open_image

_THREADS = min(os.cpu_count() or 1, 16)

Pixels = UInt8[np.ndarray, "S S 3"]


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
        self, images: UInt8[np.ndarray, "N S S 3"], *, batch_size: int = 32
    ) -> Features:
        """Encode a batch of prepared pictures."""
        ...


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
        ValueError: an image cannot be read, and `strict` is true. Batches before it are kept.
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
            store.write(batch, _encode(pictures, encoder, store.batch_size), unreadable)
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


def _encode(pictures: Sequence[Pixels | str], encoder: ImageEncoder, batch_size: int) -> np.ndarray:
    readable = [picture for picture in pictures if not isinstance(picture, str)]
    features = np.zeros((len(pictures), encoder.feature_dim), np.float32)
    if readable:
        # Black in place of unreadable pictures keeps the batch's shape, and so its program.
        black = np.zeros_like(readable[0])
        whole = [black if isinstance(picture, str) else picture for picture in pictures]
        features[:] = encoder.encode_prepared(np.stack(whole), batch_size=batch_size).pooled
    return features


def _check(unreadable: dict[int, str], store: FeatureStore, strict: bool) -> None:
    if strict and unreadable:
        raise ValueError(
            f"{unreadable[min(unreadable)]}; {store.num_done} images are done and kept: fix this "
            "one and run the same command again, or run it without `strict` to leave it out"
        )
