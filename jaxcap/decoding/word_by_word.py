"""Captions decoded word by word, independently of each other, such as greedy decoding."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcap.decoding.rows import run, take_rows, which, words_and_dtype
from jaxcap.decoding.rules import Rules, constrain
from jaxcap.decoding.strategy import Hypotheses, Keys, Step
from jaxcap.decoding.top_words import top_words


@dataclass(frozen=True)
class Greedy:
    """Greedy decoding: the likeliest word at every step (notebook, "LSTM test-time sampling").

    Attributes:
        scored: compute log-probabilities, which takes another pass over the logits; otherwise they
            are NaN.
    """

    scored: bool = True

    @property
    def captions_each(self) -> int:
        """Number of captions for each image, 1."""
        return 1

    def write(
        self, step: Step, carry: Any, rules: Rules, num: int, keys: Keys | None = None
    ) -> Hypotheses:
        """Write captions of N images; see `jaxcap.decoding.strategy.Strategy.write`."""
        del keys
        found = walk(step, carry, _likeliest_scored if self.scored else _likeliest, rules, num)
        if not self.scored:
            found = found._replace(log_probs=jnp.full(num, jnp.nan, jnp.float32))
        return found.grouped(1)


class Written(NamedTuple):
    """N captions, at most T words long."""

    ids: Int[Array, "N T"]
    """Word ids without `<START>`: the words, `<END>` if it came, then `<NULL>`."""
    lengths: Int[Array, " N"]
    """Number of words before `<END>`, or of all words if it did not come."""
    finished: Bool[Array, " N"]
    """Whether `<END>` came within T steps."""
    log_probs: Float[Array, " N"]
    """Sums of the log-probabilities of the words and `<END>`, in nats."""

    def grouped(self, each: int) -> Hypotheses:
        """Group captions by image, `each` consecutive ones per image."""
        groups = Written(*(x.reshape(-1, each, *x.shape[1:]) for x in self))
        return Hypotheses(*groups, scores=groups.log_probs)


class NextWords(NamedTuple):
    """The next words of R rows."""

    words: Int[Array, " R"]
    possible: Bool[Array, " R"]
    """False if no word is allowed; the word is then ignored."""
    log_probs: Float[Array, " R"]
    """Log-probabilities of the words under the model; any values if they are not used."""


Choose = Callable[
    [Float[Array, "R V"], Float[Array, "R V"], Int[Array, ""], Int[Array, " R"]], NextWords
]


class _Walk(NamedTuple):
    """State of the loop: all N captions, and the R rows of the open ones."""

    t: Int[Array, ""]
    written: Written
    caption: Int[Array, " R"]
    """The caption of each row; N for an unused row."""
    carry: Any
    words: Int[Array, " R"]
    open: Bool[Array, " R"]


def walk(step: Step, carry: Any, choose: Choose, rules: Rules, num: int) -> Written:
    """Write N captions, until all of them have ended or have `max_length` words.

    Apart from the ids, memory does not grow with the number of steps.

    Args:
        step: `step(carry, words) -> (carry, logits)` over any number of rows.
        carry: state of the model before the first word, N rows.
        choose: `choose(logits, allowed, t, caption)` returns the next words, given the logits, the
            logits with forbidden words at minus infinity, the number of words so far, and the
            number of the caption in each row.
        rules: special ids, maximum length, and rules on the words.
        num: number of captions, N.

    Raises:
        ValueError: the rules do not fit the vocabulary.
    """
    num_words, dtype = words_and_dtype(step, carry, num)
    rules.check(num_words)

    def advance(s: _Walk) -> _Walk:
        carry, logits = step(s.carry, s.words)
        ids, lengths, finished, log_probs = s.written
        logits = logits.astype(dtype)
        so_far = jnp.take(ids, s.caption, axis=0, mode="clip")
        choice = choose(logits, constrain(rules, logits, so_far, s.t), s.t, s.caption)
        said = s.open & choice.possible
        words = jnp.where(said, choice.words, rules.null)
        ended = said & (words == rules.end)
        going = said & ~ended
        gained = jnp.where(said, choice.log_probs, 0)
        written = Written(
            ids.at[s.caption, s.t].set(words, mode="drop"),
            lengths.at[s.caption].add(going.astype(jnp.int32), mode="drop"),
            finished.at[s.caption].max(ended, mode="drop"),
            log_probs.at[s.caption].add(gained, mode="drop"),
        )
        return _Walk(s.t + 1, written, s.caption, carry, words, going)

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
        return jnp.where(s.t < rules.max_length, s.open.sum(dtype=jnp.int32), 0)

    nothing = Written(
        jnp.full((num, rules.max_length), rules.null, jnp.int32),
        jnp.zeros(num, jnp.int32),
        jnp.zeros(num, bool),
        jnp.zeros(num, dtype),
    )
    first = _Walk(
        jnp.zeros((), jnp.int32),
        nothing,
        jnp.arange(num, dtype=jnp.int32),
        carry,
        jnp.full(num, rules.start, jnp.int32),
        jnp.ones(num, bool),
    )
    return run(advance, shrink, num_open, first, num).written


def _likeliest(logits: Array, allowed: Array, t: Array, caption: Array) -> NextWords:
    """Choose the likeliest allowed word of each row; its logit is not normalised."""
    del logits, t, caption
    # XLA's argmax is several times slower on a CPU.
    value, word = top_words(allowed, 1)
    return NextWords(word[:, 0], value[:, 0] > -jnp.inf, value[:, 0])


def _likeliest_scored(logits: Array, allowed: Array, t: Array, caption: Array) -> NextWords:
    """Choose as `_likeliest`, with log-probabilities of the model."""
    choice = _likeliest(logits, allowed, t, caption)
    return choice._replace(log_probs=choice.log_probs - jax.nn.logsumexp(logits, axis=1))
