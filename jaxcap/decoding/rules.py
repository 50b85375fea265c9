"""What a caption may say next, given what it has said: a mask on logits for every strategy."""

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
"""Words that an English caption seldom ends with: articles, conjunctions, prepositions, forms of
"to be"."""


@dataclass(frozen=True)
class Rules:
    """Where a caption begins and ends, and what it may say; hashable, static under `jit`.

    Words ruled out get a probability of zero. The others keep theirs, so that log-probabilities
    remain the model's own. Where nothing is left to say, not even `<END>`, the caption stops there
    and counts as unfinished.

    Attributes:
        start, end, null: ids of `<START>`, `<END>` and `<NULL>`.
        max_length: most steps taken, T: the words, and `<END>` where it comes.
        forbidden: ids of words never said.
        no_repeat_ngram: length of the n-grams that may come only once in a caption; 0 allows all
            (Paulus et al., 2017, had 3).
        min_length: fewest words before `<END>`.
        bad_endings: ids of words that `<END>` may not follow ("a", "of").
        prefix: ids of the words that a caption opens with, whatever the other rules say of them.

    Raises:
        ValueError: a number or an id is negative, `max_length` is 0, `<END>` is forbidden or in the
            prefix, or the prefix or the least length leaves no room.
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
                    f"`{name}` holds {self.end}, the id of <END>: captions could not end"
                )
        limit = f"`max_length={self.max_length}`"
        if len(self.prefix) > self.max_length:
            raise ValueError(f"`prefix` has {len(self.prefix)} words, more than {limit}")
        if self.min_length >= self.max_length:
            raise ValueError(f"`min_length={self.min_length}` leaves no room for <END>: {limit}")

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

        Args:
            vocabulary: of the captioner; it gives the special ids.
            forbidden, bad_endings: words; those that the vocabulary lacks cannot be said anyhow,
                and are passed over.
            prefix: the words to open with.
            numbers: `max_length`, `min_length` and `no_repeat_ngram`.

        Raises:
            ValueError: the vocabulary lacks a word of the prefix; and as the class does.
        """
        ids, prefix = vocabulary.word_to_idx, tuple(prefix)
        if unknown := [word for word in prefix if word not in ids]:
            raise ValueError(f"`prefix` has words that the vocabulary lacks: {' '.join(unknown)}")
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
        """Refuse rules on words outside a vocabulary of `num_words`, V.

        Raises:
            ValueError: an id is outside; the message names it.
        """
        for name in ("forbidden", "bad_endings", "prefix"):
            for i in getattr(self, name):
                if i >= num_words:
                    raise ValueError(f"`{name}` has id {i}, but there are {num_words} words")


def constrain(
    rules: Rules, logits: Float[Array, "R V"], words: Int[Array, "R T"], t: Int[Array, ""]
) -> Float[Array, "R V"]:
    """Set the logits of words that may not come next to minus infinity.

    Args:
        rules: on the words.
        logits: of the next word.
        words: the captions so far, words from `t` on being of no account.
        t: number of words so far, the same for all.
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
    """Words that would complete an n-gram a second time, `num_words` elsewhere."""
    place = np.arange(words.shape[1])[None]
    same = jnp.broadcast_to((place >= n - 1) & (place < t), words.shape)
    for back in range(1, n):
        same &= jnp.roll(words, back, axis=1) == _word_before(words, t, back)[:, None]
    return jnp.where(same, words, num_words)
