"""Every test runs with shapes checked at run time and with JAX's strict promotion rules."""

import gc

import jax
import pytest
from jaxtyping import install_import_hook

with install_import_hook("jaxcap", "beartype.beartype"):
    from tiny_data import tiny_splits

    from jaxcap.data.coco import load_coco, write_coco
    from jaxcap.learning.checkpoints import CheckpointInfo
    from jaxcap.learning.loop import TrainingConfig
    from jaxcap.nn.captioner import CaptionerConfig

# The hook stays for what the tests import themselves.
install_import_hook("jaxcap", "beartype.beartype")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption(
        "--minutes", type=float, default=30, help="of training, in the test marked soak"
    )


QUICKLY_COMPILED = {"nn", "decoding"}
"""Folders whose tests compile over and over what then runs for a moment."""


@pytest.fixture(autouse=True, scope="module")
def quick_compilation(request):
    """Leave out most optimisations where that is said; elsewhere programs are as users' are."""
    before = jax.config.read("jax_disable_most_optimizations")
    quick = before or request.path.parent.name in QUICKLY_COMPILED
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def pytest_collection_finish():
    # What the imports left would be looked through again by each of many collections.
    gc.collect()
    gc.freeze()


@pytest.fixture
def x64():
    """Run the test in float64."""
    with jax.enable_x64(True):
        yield


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


@pytest.fixture(scope="session")
def info(tiny):
    """Of a run of 20 iterations."""
    return CheckpointInfo(
        model=CaptionerConfig(
            vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16, dropout=0.2
        ),
        training=TrainingConfig(batch_size=8, num_epochs=4, log_every=2, order="shuffle"),
        vocabulary=tiny.vocabulary,
        data=tiny.identity,
        source=tiny.source,
        seed=0,
    )
