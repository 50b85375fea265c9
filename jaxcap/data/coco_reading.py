"""The open files of a data folder in the course's layout, and checked reading of their rows.

`jaxcap.data.coco` describes the files.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from jaxtyping import Int

from jaxcap.data.checks import (
    check_captions,
    check_image_idxs,
    check_one_a_caption,
    check_urls,
    check_widths,
)
from jaxcap.data.coco_writing import CAPTIONS_FILE, VOCABULARY_FILE, features_file, urls_file
from jaxcap.data.dataset import SPLITS
from jaxcap.files.hdf5 import find_dataset, open_hdf5, place, read_integers
from jaxcap.files.text import read_file


class SplitDatasets(NamedTuple):
    """Open datasets of a split."""

    captions: h5py.Dataset  # (M, L)
    image_idxs: h5py.Dataset  # (M,)
    features: h5py.Dataset  # (K, D)


def open_splits(stack: ExitStack, folder: Path, pca_features: bool) -> dict[str, SplitDatasets]:
    """Open the datasets of both splits, of matching shapes, until `stack` is closed."""
    captions = stack.enter_context(open_hdf5(folder / CAPTIONS_FILE))
    files = {}
    for split in SPLITS:
        features = stack.enter_context(open_hdf5(folder / features_file(split, pca_features)))
        files[split] = SplitDatasets(
            find_dataset(captions, f"{split}_captions", ndim=2, kind="integers"),
            find_dataset(captions, f"{split}_image_idxs", ndim=1, kind="integers"),
            find_dataset(features, "features", ndim=2, kind="floats"),
        )
    for d in files.values():
        check_one_a_caption(len(d.image_idxs), place(d.image_idxs), len(d.captions))
    check_widths({place(d.captions): d.captions.shape for d in files.values()})
    check_widths({place(d.features): d.features.shape for d in files.values()})
    return files


class SplitReader(NamedTuple):
    """Checked reading of the captions, image indices and URLs of a split."""

    folder: Path
    split: str
    datasets: SplitDatasets
    words: int

    def captions(self, first: int = 0, last: int | None = None) -> Int[np.ndarray, "M L"]:
        """Read word ids, rows `first` to `last` (exclusive)."""
        captions = read_integers(self.datasets.captions, first, last)
        where, vocabulary = place(self.datasets.captions), str(self.folder / VOCABULARY_FILE)
        check_captions(captions, where, self.words, vocabulary, first)
        return captions.astype(np.int32, copy=False)

    def image_idxs(self, first: int = 0, last: int | None = None) -> Int[np.ndarray, "M"]:
        """Read rows of the features, of the captions `first` to `last` (exclusive)."""
        image_idxs = read_integers(self.datasets.image_idxs, first, last)
        where, images = place(self.datasets.image_idxs), self.datasets.features.file.filename
        check_image_idxs(image_idxs, where, len(self.datasets.features), images, first)
        return image_idxs.astype(np.int32, copy=False)

    def urls(self) -> list[bytes]:
        """Read one URL an image, or none if the file is missing."""
        path = self.folder / urls_file(self.split)
        if not path.exists():
            return []
        lines = [line.strip() for line in read_file(path).splitlines()]
        features = self.datasets.features
        check_urls(lines, str(path), len(features), features.file.filename)
        return lines
