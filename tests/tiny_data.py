"""A data set that trains in a second."""

import dataclasses
from unittest import mock

import jax.numpy as jnp
import numpy as np

from jaxcap.data.coco import SplitArrays
from jaxcap.files.cache import cache_folder
from jaxcap.scenes import dataset as scenes
from jaxcap.text.vocabulary import Vocabulary


def tiny_splits(num_train=40, num_val=12, images=10, length=9, feature_dim=6):
    """A vocabulary and random captions of both splits, in the course's layout."""
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.build(["a", "red", "blue", "cat", "dog", "on", "grass", "two"])
    splits = {}
    for split, num in (("train", num_train), ("val", num_val)):
        captions = np.zeros((num, length), np.int32)
        for row in captions:
            words = rng.integers(4, len(vocabulary), rng.integers(2, length - 2))
            row[: len(words) + 2] = [vocabulary.start, *words, vocabulary.end]
        splits[split] = SplitArrays(
            captions=captions,
            image_idxs=np.arange(num, dtype=np.int32) % images,
            features=rng.standard_normal((images, feature_dim)).astype(np.float32),
            urls=[f"http://example.org/{split}/{i}.jpg" for i in range(images)],
        )
    return vocabulary, splits


def with_grids(data, places=4, grid_dim=5):
    """The same data set, whose images have random grids."""
    rng, splits = np.random.default_rng(1), {}
    for name, split in data.splits.items():
        grid = rng.standard_normal((split.images.num, places, grid_dim))
        images = split.images._replace(grid=jnp.asarray(grid, jnp.float16))
        splits[name] = dataclasses.replace(split, images=images)
    return dataclasses.replace(data, splits=splits)


def cache_of_few_scenes():
    """A cache folder with the first scenes, where all of them would take half a minute."""
    folder = cache_folder() / "few"
    with mock.patch.dict(scenes.COUNTS, train=400, val=40):
        scenes.ensure_scenes(folder)
    return str(folder)
