"""Ancestral sampling: each word is drawn from the distribution of the model, or a part of it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.decoding.rows import repeat_rows
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Hypotheses, Keys, Step
from jaxcap.decoding.top_words import top_words
from jaxcap.decoding.word_by_word import NextWords, walk

_CHUNK = 64
_BITS_OF_ONE = 0x3F800000


@dataclass(frozen=True)
class Sampling:
    """How to draw words; hashable, static under `jit`.

    Attributes:
        num_samples: number of captions to draw for each image, S.
        temperature: divisor of the logits; below 1 likely words become likelier.
        top_k: draw only from the k likeliest words (Fan et al., 2018), and words that tie with the
            last of them; None draws from all.
        top_p: draw only from the fewest words, likeliest first, whose probabilities reach `top_p`
            (Holtzman et al., 2020), and words that tie with the last of them; None draws from all.
            Applied after temperature, `top_k` and rules.

    Raises:
        ValueError: a number is outside its range.
    """

    num_samples: int = 1
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if self.num_samples < 1:
            raise ValueError(f"`num_samples` must be at least 1, got {self.num_samples}")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"`temperature` must be above 0 and finite, got {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"`top_k` must be at least 1, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"`top_p` must be above 0 and at most 1, got {self.top_p}")

    @property
    def captions_each(self) -> int:
        """Number of captions for each image, S."""
        return self.num_samples

    def write(
        self, step: Step, carry: Any, rules: Rules, num: int, keys: Keys | None = None
    ) -> Hypotheses:
        """Write captions of N images; see `jaxcap.decoding.strategy.Strategy.write`."""
        if keys is None:
            raise ValueError("sampling draws words and needs a random key: give `key`")
        del num
        return draw_captions(step, carry, self, rules, keys)


def draw_captions(
    step: Step, carry: Any, strategy: Sampling, rules: Rules, keys: Keys
) -> Hypotheses:
    """Draw S captions for each of N images.

    Args:
        step: `step(carry, words) -> (carry, logits)`, words (R,) and logits (R, V), for any number
            of rows R.
        carry: state of the model before the first word, N rows.
        strategy: how to draw.
        rules: special ids, maximum length, and rules on the words.
        keys: a `jax.random` key for each image. The draws of an image depend only on its key, not
            on the batch, and not on `max_length` up to the cut.

    Returns:
        The captions, in the order drawn, with log-probabilities of the model before temperature,
        `top_k`, `top_p` and rules.

    Raises:
        ValueError: the rules do not fit the vocabulary.
    """
    num, samples = len(keys), strategy.num_samples
    own = jax.vmap(lambda key: jax.random.split(key, samples))(keys)
    own = own.reshape(num * samples, *own.shape[2:])

    def choose(logits: Array, allowed: Array, t: Array, caption: Array) -> NextWords:
        row_keys = jnp.take(own, caption, axis=0, mode="clip")
        uniform = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, t)))(row_keys)
        weights = word_weights(allowed, strategy)
        words = draw(weights, uniform)
        chosen = jnp.take_along_axis(logits, words[:, None], axis=1)[:, 0]
        possible = allowed.max(axis=1) > -jnp.inf
        return NextWords(words, possible, chosen - jax.nn.logsumexp(logits, axis=1))

    return walk(step, repeat_rows(carry, samples), choose, rules, num * samples).grouped(samples)


def word_weights(logits: Float[Array, "R V"], strategy: Sampling) -> Float[Array, "R V"]:
    """Compute the weights to draw words by: probabilities over the largest, 0 for left-out words.

    They are float32.
    """
    logits = logits.astype(jnp.float32) / strategy.temperature
    if strategy.top_k is not None and strategy.top_k < logits.shape[1]:
        last = top_words(logits, strategy.top_k)[0][:, -1:]
        logits = jnp.where(logits >= last, logits, -jnp.inf)
    top = logits.max(axis=1, keepdims=True)
    weights = jnp.exp(logits - jnp.where(jnp.isfinite(top), top, 0))
    if strategy.top_p is not None and strategy.top_p < 1:
        weights = _nucleus(weights, strategy.top_p)
    return weights


def _nucleus(weights: Float[Array, "R V"], top_p: float) -> Float[Array, "R V"]:
    """Keep the largest weights that together reach a share of all.

    The least weight to keep is found by bisection over the bits of the floats, which as integers
    have the same order. It takes 31 sums of each row, which is faster than sorting.
    """
    bits = lax.bitcast_convert_type(weights, jnp.int32)
    goal = top_p * weights.sum(axis=1)

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) // 2
        kept = jnp.where(bits >= middle[:, None], weights, 0).sum(axis=1)
        enough = kept >= goal
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low = jnp.zeros(len(weights), jnp.int32)
    # No weight is above 1.
    high = jnp.full_like(low, _BITS_OF_ONE + 1)
    least, _ = lax.fori_loop(0, 31, halve, (low, high))
    return jnp.where(bits >= least[:, None], weights, 0)


def draw(weights: Float[Array, "R V"], uniform: Float[Array, " R"]) -> Int[Array, " R"]:
    """Draw a word for each row with probabilities proportional to weights, by inversion.

    It needs one random number a row, not one a word, and accumulates only sums of chunks over the
    vocabulary.

    Args:
        weights: not negative; a word of weight zero is never drawn if another has more.
        uniform: uniform random numbers in [0, 1).
    """
    chunks = jnp.pad(weights, ((0, 0), (0, -weights.shape[1] % _CHUNK)))
    chunks = chunks.reshape(len(weights), -1, _CHUNK)
    sums = jnp.cumsum(chunks.sum(axis=2), axis=1)
    goal = uniform.astype(weights.dtype) * sums[:, -1]
    chunk = _first_above(sums, goal)[:, None]
    before = jnp.where(chunk > 0, jnp.take_along_axis(sums, chunk - 1, axis=1, mode="clip"), 0)
    inside = jnp.cumsum(jnp.take_along_axis(chunks, chunk[:, :, None], axis=1)[:, 0], axis=1)
    word = _first_above(inside, goal - before[:, 0])
    return chunk[:, 0] * _CHUNK + word


def _first_above(sums: Float[Array, "R M"], goal: Float[Array, " R"]) -> Int[Array, " R"]:
    """Find the first place where running sums exceed a goal, or the last where they grow."""
    last = (sums < sums[:, -1:]).sum(axis=1, dtype=jnp.int32)
    return jnp.minimum((sums <= goal[:, None]).sum(axis=1, dtype=jnp.int32), last)
