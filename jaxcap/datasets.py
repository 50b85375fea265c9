"""Which data set a command reads: the embedded scenes, or a folder in the course's layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from jax.sharding import NamedSharding

from jaxcap.data.coco import load_coco
from jaxcap.data.dataset import SPLITS, CaptionData
from jaxcap.scenes import ensure_scenes

DATASETS = ("scenes", "coco")


def load_dataset(
    dataset: str | None = None,
    data_dir: str | Path | None = None,
    *,
    pca_features: bool | None = None,
    max_train: int | None = None,
    key: jax.Array | None = None,
    splits: Sequence[str] = SPLITS,
    sharding: NamedSharding | None = None,
) -> CaptionData:
    """Load the data set that a command's flags name.

    Args:
        dataset: "scenes", which is written first if it is not there, or "coco"; None is "coco" if
            there is a `data_dir` and "scenes" otherwise.
        data_dir: folder of the course's files, or where to keep the scenes instead of the user's
            cache folder.
        pca_features, max_train, key, splits, sharding: as `load_coco` takes them.

    Raises:
        ValueError: an unknown data set, or "coco" without a folder; and what `load_coco` raises.
    """
    dataset = dataset or ("coco" if data_dir else "scenes")
    if dataset == "scenes":
        folder = ensure_scenes(None if data_dir is None else Path(data_dir).expanduser())
    elif dataset == "coco":
        if not data_dir:
            raise ValueError("--dataset=coco needs --data_dir, the folder of the course's files")
        folder = Path(data_dir)
    else:
        raise ValueError(f"--dataset is {dataset}, expected one of {', '.join(DATASETS)}")
    return load_coco(
        folder,
        pca_features=pca_features,
        max_train=max_train,
        key=key,
        splits=splits,
        sharding=sharding,
    )


def describe_source(
    data: CaptionData, dataset: str | None, data_dir: str | None, max_train: int | None
) -> dict[str, Any]:
    """What a checkpoint keeps in order to load the same data again; plain JSON values."""
    return {
        "dataset": dataset,
        "data_dir": data_dir and str(Path(data_dir).expanduser().absolute()),
        "pca_features": data.pca_features,
        "max_train": max_train,
        "folder": str(data.folder),
    }
