"""The data of the course: a dictionary of NumPy arrays, minibatches and captions as text."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxcap.cs231n.arrays import Dict
from jaxcap.data.coco import load_arrays
from jaxcap.data.dataset import SPLITS
from jaxcap.data.image import Image
from jaxcap.scenes import ensure_scenes
from jaxcap.text.vocabulary import decode_captions

__all__ = ["BASE_DIR", "decode_captions", "load_coco_data", "np", "sample_coco_minibatch"]

DATA_VARIABLE = "JAXCAP_DATA"
COURSE_FOLDER = "cs231n/datasets/coco_captioning"
BASE_DIR: str | os.PathLike[str] = COURSE_FOLDER
"""Folder of the course's COCO files. Set it to read another."""


def load_coco_data(
    base_dir: str | os.PathLike[str] | None = None,
    max_train: int | None = None,
    pca_features: bool = True,
) -> Dict[str, Any]:
    """Load captions, features, URLs and words, and print from where.

    Args:
        base_dir: folder of the course's COCO files, or of a data set made by `jaxcap.prepare`. The
            default is `BASE_DIR` if you set it, else the folder in the environment variable
            `JAXCAP_DATA`, else the folder of the course, `cs231n/datasets/coco_captioning`, if it
            exists, else the embedded scenes.
        max_train: keep this many training captions, drawn with replacement from NumPy's global
            generator.
        pca_features: read the features that PCA reduced, if there are any. The scenes have one set
            of features, which PCA did not reduce, for either value.

    Returns:
        For each split S of train and val, of M captions of L ids over K images: `S_captions`
        (M, L) and `S_image_idxs` (M,), int32; `S_features` (K, D), float32; `S_urls` (K,), strings,
        empty for an unknown URL. For the V words: `idx_to_word`, a list, and `word_to_idx`, a
        dictionary.

    Raises:
        FileNotFoundError: the folder or a file in it is missing.
        ValueError: `max_train` is below 1, or the contents of a file are wrong.
        OSError: a file is broken, or the scenes cannot be written.
    """
    if max_train is not None and max_train < 1:
        raise ValueError(
            f"`max_train` is {max_train}, expected at least 1, or None for all captions"
        )
    folder, named_by = _find_folder(base_dir)
    if folder is None:
        folder, pca_features = ensure_scenes(), True
    print(f"base dir  {folder.absolute()} ({named_by})")
    vocabulary, splits = load_arrays(folder, pca_features=None if pca_features else False)
    data: Dict[str, Any] = Dict()
    # In the order in which the course's notebooks print them.
    for split in SPLITS:
        data[f"{split}_captions"] = splits[split].captions
        data[f"{split}_image_idxs"] = splits[split].image_idxs
    for split in SPLITS:
        data[f"{split}_features"] = splits[split].features
    data["idx_to_word"] = list(vocabulary.idx_to_word)
    data["word_to_idx"] = dict(vocabulary.word_to_idx)
    for split in SPLITS:
        data[f"{split}_urls"] = np.array(splits[split].urls or [""] * len(splits[split].features))
    if max_train is not None:
        kept = np.random.randint(len(data["train_captions"]), size=max_train)
        for name in ("train_captions", "train_image_idxs"):
            data[name] = data[name][kept]
    return data


def sample_coco_minibatch(
    data: dict[str, Any], batch_size: int = 100, split: str = "train"
) -> tuple[Int[np.ndarray, "N L"], Float[np.ndarray, "N D"] | Image, np.ndarray]:
    """Draw N captions with replacement from NumPy's global generator.

    Args:
        data: data from `load_coco_data`.
        batch_size: number of captions, N.
        split: "train" or "val".

    Returns:
        The captions, and the features and the URLs of their images. Features that are an `Image`,
        for captioners that attend, stay one.
    """
    rows = np.random.choice(len(data[f"{split}_captions"]), batch_size)
    image_idxs = data[f"{split}_image_idxs"][rows]
    features = data[f"{split}_features"]
    return (
        data[f"{split}_captions"][rows],
        features.at(image_idxs) if isinstance(features, Image) else features[image_idxs],
        data[f"{split}_urls"][image_idxs],
    )


def _find_folder(base_dir: str | os.PathLike[str] | None) -> tuple[Path | None, str]:
    """Find the folder to read, or None for the scenes, and what names it."""
    named = {
        "base_dir": base_dir,
        "BASE_DIR": BASE_DIR if BASE_DIR != COURSE_FOLDER else None,
        DATA_VARIABLE: os.environ.get(DATA_VARIABLE),
    }
    for source, value in named.items():
        if value:
            folder = Path(value).expanduser()
            if not folder.is_dir():
                raise FileNotFoundError(
                    f"{value}: no such folder; set {source} to the folder of the COCO files, or "
                    "leave it out for the embedded scenes"
                )
            return folder, source
    if Path(COURSE_FOLDER).is_dir():
        return Path(COURSE_FOLDER), "the folder of the course"
    why = f"since {DATA_VARIABLE} is not set and {COURSE_FOLDER} is not here"
    return None, f"the built-in scenes, {why}"
