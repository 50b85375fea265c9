"""A small run, and Optax, which raises floats to integer powers, which strict promotion forbids."""

import jax
import pytest

from jaxcap.learning.checkpoints import CheckpointInfo
from jaxcap.learning.loop import TrainingConfig
from jaxcap.nn.captioner import CaptionerConfig


@pytest.fixture(autouse=True)
def standard_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def info(tiny):
    """Of a run of 20 iterations."""
    return CheckpointInfo(
        model=CaptionerConfig(
            vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16, dropout=0.2
        ),
        training=TrainingConfig(batch_size=8, num_epochs=4, log_every=2, order="shuffle"),
        vocabulary=tiny.vocabulary,
        data=tiny.identity(),
        source={"dataset": "coco", "data_dir": str(tiny.folder), "folder": str(tiny.folder)},
        seed=0,
    )
