"""Rules on the next word of a caption: a mask on the logits, for every strategy."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.text.vocabulary import UNK, Vocabulary

BAD_ENDINGS = tuple(
    "a an the and or in on at of for with to by from near under over behind beside before after "
    "upon into onto is are am was were".split()
)
"""Words that rarely end an English caption: articles, conjunctions, prepositions, forms of "to
be"."""


@dataclass(frozen=True)
class Rules:
    """Special ids, lengths and allowed words of captions; hashable, static under `jit`.

    Forbidden words get a probability of zero. The log-probabilities of the other words stay those
    of the model. If no word is allowed, not even `<END>`, the caption stops and counts as
    unfinished.

    Attributes:
        start, end, null: ids of `<START>`, `<END>` and `<NULL>`.
        max_length: maximum number of steps, T: the words, and `<END>` if it comes.
        forbidden: ids of words that are never said.
        no_repeat_ngram: length of the n-grams that may occur only once in a caption; 0 allows all.
            Paulus et al. (2017) use 3.
        min_length: minimum number of words before `<END>`.
        bad_endings: ids of words that `<END>` may not follow ("a", "of").
        prefix: ids of the first words of every caption; the other rules do not apply to them.

    Raises:
        ValueError: a number or an id is negative, `max_length` is 0, `<END>` is forbidden or in the
            prefix, or the prefix or `min_length` leaves no room.
    """

    start: int = 1
    end: int = 2
    null: int = 0
    max_length: int = 30
    forbidden: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    min_length: int = 0
    bad_endings: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if min(value, default=0) < 0 if isinstance(value, tuple) else value < 0:
                raise ValueError(f"`{field.name}` must not be negative, got {value}")
        if self.max_length < 1:
            raise ValueError(f"`max_length` must be at least 1, got {self.max_length}")
        for name in ("forbidden", "prefix"):
            if self.end in getattr(self, name):
                raise ValueError(
                    f"`{name}` holds {self.end}, the id of <END>, so no caption could end: "
                    "remove it"
                )
        limit = f"`max_length={self.max_length}`"
        if len(self.prefix) > self.max_length:
            raise ValueError(
                f"`prefix` has {len(self.prefix)} words, more than {limit}: shorten it"
            )
        if self.min_length >= self.max_length:
            raise ValueError(
                f"`min_length={self.min_length}` leaves no room for <END> within {limit}: lower it"
            )

    @classmethod
    def of(
        cls,
        vocabulary: Vocabulary,
        *,
        forbidden: Iterable[str] = (UNK,),
        bad_endings: Iterable[str] = (),
        prefix: Iterable[str] = (),
        **numbers: int,
    ) -> "Rules":
        """Make rules from words; `<NULL>` and `<START>` are always forbidden.

        >>> words = Vocabulary(("<NULL>", "<START>", "<END>", "<UNK>", "a", "cat"))
        >>> rules = Rules.of(words, prefix=["a"], bad_endings=["a", "the"], max_length=16)
        >>> rules.prefix, rules.bad_endings, rules.forbidden
        ((4,), (4,), (0, 1, 3))

        Args:
            vocabulary: vocabulary of the captioner; gives the special ids.
            forbidden, bad_endings: words; words outside the vocabulary are ignored.
            prefix: the first words of every caption.
            numbers: `max_length`, `min_length` and `no_repeat_ngram`.

        Raises:
            ValueError: the vocabulary lacks a word of the prefix; or as the class does.
        """
        ids, prefix = vocabulary.word_to_idx, tuple(prefix)
        if unknown := [word for word in prefix if word not in ids]:
            raise ValueError(
                f"`prefix` has words that the vocabulary lacks, {' '.join(unknown)}: leave them out"
            )
        silent = {vocabulary.null, vocabulary.start}
        return cls(
            start=vocabulary.start,
            end=vocabulary.end,
            null=vocabulary.null,
            forbidden=tuple(sorted(silent | {ids[word] for word in forbidden if word in ids})),
            bad_endings=tuple(sorted({ids[word] for word in bad_endings if word in ids})),
            prefix=tuple(ids[word] for word in prefix),
            **numbers,
        )

    def check(self, num_words: int) -> None:
        """Check that all ids are within a vocabulary of `num_words`, V.

        Raises:
            ValueError: an id is outside; the message names it.
        """
        for name in ("forbidden", "bad_endings", "prefix"):
            for i in getattr(self, name):
                if i >= num_words:
                    raise ValueError(
                        f"`{name}` has id {i}, expected 0 to {num_words - 1}, since there are "
                        f"{num_words} words: make the rules from the captioner's vocabulary"
                    )


def constrain(
    rules: Rules, logits: Float[Array, "R V"], words: Int[Array, "R T"], t: Int[Array, ""]
) -> Float[Array, "R V"]:
    """Set the logits of words that may not come next to minus infinity.

    Args:
        rules: the rules.
        logits: logits of the next word.
        words: the captions so far; words from `t` on are ignored.
        t: number of words so far, the same for all rows.
    """
    num_words = logits.shape[1]
    free = logits
    if rules.forbidden:
        forbidden = np.zeros((1, num_words), bool)
        forbidden[0, list(rules.forbidden)] = True
        logits = jnp.where(forbidden, -jnp.inf, logits)
    if rules.min_length or rules.bad_endings:
        too_early = t < rules.min_length
        last = _word_before(words, t, 1)
        bad = (last[:, None] == np.array([rules.bad_endings], np.int32)).any(1) & (t > 0)
        ends = np.arange(num_words)[None] == rules.end
        logits = jnp.where((too_early | bad)[:, None] & ends, -jnp.inf, logits)
    if rules.no_repeat_ngram:
        repeats = _repeats(words, t, rules.no_repeat_ngram, num_words)
        rows = np.arange(len(words))[:, None]
        logits = logits.at[rows, repeats].set(-jnp.inf, mode="drop")
    if rules.prefix:
        prefix = jnp.array(rules.prefix, jnp.int32)
        word = jnp.take(prefix, t, mode="clip")
        alone = jnp.where(jnp.arange(num_words)[None] == word, free, -jnp.inf)
        logits = jnp.where(t < len(prefix), alone, logits)
    return logits


def _word_before(words: Int[Array, "R T"], t: Int[Array, ""], back: int) -> Int[Array, " R"]:
    return jnp.take(words, t - back, axis=1, mode="clip")


def _repeats(
    words: Int[Array, "R T"], t: Int[Array, ""], n: int, num_words: int
) -> Int[Array, "R T"]:
    """Find the words that would repeat an n-gram; `num_words` marks none."""
    place = np.arange(words.shape[1])[None]
    same = jnp.broadcast_to((place >= n - 1) & (place < t), words.shape)
    for back in range(1, n):
        same &= jnp.roll(words, back, axis=1) == _word_before(words, t, back)[:, None]
    return jnp.where(same, words, num_words)
