"""The parts of one step of beam search.

    init     one beam for each image, which has read nothing
    expand   read a word of each open beam, and find the likeliest next words of each
    select   choose the best of these candidates, for each image
    grow     write the chosen words, and move every row to where its beam now is

A beam is open (words are to come), finished (`<END>` came), stuck (nothing may follow) or void
(there were fewer candidates than places; its log-probability is minus infinity). Finished beams
keep their places; stuck ones yield them to candidates.

Axes: N images, K beams of an image, B beams of a group, M candidates of a beam, R rows.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from jaxcap.decoding.rows import repeat_rows, take_rows, which
from jaxcap.decoding.rules import Rules, constrain
from jaxcap.decoding.strategy import Step
from jaxcap.decoding.top_words import top_words


class Beams(NamedTuple):
    """State of the search: the beams of all images, and the rows of the open ones."""

    t: Int[Array, ""]
    ids: Int[Array, "N K T"]
    lengths: Int[Array, "N K"]
    log_probs: Float[Array, "N K"]
    open: Bool[Array, "N K"]
    finished: Bool[Array, "N K"]
    place: Int[Array, " R"]
    """Which of the N * K beams each row is; N * K for a row not in use."""
    carry: Any
    words: Int[Array, " R"]


class Candidates(NamedTuple):
    """The likeliest next words of each beam."""

    words: Int[Array, "N B M"]
    log_probs: Float[Array, "N B M"]
    """Log-probability of the whole beam with that word; minus infinity for no candidate."""


class Choice(NamedTuple):
    """The beams after a step."""

    parent: Int[Array, "N B"]
    """The beam that each extends."""
    words: Int[Array, "N B"]
    log_probs: Float[Array, "N B"]
    grown: Bool[Array, "N B"]
    """Whether it has a new word."""


def init(carry: Any, rules: Rules, *, num: int, width: int, groups: int, dtype: DTypeLike) -> Beams:
    """Open one beam for each group of each of N images; the other places are void."""
    first = jnp.arange(width)[None] % (width // groups) == 0
    first = jnp.broadcast_to(first, (num, width))
    return Beams(
        t=jnp.zeros((), jnp.int32),
        ids=jnp.full((num, width, rules.max_length), rules.null, jnp.int32),
        lengths=jnp.zeros((num, width), jnp.int32),
        log_probs=jnp.where(first, 0, jnp.full(first.shape, -jnp.inf, dtype)),
        open=first,
        finished=jnp.zeros((num, width), bool),
        place=jnp.arange(num * groups, dtype=jnp.int32) * (width // groups),
        carry=carry if groups == 1 else repeat_rows(carry, groups),
        words=jnp.full(num * groups, rules.start, jnp.int32),
    )


def expand(step: Step, beams: Beams, rules: Rules) -> tuple[Any, Candidates]:
    """Read the last word of each row, and find the likeliest next ones of each beam.

    The logits are read twice, for the normaliser and for the K largest of each row. The K best
    beams of an image are among these.
    """
    carry, logits = step(beams.carry, beams.words)
    num, width, length = beams.ids.shape
    logits = logits.astype(beams.log_probs.dtype)
    total = jax.nn.logsumexp(logits, axis=1, keepdims=True)
    so_far = jnp.take(beams.ids.reshape(-1, length), beams.place, axis=0, mode="clip")
    logits = constrain(rules, logits, so_far, beams.t)
    values, words = top_words(logits, min(width, logits.shape[1]))
    before = jnp.take(beams.log_probs.reshape(-1), beams.place, mode="clip")
    log_probs = before[:, None] + (values - total)
    # NaN becomes minus infinity too.
    log_probs = jnp.where(log_probs > -jnp.inf, log_probs, -jnp.inf)

    def by_place(x: Array, empty: int | float) -> Array:
        all_places = jnp.full((num * width, x.shape[1]), empty, x.dtype)
        return all_places.at[beams.place].set(x, mode="drop").reshape(num, width, -1)

    log_probs = jnp.where(beams.open[..., None], by_place(log_probs, -jnp.inf), -jnp.inf)
    return carry, Candidates(by_place(words, 0), log_probs)


def select(
    candidates: Candidates,
    finished: Bool[Array, "N B"],
    before: Float[Array, "N B"],
    lost: Float[Array, "N B M"] | None = None,
) -> Choice:
    """Choose the best candidates of each image, and keep its finished beams.

    Args:
        candidates: next words of the beams.
        finished: which beams are finished.
        before: log-probabilities of the beams.
        lost: penalties on the ranks of candidates, not on their log-probabilities.
    """
    num, width, options = candidates.words.shape
    stuck = (before > -jnp.inf) & (candidates.log_probs == -jnp.inf).all(2)
    kept = jnp.where(stuck, jnp.finfo(before.dtype).min, -jnp.inf)
    kept = jnp.where(finished, jnp.inf, kept)
    ranks = candidates.log_probs if lost is None else candidates.log_probs - lost
    ranks = jnp.concatenate([kept.astype(before.dtype), ranks.reshape(num, -1)], axis=1)
    rank, chosen = lax.top_k(ranks, width)
    chosen = chosen.astype(jnp.int32)
    new, filled = chosen >= width, rank > -jnp.inf
    option = jnp.maximum(chosen - width, 0)
    parent = jnp.where(new, option // options, chosen)
    log_probs = jnp.where(
        new,
        jnp.take_along_axis(candidates.log_probs.reshape(num, -1), option, axis=1),
        jnp.take_along_axis(before, parent, axis=1),
    )
    return Choice(
        parent,
        jnp.take_along_axis(candidates.words.reshape(num, -1), option, axis=1),
        jnp.where(filled, log_probs, -jnp.inf),
        new & filled,
    )


def grow(beams: Beams, carry: Any, choice: Choice, rules: Rules, size: int) -> Beams:
    """Write the chosen words, and gather the carry for at most `size` open beams."""
    num, width = choice.parent.shape
    ended = choice.grown & (choice.words == rules.end)
    going = choice.grown & ~ended
    written = jnp.where(choice.grown, choice.words, rules.null)[..., None]
    ids = jnp.take_along_axis(beams.ids, choice.parent[..., None], axis=1)
    parent = choice.parent + jnp.arange(num, dtype=jnp.int32)[:, None] * width
    place = _open_places(going, size)
    row = _row_of_place(beams, num * width)
    rows = jnp.take(row, jnp.take(parent.reshape(-1), place, mode="clip"))
    return Beams(
        t=beams.t + 1,
        ids=lax.dynamic_update_slice_in_dim(ids, written, beams.t, axis=2),
        lengths=jnp.take_along_axis(beams.lengths, choice.parent, axis=1) + going.astype(jnp.int32),
        log_probs=choice.log_probs,
        open=going,
        finished=ended
        | (~choice.grown & jnp.take_along_axis(beams.finished, choice.parent, axis=1)),
        place=place,
        carry=take_rows(carry, rows),
        words=jnp.take(choice.words.reshape(-1), place, mode="clip"),
    )


def shrink(beams: Beams, size: int) -> Beams:
    """Pack the open beams into `size` rows."""
    place = _open_places(beams.open, size)
    rows = jnp.take(_row_of_place(beams, beams.open.size), place, mode="clip")
    words = jnp.take(beams.words, rows, mode="clip")
    return beams._replace(place=place, carry=take_rows(beams.carry, rows), words=words)


def rows_needed(beams: Beams) -> Int[Array, ""]:
    """Count the rows that the open beams can still need; never grows."""
    unfinished = (~beams.finished).sum(axis=1, dtype=jnp.int32)
    return jnp.where(beams.open.any(1), unfinished, 0).sum(dtype=jnp.int32)


def _open_places(is_open: Bool[Array, "N K"], size: int) -> Int[Array, " R"]:
    if size == is_open.size:
        return jnp.arange(size, dtype=jnp.int32)
    return which(is_open.reshape(-1), size)


def _row_of_place(beams: Beams, num_places: int) -> Int[Array, " P"]:
    rows = jnp.arange(len(beams.place), dtype=jnp.int32)
    return jnp.zeros(num_places, jnp.int32).at[beams.place].set(rows, mode="drop")
