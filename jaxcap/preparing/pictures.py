"""Pictures decoded once and kept as bytes, batch by batch, so that a kill loses at most one batch.

While they are decoded the file is `.partial-NAME`. All its space is allocated at the start, so that
writing pictures changes no structure of the file: it can be opened whenever the process is killed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p  # pyright: ignore[reportAttributeAccessIssue]  (compiled modules)

from jaxcap.data.pictures import DATASET
from jaxcap.files import AnyPath
from jaxcap.vision.images import open_image
from jaxcap.vision.preprocessing import Preprocessing

_BATCH = 64
_THREADS = min(os.cpu_count() or 1, 16)
_DONE, _OF = "done", "of"


def decode_pictures(
    paths: Sequence[Path], preprocessing: Preprocessing, path: AnyPath
) -> Iterator[int]:
    """Decode and resize the pictures that a file lacks, and give the file its name at the end.

    Args:
        paths: paths of the images, one a row.
        preprocessing: what resizes them; nothing else of it is used.
        path: the file, as `jaxcap.data.pictures.Pictures` reads it. A complete one is replaced; one
            begun by the same call, of images of the same names and sizes in bytes, is continued.

    Yields:
        The number of pictures in each batch, once it is on disk; first that of those found there.

    Raises:
        ValueError: a picture cannot be read, or its kind is not known; those before it are kept.
        OSError: a picture is missing or broken, or the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".partial-{path.name}")
    identity = _identity(paths, preprocessing)
    with _opened(partial, identity, len(paths), preprocessing.size) as file:
        pictures, done = file[DATASET], file[_DONE]
        missing = np.flatnonzero(done[:] == 0)  # pyright: ignore
        yield len(paths) - len(missing)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
            for start in range(0, len(missing), _BATCH):
                rows = missing[start : start + _BATCH]
                decoded = pool.map(lambda row: preprocessing.resize(open_image(paths[row])), rows)
                for row, picture in zip(rows, decoded, strict=True):
                    pictures[row] = picture  # pyright: ignore
                # The mark comes after what it marks.
                file.flush()
                done[rows] = 1  # pyright: ignore
                file.flush()
                yield len(rows)
        del file[_DONE], file.attrs[_OF]
    partial.replace(path)


def _identity(paths: Sequence[Path], preprocessing: Preprocessing) -> str:
    """Digest what the pictures depend on."""
    how = [preprocessing.size, preprocessing.fit, preprocessing.filter, preprocessing.crop_share]
    images = [(str(path), path.stat().st_size) for path in paths]
    return hashlib.sha256(json.dumps([how, images]).encode("ascii")).hexdigest()


def _opened(partial: Path, identity: str, num: int, size: int) -> h5py.File:
    """Open the file of a call that was stopped, or begin it."""
    if partial.exists():
        try:
            file = h5py.File(partial, "r+")
            if file.attrs.get(_OF) == identity:
                return file
            file.close()
        except OSError:
            # Stopped before its structure was on disk.
            pass
    file = h5py.File(partial, "w")
    early = h5p.create(h5p.DATASET_CREATE)
    early.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5d.FILL_TIME_NEVER)
    file.create_dataset(DATASET, (num, size, size, 3), np.uint8, dcpl=early)
    file.create_dataset(_DONE, data=np.zeros(num, np.uint8))
    file.attrs[_OF] = identity
    file.flush()
    return file
