"""Scheduled sampling: a captioner in training reads some words that it wrote itself.

Bengio et al. (2015), arXiv 1506.03099. In training a captioner reads the words of people, and in
use its own, of whose faults it has learnt nothing. So a coin is thrown for each word: it is that of
the caption, or one drawn from the captioner's distribution. The targets stay those of the caption,
and no gradient goes through what was drawn. With i of n steps done and a rate s of own words at the
end, the rate is

    linear            s i / n
    exponential       1 - (1 - s)^(i / n)
    inverse sigmoid   1 - k / (k + exp(i / k)),  with k such that it is s after n steps
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import Batch
from jaxcap.decoding.sampling import Sampling, draw, word_weights
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import bind
from jaxcap.nn.parameters import Params
from jaxcap.nn.regularisation import Rate


def sampling_schedule(
    kind: str, rate: float, num_steps: int
) -> Callable[[Int[ArrayLike, ""]], Float[Array, ""]]:
    """Make the rate of own words a function of the number of steps done.

    >>> schedule = sampling_schedule("inverse_sigmoid", 0.25, 1000)
    >>> [round(float(schedule(step)), 3) for step in (0, 500, 900, 1000)]
    [0.004, 0.037, 0.178, 0.25]

    Args:
        kind: one of `jaxcap.learning.config.SAMPLING_SCHEDULES`.
        rate: at the end, at least 0 and below 1.
        num_steps: of the run; from then on the rate stays.

    Returns:
        The function, a pytree with numbers for leaves, so that they can be swept.
    """
    if kind == "linear":
        schedule = Partial(_linear, num_steps, rate)
    elif kind == "exponential":
        schedule = Partial(_exponential, num_steps, rate)
    else:
        # Every other start would wait some tenths of a second for it.
        from scipy.special import lambertw

        # exp(n / k) / k = s / (1 - s), which Lambert's W solves for n / k.
        turn = float(lambertw(num_steps * rate / (1 - rate)).real)
        schedule = Partial(_inverse_sigmoid, num_steps, num_steps / turn if turn else math.inf)
    return schedule  # pyright: ignore[reportReturnType]


def _linear(num_steps: Array | int, rate: Rate, step: ArrayLike) -> Array:
    return rate * (jnp.minimum(step, num_steps) / num_steps)


def _exponential(num_steps: Array | int, rate: Rate, step: ArrayLike) -> Array:
    return -jnp.expm1(jnp.minimum(step, num_steps) / num_steps * jnp.log1p(-rate))


def _inverse_sigmoid(num_steps: Array | int, k: Rate, step: ArrayLike) -> Array:
    return jax.nn.sigmoid(jnp.minimum(step, num_steps) / k - jnp.log(k))


def mixed_words(
    params: Params,
    config: CaptionerConfig,
    batch: Batch,
    rate: Rate,
    key: Array,
    table: Float[Array, "V G"] | None = None,
) -> Int[Array, "N _"]:
    """Replace words of captions by the captioner's own, each drawn after those that it has read.

    Neither `<NULL>` nor `<START>` is drawn, and a word after which nothing is predicted stays.

    Args:
        params: parameters under the notebook's names; no gradient goes through them.
        config: shape of the captioner.
        batch: N images with captions of L words.
        rate: probability of an own word.
        key: a `jax.random` key.
        table: as for `jaxcap.nn.one_word.step`.

    Returns:
        (N, L - 1) words to read: `Batch.inputs`.
    """
    captions = batch.captions
    step, carry = bind(lax.stop_gradient(params), config, batch.image, lax.stop_gradient(table))
    if batch.rows is not None:
        carry = jax.tree.map(lambda array: array[batch.rows], carry)
    start = captions[:, 0]
    rate = jnp.asarray(rate, jnp.float32)

    def read(state, inputs):
        (carry, words), (number, following, counts) = state, inputs
        carry, logits = step(carry, words)
        ids = jnp.arange(logits.shape[1], dtype=captions.dtype)[None]
        logits = jnp.where((ids == 0) | (ids == start[:, None]), -jnp.inf, logits)
        coin, place = jax.random.uniform(
            jax.random.fold_in(key, number), (2, len(words)), jnp.float32
        )
        drawn = draw(word_weights(logits, Sampling()), place).astype(captions.dtype)
        words = jnp.where((coin < rate) & counts, drawn, following)
        return (carry, words), words

    following, targets = captions.T[1:-1], captions.T[2:]
    inputs = jnp.arange(len(following)), following, targets != 0
    _, words = lax.scan(read, (carry, start), inputs)
    return jnp.concatenate([start[None], words]).T
