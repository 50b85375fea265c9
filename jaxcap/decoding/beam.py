"""Beam search: the K best beginnings of a caption, extended together.

All beams of all images advance in one loop. A beam that says `<END>` keeps its place, and the
search continues with the others. With one beam this is greedy decoding. With as many beams as there
are captions it is exhaustive, for every normalisation.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.decoding.beam_steps import Beams, expand, grow, init, rows_needed, select, shrink
from jaxcap.decoding.diverse import select_in_groups
from jaxcap.decoding.rows import run, words_and_dtype
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Hypotheses, Keys, Step

NORMALISATIONS = ("none", "average", "gnmt")


@dataclass(frozen=True)
class Beam:
    """Shape of a beam search; hashable, static under `jit`.

    Attributes:
        width: number of beams of each image, K.
        normalisation: divisor of the log-probability, for the score that ranks the final beams:
            "none" 1, "average" the number of words m with `<END>`, "gnmt" ((5 + m) / 6) ** alpha
            (Wu et al., 2016, equation 14).
        alpha: exponent of "gnmt".
        groups: number of groups of K / groups beams each; more than one is diverse beam search.
        diversity: penalty on the rank of a candidate, in nats, for each beam of an earlier group
            that says the same word at the same step.
        best_only: stop the search of an image when no open beam can beat the best finished one. The
            best caption is the same; others may stay unfinished.

    Raises:
        ValueError: a number is outside its range, the normalisation is unknown, or `groups` does
            not divide `width`.
    """

    width: int = 3
    normalisation: str = "none"
    alpha: float = 0.6
    groups: int = 1
    diversity: float = 0.5
    best_only: bool = False

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"`width` must be at least 1, got {self.width}")
        if self.normalisation not in NORMALISATIONS:
            names = ", ".join(NORMALISATIONS)
            raise ValueError(f"`normalisation` must be one of {names}, got {self.normalisation}")
        if self.groups < 1 or self.width % self.groups:
            raise ValueError(f"`groups` must divide `width={self.width}`, got {self.groups}")
        for name in ("alpha", "diversity"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(
                    f"`{name}` must be finite and not negative, got {getattr(self, name)}"
                )

    @property
    def captions_each(self) -> int:
        """Number of captions for each image, K."""
        return self.width

    def write(
        self, step: Step, carry: Any, rules: Rules, num: int, keys: Keys | None = None
    ) -> Hypotheses:
        """Write captions of N images; see `jaxcap.decoding.strategy.Strategy.write`."""
        del keys
        return beam_search(step, carry, self, rules, num)


def normalise(
    log_probs: Float[Array, "N K"], words: Int[Array, "N K"], strategy: Beam
) -> Float[Array, "N K"]:
    """Compute the scores of captions, given their number of words with `<END>`."""
    count = jnp.maximum(words, 1).astype(log_probs.dtype)
    if strategy.normalisation == "average":
        return log_probs / count
    if strategy.normalisation == "gnmt":
        return log_probs / ((5 + count) / 6) ** strategy.alpha
    return log_probs


def beam_search(step: Step, carry: Any, strategy: Beam, rules: Rules, num: int) -> Hypotheses:
    """Search for the K likeliest captions of each of N images.

    Args:
        step: `step(carry, words) -> (carry, logits)`, words (R,) and logits (R, V), for any number
            of rows R.
        carry: state of the model before the first word, N rows.
        strategy: shape of the search.
        rules: special ids, maximum length, and rules on the words.
        num: number of images, N.

    Returns:
        The beams, the best first: finished ones by score, then unfinished ones by score. If there
        are fewer captions than beams, the rest are empty, unfinished, and have a log-probability of
        minus infinity. Apart from the ids, memory does not grow with the number of steps.

    Raises:
        ValueError: the rules do not fit the vocabulary.
    """
    num_words, dtype = words_and_dtype(step, carry, num)
    rules.check(num_words)

    def advance(beams: Beams, size: int) -> Beams:
        carry, candidates = expand(step, beams, rules)
        if strategy.groups == 1:
            choice = select(candidates, beams.finished, beams.log_probs)
        else:
            choice = select_in_groups(beams, candidates, strategy.groups, strategy.diversity)
        beams = grow(beams, carry, choice, rules, size)
        return _close_decided(beams, strategy) if strategy.best_only else beams

    def num_open(beams: Beams) -> Array:
        return jnp.where(beams.t < rules.max_length, rows_needed(beams), 0)

    beams = init(carry, rules, num=num, width=strategy.width, groups=strategy.groups, dtype=dtype)
    rows = num * strategy.width
    # The first step has one row for each image or group, so it is not part of the loop.
    beams = advance(beams, rows)
    beams = run(lambda beams: advance(beams, len(beams.place)), shrink, num_open, beams, rows)
    return _ranked(beams, strategy, rules.null)


def _close_decided(beams: Beams, strategy: Beam) -> Beams:
    """Close the beams of images whose best caption is certain.

    The log-probability of an open beam can only fall. Its score is at most that of the longest
    caption with the same log-probability.
    """
    words = beams.lengths + beams.finished.astype(jnp.int32)
    longest = jnp.full_like(words, beams.ids.shape[2])
    scores = normalise(beams.log_probs, words, strategy)
    hopes = normalise(beams.log_probs, longest, strategy)
    best = jnp.where(beams.finished, scores, -jnp.inf).max(axis=1)
    hope = jnp.where(beams.open, hopes, -jnp.inf).max(axis=1)
    return beams._replace(open=beams.open & (best < hope)[:, None])


def _ranked(beams: Beams, strategy: Beam, null: int) -> Hypotheses:
    """Sort beams, the best first, and clear the void ones."""
    void = beams.log_probs == -jnp.inf
    words = beams.lengths + beams.finished.astype(jnp.int32)
    scores = jnp.where(void, -jnp.inf, normalise(beams.log_probs, words, strategy))
    places = jnp.broadcast_to(jnp.arange(void.shape[1], dtype=jnp.int32)[None], void.shape)
    _, _, order = lax.sort((~beams.finished, -scores, places), num_keys=2)

    def sort(x: Array) -> Array:
        return jnp.take_along_axis(x, order, axis=1)

    return Hypotheses(
        ids=jnp.take_along_axis(
            jnp.where(void[..., None], null, beams.ids), order[..., None], axis=1
        ),
        lengths=sort(jnp.where(void, 0, beams.lengths)),
        finished=sort(beams.finished),
        log_probs=sort(beams.log_probs),
        scores=sort(scores),
    )
