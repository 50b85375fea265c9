"""Load a data set by name: the embedded scenes, or a folder in the course's layout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding

from jaxcap.data.coco import load_coco
from jaxcap.data.dataset import SPLITS, Dataset
from jaxcap.data.identity import ARRAYS, DataSource
from jaxcap.files import AnyPath
from jaxcap.scenes import ensure_scenes

DATASETS = ("scenes", "coco")


class Placement(NamedTuple):
    """Which splits are loaded, and where their rows go.

    Attributes:
        splits: names of the splits.
        sharding: of the rows of the training split over devices; None for the default device.
    """

    splits: Sequence[str] = SPLITS
    sharding: NamedSharding | None = None


WHOLE = Placement()


def load_data(
    data_dir: AnyPath | None = None,
    *,
    dataset: str | None = None,
    pca_features: bool | None = None,
    max_train: int | None = None,
    key: jax.Array | None = None,
    placement: Placement = WHOLE,
) -> Dataset:
    """Load a data set; the embedded scenes unless you name a folder.

    Args:
        data_dir: folder in the course's layout, as `jaxcap.prepare` writes it; with
            `dataset="scenes"` where to keep the scenes, by default your cache folder.
        dataset: "scenes", written first if need be, or "coco"; None for "coco" where there is a
            `data_dir` and "scenes" elsewhere.
        pca_features: read the features that PCA reduced; None for those if they are there.
        max_train: keep this many training captions, drawn with replacement.
        key: random key of that draw.
        placement: which splits, and on which devices.

    Returns:
        The data, on the default device or as `placement` says. Its `source` says how to load it
        again.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: an argument or what a file holds is wrong; the message names it.
        OSError: a file is broken, or the scenes cannot be written.
    """
    folder = Path(data_dir).expanduser() if data_dir else None
    chosen = dataset or ("coco" if folder else "scenes")
    if chosen == ARRAYS:
        raise ValueError("the data were arrays, which no file gives again: give a `data_dir`")
    if chosen not in DATASETS:
        raise ValueError(f"`dataset` is {chosen}, expected one of {', '.join(DATASETS)}")
    if chosen == "coco" and folder is None:
        raise ValueError('`dataset="coco"` needs `data_dir`, the folder of the course\'s files')
    data = load_coco(
        folder if chosen == "coco" and folder else ensure_scenes(folder),
        pca_features=pca_features,
        max_train=max_train,
        key=key,
        splits=placement.splits,
        sharding=placement.sharding,
    )
    source = DataSource(
        dataset=dataset,
        data_dir=None if folder is None else str(folder.absolute()),
        pca_features=data.pca_features,
        max_train=max_train,
        folder=str(data.folder),
    )
    return replace(data, source=source)
