"""Greedy decoding: the likeliest word at every step (notebook, "LSTM test-time sampling")."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxcap.decoding.rows import Step
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.top_words import top_words
from jaxcap.decoding.word_by_word import Choice, Decoded, walk

__all__ = ["Decoded", "greedy", "likeliest", "likeliest_scored"]


def greedy(
    step: Step,
    carry: Any,
    *,
    num: int,
    start: int,
    end: int,
    max_length: int = 30,
    null: int = 0,
    constraints: Constraints | None = None,
) -> Decoded:
    """Decode N captions together, and stop as soon as all of them have ended.

    Args:
        step: `step(carry, words) -> (carry, logits)`, words (R,) and logits (R, V), for any number
            of rows R.
        carry: the model's state before the first word, N rows.
        num: number of captions, N.
        start: id of `<START>`, the first word read.
        end: id of `<END>`.
        max_length: most steps taken, T; also where no caption ends.
        null: id of `<NULL>`, which fills up ended captions.
        constraints: rules on the words.

    Returns:
        The captions. Memory does not grow with the number of steps beyond the ids themselves.

    Raises:
        ValueError: the constraints do not fit the vocabulary or `max_length`.
    """
    return walk(
        step,
        carry,
        likeliest,
        num=num,
        start=start,
        end=end,
        max_length=max_length,
        null=null,
        constraints=constraints,
    )[0]


def likeliest(logits: Array, allowed: Array, t: Array, caption: Array) -> Choice:
    """Choose the likeliest allowed word of each row, for `walk`; its logit is not normalised."""
    del logits, t, caption
    # XLA's argmax takes several times as long on a CPU.
    value, word = top_words(allowed, 1)
    return Choice(word[:, 0], value[:, 0] > -jnp.inf, value[:, 0])


def likeliest_scored(logits: Array, allowed: Array, t: Array, caption: Array) -> Choice:
    """`likeliest` with the model's log-probabilities, which take a pass over the logits more."""
    choice = likeliest(logits, allowed, t, caption)
    return choice._replace(log_probs=choice.log_probs - jax.nn.logsumexp(logits, axis=1))
