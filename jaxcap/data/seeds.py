"""The random keys of a run, all split from its seed here."""

from typing import NamedTuple

import jax
from jaxtyping import Array


class SeedKeys(NamedTuple):
    """Random keys of a run.

    Attributes:
        data_key: for drawing the training captions of `max_train`.
        state_key: for initial parameters, minibatches and dropout.
    """

    data_key: Array
    state_key: Array


def split_seed(seed: int) -> SeedKeys:
    """Split a seed into the keys of a run."""
    data_key, state_key = jax.random.split(jax.random.key(seed))
    return SeedKeys(data_key, state_key)
