"""Greedy decoding: the likeliest word at every step (notebook, "LSTM test-time sampling")."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.decoding.constraints import Constraints
from jaxcap.decoding.rows import Step
from jaxcap.decoding.top_words import top_words
from jaxcap.decoding.walk import Choice, Decoded, walk

__all__ = ["Decoded", "greedy", "greedy_scored"]


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

    def choose(logits: Array, allowed: Array, t: Array, caption: Array) -> Choice:
        del logits, t, caption
        value, word = _likeliest(allowed)
        return Choice(word, value > -jnp.inf, jnp.zeros_like(value))

    return walk(
        step,
        carry,
        choose,
        num=num,
        start=start,
        end=end,
        max_length=max_length,
        null=null,
        constraints=constraints,
    )[0]


def greedy_scored(
    step: Step,
    carry: Any,
    *,
    num: int,
    start: int,
    end: int,
    max_length: int = 30,
    null: int = 0,
    constraints: Constraints | None = None,
) -> tuple[Decoded, Float[Array, " N"]]:
    """`greedy` with the log-probability of each caption, which takes a pass over the logits more.

    Returns:
        The captions, and the model's log-probability of the words of each and of `<END>`.
    """

    def choose(logits: Array, allowed: Array, t: Array, caption: Array) -> Choice:
        del t, caption
        value, word = _likeliest(allowed)
        return Choice(word, value > -jnp.inf, value - jax.nn.logsumexp(logits, axis=1))

    return walk(
        step,
        carry,
        choose,
        num=num,
        start=start,
        end=end,
        max_length=max_length,
        null=null,
        constraints=constraints,
    )


def _likeliest(logits: Float[Array, "R V"]) -> tuple[Float[Array, " R"], Int[Array, " R"]]:
    # XLA's argmax takes several times as long on a CPU.
    value, word = top_words(logits, 1)
    return value[:, 0], word[:, 0]
