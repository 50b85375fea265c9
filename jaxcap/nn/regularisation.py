"""What training does against overfitting: dropout, and targets that are smoothed."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Rate = float | Float[Array, ""]
"""A number of the program, or one that it is given, as in a sweep."""


class Regularisation(NamedTuple):
    """Rates of regularisation; a pytree.

    None keeps a term out of the program, which a rate of 0 does not.
    """

    dropout: Rate | None = None
    """Share of the features, word vectors and hidden states that is dropped."""
    label_smoothing: Rate | None = None
    """Probability that the target distribution spreads evenly over all words (Szegedy et al.
    2016)."""


def drop(key: Array | None, x: Array, rate: Rate | None) -> Array:
    """Inverted dropout; the identity without a key or a rate."""
    if key is None or rate is None:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))
