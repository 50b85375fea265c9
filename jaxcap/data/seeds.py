"""The random keys of a run, all split from its seed here."""

from typing import NamedTuple

import jax
from jaxtyping import Array

LARGEST_SEED = 2**32 - 1
"""JAX's keys take 32 bits of a seed, so a larger one would have the keys of a smaller."""


class SeedKeys(NamedTuple):
    """Random keys of a run.

    Attributes:
        data_key: for drawing the training captions of `max_train`.
        state_key: for initial parameters, minibatches and dropout.
    """

    data_key: Array
    state_key: Array


def split_seed(seed: int) -> SeedKeys:
    """Split a seed into the keys of a run.

    Raises:
        ValueError: the seed is below 0 or above `LARGEST_SEED`.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"`seed` is {seed}, expected 0 to {LARGEST_SEED}")
    data_key, state_key = jax.random.split(jax.random.key(seed))
    return SeedKeys(data_key, state_key)
