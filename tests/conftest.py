"""Every test runs with shapes checked at run time and with JAX's strict promotion rules."""

import jax
import numpy as np
import pytest
from jaxtyping import install_import_hook

with install_import_hook("jaxcap", "beartype.beartype"):
    from jaxcap.data.coco import SplitArrays, load_coco, write_coco
    from jaxcap.data.vocabulary import Vocabulary

# The hook stays for what the tests import themselves.
install_import_hook("jaxcap", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64():
    """Run the test in float64."""
    with jax.enable_x64(True):
        yield


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


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory):
    """A folder in the course's layout that trains in a second."""
    folder = tmp_path_factory.mktemp("tiny")
    vocabulary, splits = tiny_splits()
    write_coco(folder, vocabulary, splits, name="tiny")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_dir):
    """The data of `tiny_dir`."""
    return load_coco(tiny_dir)
