"""Loading of data sets: the embedded scenes, or a folder in the course's layout."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import NamedSharding

from jaxcap.data.coco import load_coco
from jaxcap.data.dataset import SPLITS, Dataset
from jaxcap.data.grid_loading import GRID_MEMORY, load_grids
from jaxcap.data.identity import ARRAYS, DataSource
from jaxcap.files import AnyPath
from jaxcap.scenes import ensure_scenes

DATASETS = ("scenes", "coco")


class Placement(NamedTuple):
    """Which splits to load, onto which devices, and whether with grids.

    Attributes:
        splits: names of the splits.
        sharding: sharding of the rows of the training split; None for the default device.
        grids: load the grids of the images too, for captioners that attend.
        grid_memory: bytes of grids to hold in memory, over all splits; what does not fit is read by
            rows from its file, see `jaxcap.data.grid_loading.load_grids`.
    """

    splits: Sequence[str] = SPLITS
    sharding: NamedSharding | None = None
    grids: bool = False
    grid_memory: int = GRID_MEMORY


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
    """Load a data set; by default the embedded scenes.

    Args:
        data_dir: folder in the course's layout, as `jaxcap.prepare` writes it. With
            `dataset="scenes"`, the folder to keep the scenes in, by default your cache folder.
        dataset: "scenes", which are written on first use, or "coco". None means "coco" if
            `data_dir` is given, otherwise "scenes".
        pca_features: read the features reduced by PCA, or the full ones; None for the reduced
            ones if both of their files exist.
        max_train: number of training captions to draw, with replacement; None for all.
        key: random key of that draw.
        placement: which splits to load, onto which devices, and whether with grids.

    Returns:
        The data, on the default device or as `placement` says. `Dataset.source` records how to
        load it again.

    Raises:
        FileNotFoundError: the folder or a file in it is missing, as that of grids you ask for.
        ValueError: an argument or the contents of a file are wrong; the message names it.
        OSError: a file is broken, or the scenes cannot be written.

    >>> data = load_data()  # doctest: +SKIP
    >>> data.train.captions.shape, data.train.features.shape  # doctest: +SKIP
    ((40000, 17), (8000, 512))
    """
    folder = Path(data_dir).expanduser() if data_dir else None
    chosen = dataset or ("coco" if folder else "scenes")
    if chosen == ARRAYS:
        raise ValueError("the data were arrays, which were saved in no file; give a `data_dir`")
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
    if placement.grids:
        data = load_grids(data, memory=placement.grid_memory, sharding=placement.sharding)
    return replace(data, source=source)
