"""Captions written word by word, each without regard to the others: greedy decoding, sampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcap.decoding.rows import Step, run, take_rows, which, words_and_dtype
from jaxcap.decoding.rules import Constraints, constrain


class Decoded(NamedTuple):
    """Captions of N images, at most T words long."""

    ids: Int[Array, "N T"]
    """Word ids without `<START>`: the words, `<END>` if it came, then `<NULL>`."""
    lengths: Int[Array, " N"]
    """Words before `<END>`, or all of them where it did not come."""
    finished: Bool[Array, " N"]
    """Whether `<END>` came within T steps."""


class Choice(NamedTuple):
    """The next words of R rows."""

    words: Int[Array, " R"]
    possible: Bool[Array, " R"]
    """False where there is nothing left to say; the word is then of no account."""
    log_probs: Float[Array, " R"]
    """Log-probabilities of the words in the model, or anything where nobody asks for them."""


Choose = Callable[
    [Float[Array, "R V"], Float[Array, "R V"], Int[Array, ""], Int[Array, " R"]], Choice
]


class _Walk(NamedTuple):
    """State of the loop: all N captions, and the R rows that may be open."""

    t: Int[Array, ""]
    decoded: Decoded
    log_probs: Float[Array, " N"]
    caption: Int[Array, " R"]
    """Which caption each row is; N for a row not in use."""
    carry: Any
    words: Int[Array, " R"]
    open: Bool[Array, " R"]


def walk(
    step: Step,
    carry: Any,
    choose: Choose,
    *,
    num: int,
    start: int,
    end: int,
    max_length: int,
    null: int,
    constraints: Constraints | None,
) -> tuple[Decoded, Float[Array, " N"]]:
    """Write N captions, until all of them have ended or have `max_length` words.

    Args:
        step: `step(carry, words) -> (carry, logits)` over any number of rows.
        carry: the model's state before the first word, N rows.
        choose: `choose(logits, allowed, t, caption)`: the next words from the logits, from the same
            with impossible words at minus infinity, the number of words so far, and the number of
            the caption in each row.
        num: number of captions, N.
        start, end, null: ids of `<START>`, `<END>` and `<NULL>`.
        max_length: most steps taken, T.
        constraints: rules on the words.

    Returns:
        The captions and their log-probabilities, summed over the words chosen.
    """
    num_words, dtype = words_and_dtype(step, carry, num)
    if constraints is not None:
        constraints.check(num_words, end, max_length)

    def advance(s: _Walk) -> _Walk:
        carry, logits = step(s.carry, s.words)
        ids, lengths, finished = s.decoded
        allowed = logits = logits.astype(dtype)
        if constraints is not None:
            so_far = jnp.take(ids, s.caption, axis=0, mode="clip")
            allowed = constrain(constraints, logits, so_far, s.t, end)
        choice = choose(logits, allowed, s.t, s.caption)
        said = s.open & choice.possible
        words = jnp.where(said, choice.words, null)
        ended = said & (words == end)
        going = said & ~ended
        gained = jnp.where(said, choice.log_probs, 0)
        ids = ids.at[s.caption, s.t].set(words, mode="drop")
        lengths = lengths.at[s.caption].add(going.astype(jnp.int32), mode="drop")
        finished = finished.at[s.caption].max(ended, mode="drop")
        log_probs = s.log_probs.at[s.caption].add(gained, mode="drop")
        decoded = Decoded(ids, lengths, finished)
        return _Walk(s.t + 1, decoded, log_probs, s.caption, carry, words, going)

    def shrink(s: _Walk, size: int) -> _Walk:
        rows = which(s.open, size)
        caption = jnp.take(s.caption, rows, mode="fill", fill_value=num)
        return s._replace(
            caption=caption,
            carry=take_rows(s.carry, rows),
            words=jnp.take(s.words, rows, mode="clip"),
            open=caption < num,
        )

    def num_open(s: _Walk) -> Array:
        return jnp.where(s.t < max_length, s.open.sum(dtype=jnp.int32), 0)

    nothing = Decoded(
        jnp.full((num, max_length), null, jnp.int32),
        jnp.zeros(num, jnp.int32),
        jnp.zeros(num, bool),
    )
    first = _Walk(
        jnp.zeros((), jnp.int32),
        nothing,
        jnp.zeros(num, dtype),
        jnp.arange(num, dtype=jnp.int32),
        carry,
        jnp.full(num, start, jnp.int32),
        jnp.ones(num, bool),
    )
    last = run(advance, shrink, num_open, first, num)
    return last.decoded, last.log_probs
