"""What a small checkpoint holds, without training."""

from functools import partial

import jax
import numpy as np

from jaxcap.data.dataset import DataIdentity, DataSource
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.learning.step import init_state
from jaxcap.nn.config import CaptionerConfig
from jaxcap.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a", "cat", "on", "grass"])
INFO = RunInfo(
    model=CaptionerConfig(vocab_size=8, feature_dim=3, wordvec_dim=2, hidden_dim=4),
    training=TrainingConfig(optimiser=OptimiserConfig(clip_norm=5.0)),
    vocabulary=VOCABULARY,
    data=DataIdentity("tiny", {}, 9, 3, True, vocabulary_size=8),
    source=DataSource("coco", "/data", max_train=50, folder="/data"),
    seed=0,
)


def state_at(step, seed=0):
    optimiser = make_optimiser(INFO.training.optimiser, steps_per_epoch=1)
    state = init_state(jax.random.key(seed), INFO.model, optimiser)
    return state._replace(step=state.step + step)


def assert_same(a, b):
    values = partial(
        jax.tree.map,
        lambda x: np.asarray(
            jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        ),
    )
    jax.tree.map(np.testing.assert_array_equal, values(a), values(b))
