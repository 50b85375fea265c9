"""Loading of the grids of a data folder beside its features: into memory, or to be read by rows."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float

from jaxcap.data.coco_writing import DATASET_FILE, grid_file
from jaxcap.data.dataset import SPLITS, Dataset
from jaxcap.data.grids import Grids
from jaxcap.data.sharded import read_sharded
from jaxcap.files.hdf5 import read_floats
from jaxcap.files.json import read_json
from jaxcap.files.text import quote

GRID_MEMORY = 4 << 30
"""Bytes of grids that are held in memory by default."""


def load_grids(
    data: Dataset, *, memory: int = GRID_MEMORY, sharding: NamedSharding | None = None
) -> Dataset:
    """Load the grids of the splits of a data set from its folder.

    Args:
        data: a data set of files.
        memory: bytes of grids to hold in memory, over all splits. A split whose grids fit in what
            is left of them has its grids in `Split.images`, in the type of the file, float32 at
            most; the grids of another one are `Split.grids`, which reads them by rows.
        sharding: sharding of the rows of the training split, as its features have.

    Returns:
        The data with its grids.

    Raises:
        FileNotFoundError: a file with grids is missing.
        ValueError: a file does not hold grids, or not those of the features; or a value that is
            loaded is not finite.
        OSError: a file is broken.
    """
    if data.folder is None:
        raise ValueError(f"{data.where}: has no folder with grids; give the grid to `from_arrays`")
    missing = [file for split in SPLITS if not (data.folder / (file := grid_file(split))).exists()]
    if missing:
        found = "holds no grids" if len(missing) == len(SPLITS) else f"lacks {missing[0]}"
        raise FileNotFoundError(
            f"{data.folder}: {found}; a captioner that attends needs the grids of the images, "
            "which jaxcap.prepare writes with `grid`"
        )
    splits = dict(data.splits)
    with ExitStack() as stack:
        files = {
            split: stack.enter_context(Grids(data.folder / grid_file(split))) for split in SPLITS
        }
        about = _check(data, files)
        for name, split in data.splits.items():
            grids = files[name]
            if grids.nbytes > memory:
                splits[name] = replace(split, grids=Grids(grids.path))
                continue
            memory -= grids.nbytes
            held = _read(grids, sharding if name == "train" else None)
            splits[name] = replace(split, images=split.images._replace(grid=held))
    return replace(data, splits=splits, grid=about)


def _check(data: Dataset, files: Mapping[str, Grids]) -> Mapping[str, Any]:
    """Check the shapes of the grids, and describe them."""
    assert data.folder is not None
    for split, grids in files.items():
        if grids.shape[0] != data.counts[split].images:
            raise ValueError(
                f"{grids.path}: grid has the grids of {grids.shape[0]:,} images and the features "
                f"of {split} are of {data.counts[split].images:,}; take both from one preparation"
            )
    places, width = files["train"].shape[1:]
    path = data.folder / DATASET_FILE
    stored = read_json(path).get("grid") if path.exists() else None
    about = {"places": places, "width": width, "pca": None} if stored is None else stored
    if not isinstance(about, dict) or set(about) != {"places", "width", "pca"}:
        raise ValueError(f"{path}: grid is {quote(stored)}, expected places, width and pca")
    for grids in files.values():
        if grids.shape[1:] != (about["places"], about["width"]):
            where = path if stored is not None else files["train"].path
            raise ValueError(
                f"{grids.path}: grid has {grids.shape[1]} places of width {grids.shape[2]}, and "
                f"{where} says {about['places']} of {about['width']}; take both from one "
                "preparation"
            )
    return about


def _read(grids: Grids, sharding: NamedSharding | None) -> Float[Array, "K L C"]:
    """Read all grids onto the default device, or this process's rows onto several."""
    dtype = min(grids.dtype, np.dtype(np.float32), key=lambda dtype: dtype.itemsize)
    read = partial(read_floats, grids.dataset, dtype=dtype)
    if sharding is not None:
        return read_sharded(grids.shape, dtype, sharding, read)
    return jax.device_put(read(), may_alias=True)
