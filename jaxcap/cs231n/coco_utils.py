"""The data of the course: a dictionary of NumPy arrays, minibatches and captions as text."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxcap.cs231n.arrays import Dict
from jaxcap.data.dataset import SPLITS
from jaxcap.datasets import load_data
from jaxcap.text.vocabulary import decode_captions

__all__ = ["decode_captions", "load_coco_data", "sample_coco_minibatch"]

DATA_VARIABLE = "JAXCAP_DATA"
COURSE_FOLDER = Path("cs231n/datasets/coco_captioning")


def load_coco_data(
    base_dir: str | os.PathLike[str] | None = None,
    max_train: int | None = None,
    pca_features: bool = True,
) -> Dict[str, Any]:
    """Load captions, features, URLs and words.

    Args:
        base_dir: folder of the course's COCO files, or of a data set made by `jaxcap.prepare`. The
            default is the folder in the environment variable `JAXCAP_DATA`, else the folder of the
            course, `cs231n/datasets/coco_captioning`, if it exists, else the embedded scenes.
        max_train: keep this many training captions, drawn with replacement from NumPy's global
            generator.
        pca_features: read the features that PCA reduced, if there are any.

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
    folder = base_dir or os.environ.get(DATA_VARIABLE)
    if folder and not Path(folder).expanduser().is_dir():
        source = "base_dir" if base_dir else DATA_VARIABLE
        raise FileNotFoundError(
            f"{folder}: no such folder; set {source} to the folder of the COCO files, or leave it "
            "out for the embedded scenes"
        )
    if not folder and COURSE_FOLDER.is_dir():
        folder = COURSE_FOLDER
    loaded = load_data(
        folder or None,
        pca_features=None if pca_features else False,
    )
    data: Dict[str, Any] = Dict()
    for split in SPLITS:
        arrays = loaded.splits[split]
        # Copies, since JAX arrays are read-only.
        data[f"{split}_captions"] = np.array(arrays.captions)
        data[f"{split}_image_idxs"] = np.array(arrays.image_idxs)
        data[f"{split}_features"] = np.array(arrays.features)
        urls = arrays.urls if len(arrays.urls) else np.zeros(len(arrays.features), "S1")
        data[f"{split}_urls"] = np.char.decode(urls, "utf-8", "replace")
    data["idx_to_word"] = list(loaded.vocabulary.idx_to_word)
    data["word_to_idx"] = dict(loaded.vocabulary.word_to_idx)
    if max_train is not None:
        kept = np.random.randint(len(data["train_captions"]), size=max_train)
        for name in ("train_captions", "train_image_idxs"):
            data[name] = data[name][kept]
    return data


def sample_coco_minibatch(
    data: dict[str, Any], batch_size: int = 100, split: str = "train"
) -> tuple[Int[np.ndarray, "N L"], Float[np.ndarray, "N D"], np.ndarray]:
    """Draw N captions with replacement from NumPy's global generator.

    Args:
        data: data from `load_coco_data`.
        batch_size: number of captions, N.
        split: "train" or "val".

    Returns:
        The captions, and the features and the URLs of their images.
    """
    rows = np.random.choice(len(data[f"{split}_captions"]), batch_size)
    image_idxs = data[f"{split}_image_idxs"][rows]
    return (
        data[f"{split}_captions"][rows],
        data[f"{split}_features"][image_idxs],
        data[f"{split}_urls"][image_idxs],
    )
