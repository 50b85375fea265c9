"""Every strategy under one shape: a step, a carry, keys and a length in, captions out."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jaxcap.decoding.beam import Beam, beam_search
from jaxcap.decoding.greedy import likeliest, likeliest_scored
from jaxcap.decoding.hypotheses import Hypotheses
from jaxcap.decoding.rows import Step
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.sampling import Keys, Sampling, draw_captions
from jaxcap.decoding.word_by_word import walk


@dataclass(frozen=True)
class Greedy:
    """The likeliest word at every step.

    Attributes:
        scored: whether to compute log-probabilities, which takes a pass over the logits more; they
            are NaN otherwise.
    """

    scored: bool = True


Strategy = Greedy | Sampling | Beam


def captions_each(strategy: Strategy) -> int:
    """Count the captions that a strategy gives for an image, K."""
    if isinstance(strategy, Beam):
        return strategy.width
    return strategy.num_samples if isinstance(strategy, Sampling) else 1


def write_captions(
    step: Step,
    carry: Any,
    strategy: Strategy,
    *,
    num: int,
    keys: Keys | None = None,
    start: int,
    end: int,
    max_length: int = 30,
    null: int = 0,
    constraints: Constraints | None = None,
) -> Hypotheses:
    """Write captions of N images by any strategy.

    Args:
        step: `step(carry, words) -> (carry, logits)`, words (R,) and logits (R, V), for any number
            of rows R.
        carry: the model's state before the first word, N rows.
        strategy: how to choose words.
        num: number of images, N.
        keys: a `jax.random` key for each image; only for `Sampling`.
        start, end, null: ids of `<START>`, `<END>` and `<NULL>`.
        max_length: most steps taken, T.
        constraints: rules on the words.

    Raises:
        ValueError: `Sampling` without keys, `max_length` below 1, or constraints that do not fit
            it or the vocabulary.
    """
    ids: dict[str, int] = {"start": start, "end": end, "null": null, "max_length": max_length}
    if isinstance(strategy, Beam):
        return beam_search(step, carry, strategy, num=num, constraints=constraints, **ids)
    if isinstance(strategy, Sampling):
        if keys is None:
            raise ValueError("sampling needs a key for each image")
        return draw_captions(step, carry, keys, strategy, constraints=constraints, **ids)
    choose = likeliest_scored if strategy.scored else likeliest
    decoded, log_probs = walk(step, carry, choose, num=num, constraints=constraints, **ids)
    if not strategy.scored:
        log_probs = jnp.full(num, jnp.nan, jnp.float32)
    return Hypotheses(*(x[:, None] for x in (*decoded, log_probs, log_probs)))
