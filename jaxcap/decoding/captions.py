"""Captions of images from a trained captioner, or from an ensemble."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.data.dataset import SplitRows
from jaxcap.data.image import Image, as_image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Hypotheses, Keys, Step, Strategy
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import bind
from jaxcap.nn.parameters import Params, word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.text.vocabulary import Vocabulary

DEFAULT_STRATEGY = Beam(3)
"""The strategy if none is given."""

# Assumed number of words of a caption, in the choice whether a word table is faster.
_WORDS_READ = 8

Features = Image | SplitRows | Float[Array, "N D"] | Float[np.ndarray, "N D"]


class Caption(NamedTuple):
    """A caption of an image."""

    sentence: str
    """The words, without special tokens; characters of a script without spaces stand together."""
    nats: float
    """Log-probability of the sentence with `<END>` under the model, in nats; 0 is certain."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["params"],
    meta_fields=["config", "vocabulary"],
)
@dataclass(frozen=True, eq=False)
class Captioner:
    """A captioner with its vocabulary; a pytree of its parameters, the rest static.

    Attributes:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        vocabulary: words of the ids.

    Raises:
        ValueError: the vocabulary has another size than the captioner.
    """

    params: Params = field(repr=False)
    config: CaptionerConfig
    vocabulary: Vocabulary = field(repr=False)

    def __post_init__(self) -> None:
        if self.config.vocab_size != len(self.vocabulary):
            raise ValueError(
                f"the model has {self.config.vocab_size} words and the vocabulary "
                f"{len(self.vocabulary)}; use the vocabulary that it was trained with"
            )

    def decode(
        self,
        features: Features,
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
    ) -> list[Caption]:
        """Caption N images with a sentence each; see `caption_images`.

        >>> import jax, jax.numpy as jnp
        >>> from jaxcap import CaptionerConfig, Greedy, Vocabulary, init_params
        >>> words = Vocabulary(("<NULL>", "<START>", "<END>", "<UNK>", "cat"))
        >>> config = CaptionerConfig(len(words), feature_dim=3, wordvec_dim=2, hidden_dim=4)
        >>> params = init_params(jax.random.key(0), config)
        >>> params["b_vocab"] = jnp.array([0.0, 0.0, 9.0, 0.0, 9.5])
        >>> params["W_vocab"] *= 0  # now the caption is the same for every image
        >>> captions = Captioner(params, config, words).decode(jnp.ones((2, 3)), Greedy())
        >>> captions[0].sentence.split()[:2]
        ['cat', 'cat']
        """
        return caption_images((self,), features, strategy, rules=rules, key=key)

    def hypotheses(
        self,
        features: Features,
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
        batch_size: int = 128,
    ) -> Hypotheses:
        """Write K captions for each of N images; see `decode_images`."""
        return decode_images(
            (self,), features, strategy, rules=rules, key=key, batch_size=batch_size
        )


@partial(jax.jit, static_argnames=("strategy", "rules"))
def decode(
    captioners: tuple[Captioner, ...],
    image: Image,
    strategy: Strategy,
    rules: Rules,
    keys: Keys | None = None,
    tables: tuple[Array | None, ...] | None = None,
) -> Hypotheses:
    """Caption N images by any strategy, as one program.

    Args:
        captioners: one, or several with the same vocabulary, whose probabilities are averaged.
        image: N images.
        strategy: how to choose words.
        rules: special ids, maximum length, and rules on the words.
        keys: a `jax.random` key for each image, for strategies that draw.
        tables: `word_table` of each captioner, or None for a captioner without one. By default they
            are computed within the program if that is faster.

    Returns:
        The captions, `strategy.captions_each` for each image.

    Raises:
        ValueError: there is no captioner, vocabularies differ in size, the rules do not fit them,
            or keys are missing.
    """
    if tables is None:
        tables = word_tables(captioners, image.num * strategy.captions_each)
    bound = [
        bind(one.params, one.config, image, table)
        for one, table in zip(captioners, tables, strict=True)
    ]
    steps, carries = [step for step, _ in bound], tuple(carry for _, carry in bound)
    if len(steps) == 1:
        return strategy.write(steps[0], carries[0], rules, image.num, keys)
    return strategy.write(average_steps(steps), carries, rules, image.num, keys)


def decode_images(
    captioners: Sequence[Captioner],
    features: Features,
    strategy: Strategy | None = None,
    *,
    rules: Rules | None = None,
    key: Array | None = None,
    batch_size: int = 128,
) -> Hypotheses:
    """Caption any number of images, `batch_size` at a time.

    Batch sizes are `batch_size` and powers of two below it, so another number of images rarely
    needs another compilation.

    Args:
        captioners: one, or several with the same vocabulary, whose probabilities are averaged.
        features: N images, or their pooled features (N, D); or `SplitRows`, whose grids are read a
            batch at a time.
        strategy: how to choose words; a search with three beams by default.
        rules: rules on the words; `Rules.of(vocabulary)` by default, so that no caption has
            `<UNK>`.
        key: a `jax.random` key, for strategies that draw. The captions of an image depend on the
            key and on the place of the image among all.
        batch_size: images per batch.

    Returns:
        The captions, as NumPy arrays on the host.

    Raises:
        ValueError: `batch_size` is below 1, there is no captioner, vocabularies differ, or as in
            `decode`.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}")
    captioners, strategy = tuple(captioners), strategy or DEFAULT_STRATEGY
    if not captioners:
        raise ValueError("an ensemble needs at least one captioner")
    vocabulary = captioners[0].vocabulary
    if any(one.vocabulary != vocabulary for one in captioners):
        raise ValueError("the captioners of an ensemble have different vocabularies")
    rules = rules or Rules.of(vocabulary)
    image = features if isinstance(features, SplitRows) else as_image(features)
    num = image.num
    tables = word_tables(captioners, num * strategy.captions_each)
    if not num:
        none = image.at(np.empty(0, np.int32))
        image = jax.tree.map(lambda x: jnp.zeros((1, *x.shape[1:]), x.dtype), none)
    keys = None if key is None else _keys(key, jnp.arange(max(num, 1)))
    size = min(batch_size, 1 << max(num - 1, 0).bit_length())
    parts = []
    for first in range(0, max(num, 1), size):
        # Copies of the last image fill the batch, since they end when it does.
        places = np.minimum(np.arange(first, first + size), max(num - 1, 0))
        own = None if keys is None else keys[places]
        found = decode(captioners, image.at(places), strategy, rules, own, tables)
        parts.append([np.asarray(x)[: num - first] for x in found])
    return Hypotheses(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def caption_images(
    captioners: Sequence[Captioner],
    features: Features,
    strategy: Strategy | None = None,
    *,
    rules: Rules | None = None,
    key: Array | None = None,
) -> list[Caption]:
    """Caption N images with a sentence each: the best beam, the first sample, or the greedy one.

    Arguments and errors are those of `decode_images`.
    """
    found = decode_best(captioners, features, strategy, rules=rules, key=key)
    spell = captioners[0].vocabulary.sentence
    return [
        Caption(spell(ids), log_prob)
        for ids, log_prob in zip(found.ids[:, 0], found.log_probs[:, 0].tolist(), strict=True)
    ]


def decode_best(
    captioners: Sequence[Captioner],
    features: Features,
    strategy: Strategy | None = None,
    *,
    rules: Rules | None = None,
    key: Array | None = None,
) -> Hypotheses:
    """Write captions as `decode_images` does, whose first is all that is used of each image."""
    strategy = strategy or DEFAULT_STRATEGY
    if isinstance(strategy, Beam):
        strategy = replace(strategy, best_only=True)
    return decode_images(captioners, features, strategy, rules=rules, key=key)


def word_tables(captioners: Sequence[Captioner], captions: int) -> tuple[Array | None, ...]:
    """Compute the word table of each captioner if it is faster for this number of captions."""
    words, plan = _WORDS_READ * captions, ComputePlan()
    return tuple(
        _word_table(one.params)
        if one.config.has_word_table and plan.looks_up(words, one.config.vocab_size)
        else None
        for one in captioners
    )


def average_steps(steps: Sequence[Step]) -> Step:
    """Combine the steps of several models into one that averages their probabilities.

        p(word) = (p_1(word) + ... + p_M(word)) / M

    Args:
        steps: `step(carry, words) -> (carry, logits)` of M models with the same vocabulary.

    Returns:
        A step over a tuple of the M carries; its logits are log-probabilities.

    Raises:
        ValueError: there is no step. The combined step raises it if vocabularies differ in size.
    """
    if not steps:
        raise ValueError("an ensemble needs at least one captioner")

    def step(
        carries: tuple[Any, ...], words: Int[Array, " R"]
    ) -> tuple[tuple[Any, ...], Float[Array, "R V"]]:
        pairs = [one(carry, words) for one, carry in zip(steps, carries, strict=True)]
        sizes = [logits.shape[1] for _, logits in pairs]
        if len(set(sizes)) > 1:
            raise ValueError(f"the models of an ensemble have vocabularies of {sizes} words")
        each = jnp.stack([jax.nn.log_softmax(logits, axis=1) for _, logits in pairs])
        return tuple(carry for carry, _ in pairs), _log_mean_exp(each)

    return step


def _log_mean_exp(x: Float[Array, "M R V"]) -> Float[Array, "R V"]:
    return jax.nn.logsumexp(x, axis=0) - jnp.log(jnp.array(len(x), x.dtype))


_word_table = jax.jit(word_table)
_keys = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(None, 0)))
