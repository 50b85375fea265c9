"""Regularisation in training: dropout, label smoothing, doubly stochastic attention."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Rate = float | Float[Array, ""]
"""A constant of the program, or an argument of it, as in a sweep."""


class Regularisation(NamedTuple):
    """Rates of regularisation; a pytree.

    None leaves a term out of the compiled program; a rate of 0 does not.
    """

    dropout: Rate | None = None
    """Dropout rate of the features, word vectors and hidden states."""
    label_smoothing: Rate | None = None
    """Probability that the target distribution spreads evenly over all words (Szegedy et al.
    2016)."""
    attention: Rate | None = None
    """Factor on the doubly stochastic penalty, the sum over places of (1 - the place's share summed
    over the words)^2 (Xu et al. 2015, section 4.2.1); without effect if nothing attends."""


def drop(key: Array | None, x: Array, rate: Rate | None) -> Array:
    """Apply inverted dropout; return `x` without a key or a rate."""
    if key is None or rate is None:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, x.shape)
    return jnp.where(keep, x / (1 - rate), jnp.zeros_like(x))
