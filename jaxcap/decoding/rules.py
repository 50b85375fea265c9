"""What a caption may say next, given what it has said: a mask on logits for every strategy."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.text.vocabulary import Vocabulary

BAD_ENDINGS = tuple(
    "a an the and or in on at of for with to by from near under over behind beside before after "
    "upon into onto is are am was were".split()
)
"""Words that an English caption seldom ends with: articles, conjunctions, prepositions, forms of
"to be"."""


@dataclass(frozen=True)
class Constraints:
    """Rules on the words of a caption; hashable, so that they can be static under `jit`.

    Words ruled out get a probability of zero, and the others keep theirs, so that log-probabilities
    remain the model's own. Where nothing is left to say, not even `<END>`, the caption stops there
    and counts as unfinished.

    Attributes:
        forbidden: ids of words never said.
        no_repeat_ngram: length of the n-grams that may come only once in a caption; 0 allows all
            (Paulus et al., 2017, had 3).
        min_length: fewest words before `<END>`.
        bad_last: ids of words that `<END>` may not follow ("a", "of").
        prefix: ids of the words that a caption opens with, whatever the other rules say of them.

    Raises:
        ValueError: a length or an id below 0.
    """

    forbidden: tuple[int, ...] = ()
    no_repeat_ngram: int = 0
    min_length: int = 0
    bad_last: tuple[int, ...] = ()
    prefix: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if min(value, default=0) < 0 if isinstance(value, tuple) else value < 0:
                raise ValueError(f"{field.name} must not be negative, got {value}")

    def check(self, num_words: int, end: int, max_length: int) -> None:
        """Refuse rules that do not fit a vocabulary or a length.

        Args:
            num_words: size of the vocabulary, V.
            end: id of `<END>`.
            max_length: most steps taken.

        Raises:
            ValueError: an id is outside the vocabulary, `<END>` is forbidden or in the prefix, or
                the prefix or the least length leaves no room.
        """
        for name in ("forbidden", "bad_last", "prefix"):
            for i in getattr(self, name):
                if i >= num_words:
                    raise ValueError(f"{name} has id {i}, but there are {num_words} words")
        for name in ("forbidden", "prefix"):
            if end in getattr(self, name):
                raise ValueError(f"{name} holds {end}, the id of <END>; captions could not end")
        if len(self.prefix) > max_length:
            raise ValueError(f"a prefix of {len(self.prefix)} words exceeds {max_length=}")
        if self.min_length >= max_length:
            raise ValueError(
                f"min_length={self.min_length} leaves no room for <END>: {max_length=}"
            )


def vocabulary_constraints(
    vocabulary: Vocabulary,
    *,
    forbidden: Iterable[str] = ("<UNK>",),
    no_repeat_ngram: int = 0,
    min_length: int = 0,
    bad_last: Iterable[str] = (),
    prefix: Iterable[str] = (),
) -> Constraints:
    """Make constraints from words; `<NULL>` and `<START>` are always forbidden.

    Args:
        vocabulary: of the captioner.
        forbidden, bad_last: words; those that the vocabulary lacks cannot be said anyhow, and are
            passed over.
        prefix: the words to open with.
        no_repeat_ngram, min_length: as in `Constraints`.

    Raises:
        ValueError: the vocabulary lacks a word of the prefix, or a number is negative.
    """
    ids = vocabulary.word_to_idx
    prefix = tuple(prefix)
    if unknown := [word for word in prefix if word not in ids]:
        raise ValueError(f"the prefix has words that the vocabulary lacks: {' '.join(unknown)}")
    return Constraints(
        forbidden=tuple(
            sorted({vocabulary.null, vocabulary.start, *(ids[w] for w in forbidden if w in ids)})
        ),
        no_repeat_ngram=no_repeat_ngram,
        min_length=min_length,
        bad_last=tuple(sorted({ids[w] for w in bad_last if w in ids})),
        prefix=tuple(ids[word] for word in prefix),
    )


def constrain(
    constraints: Constraints | None,
    logits: Float[Array, "R V"],
    words: Int[Array, "R T"],
    t: Int[Array, ""],
    end: int,
) -> Float[Array, "R V"]:
    """Set the logits of words that may not come next to minus infinity.

    Args:
        constraints: the rules; None for none.
        logits: of the next word.
        words: the captions so far, words from `t` on being of no account.
        t: number of words so far, the same for all.
        end: id of `<END>`.
    """
    if constraints is None:
        return logits
    num_words = logits.shape[1]
    free = logits
    if constraints.forbidden:
        forbidden = np.zeros((1, num_words), bool)
        forbidden[0, list(constraints.forbidden)] = True
        logits = jnp.where(forbidden, -jnp.inf, logits)
    if constraints.min_length or constraints.bad_last:
        too_early = t < constraints.min_length
        last = _word_before(words, t, 1)
        bad = (last[:, None] == np.array([constraints.bad_last], np.int32)).any(1) & (t > 0)
        ends = np.arange(num_words)[None] == end
        logits = jnp.where((too_early | bad)[:, None] & ends, -jnp.inf, logits)
    if constraints.no_repeat_ngram:
        repeats = _repeats(words, t, constraints.no_repeat_ngram, num_words)
        rows = np.arange(len(words))[:, None]
        logits = logits.at[rows, repeats].set(-jnp.inf, mode="drop")
    if constraints.prefix:
        prefix = jnp.array(constraints.prefix, jnp.int32)
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
