"""Captions of images from a trained captioner, or from several as one."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.ensemble import average_steps
from jaxcap.decoding.greedy import greedy
from jaxcap.decoding.hypotheses import Hypotheses
from jaxcap.decoding.rows import Step
from jaxcap.decoding.rules import Constraints, vocabulary_constraints
from jaxcap.decoding.sampling import Keys
from jaxcap.decoding.strategies import Greedy, Strategy, captions_each, write_captions
from jaxcap.decoding.word_by_word import Decoded
from jaxcap.nn.captioner import CaptionerConfig, Params, start, step, word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.text.vocabulary import Vocabulary

# Words of a caption that are looked up for sure: what a table of their products is worth.
_WORDS_LOOKED_UP = 8


@partial(jax.jit, static_argnames=("config", "start_id", "end_id", "max_length", "constraints"))
def sample(
    params: Params,
    config: CaptionerConfig,
    features: Float[Array, "N D"],
    *,
    start_id: int = 1,
    end_id: int = 2,
    max_length: int = 30,
    constraints: Constraints | None = None,
) -> Decoded:
    """Caption N images greedily, as one program.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        features: one feature vector for each image.
        start_id, end_id: ids of `<START>` and `<END>`.
        max_length: most words in a caption.
        constraints: rules on the words; None for none.
    """
    return greedy(
        _captioner_step(params, config, None, len(features)),
        start(params, config, features),
        num=len(features),
        start=start_id,
        end=end_id,
        max_length=max_length,
        constraints=constraints,
    )


@partial(
    jax.jit,
    static_argnames=("config", "strategy", "start_id", "end_id", "max_length", "constraints"),
)
def decode(
    params: Params | Sequence[Params],
    config: CaptionerConfig | Sequence[CaptionerConfig],
    features: Float[Array, "N D"],
    strategy: Strategy,
    *,
    keys: Keys | None = None,
    tables: Sequence[Array | None] | None = None,
    start_id: int = 1,
    end_id: int = 2,
    max_length: int = 30,
    constraints: Constraints | None = None,
) -> Hypotheses:
    """Caption N images by any strategy, as one program.

    Args:
        params: parameters by the notebook's names; those of several models with one vocabulary are
            an ensemble, which averages their probabilities.
        config: shape of the captioner, or a tuple with that of each.
        features: one feature vector for each image.
        strategy: how to choose words.
        keys: a `jax.random` key for each image; only for `Sampling`.
        tables: `word_table` of each model, or None where it is not at hand.
        start_id, end_id: ids of `<START>` and `<END>`.
        max_length: most words in a caption.
        constraints: rules on the words; None for none.

    Returns:
        The captions, as many of each image as the strategy gives.

    Raises:
        ValueError: `Sampling` without keys, a number of shapes other than that of models, or
            constraints that do not fit the vocabulary or `max_length`.
    """
    models, configs = _models(params, config)
    rows = len(features) * captions_each(strategy)
    each = tables or [None] * len(models)
    steps = [
        _captioner_step(params, config, table, rows)
        for params, config, table in zip(models, configs, each, strict=True)
    ]
    carries = tuple(start(*model, features) for model in zip(models, configs, strict=True))
    one = len(models) == 1
    return write_captions(
        steps[0] if one else average_steps(steps),
        carries[0] if one else carries,
        strategy,
        num=len(features),
        keys=keys,
        start=start_id,
        end=end_id,
        max_length=max_length,
        constraints=constraints,
    )


def decode_images(
    params: Params | Sequence[Params],
    config: CaptionerConfig | Sequence[CaptionerConfig],
    vocabulary: Vocabulary,
    features: Float[Array, "N D"] | Float[np.ndarray, "N D"],
    *,
    strategy: Strategy | None = None,
    key: Array | None = None,
    constraints: Constraints | None = None,
    max_length: int = 30,
    batch_size: int = 128,
) -> Hypotheses:
    """Caption any number of images, `batch_size` at a time.

    Batches come in few sizes, so that another number of images seldom needs another compilation:
    full ones, and below that powers of two.

    Args:
        params, config: of a model, or a sequence each for an ensemble.
        vocabulary: of the model or models.
        features: one feature vector for each image.
        strategy: how to choose words; greedy if left out.
        key: a `jax.random` key, for `Sampling`. What is drawn for an image depends on the key and
            the image's place among all.
        constraints: rules on the words; if left out `vocabulary_constraints(vocabulary)`, so that
            no caption shows `<UNK>`.
        max_length: most words in a caption.
        batch_size: images at a time.

    Returns:
        The captions, as NumPy arrays on the host.

    Raises:
        ValueError: `batch_size` is below 1, the vocabulary has another size than a model, or as
            in `decode`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    strategy = strategy or Greedy()
    if constraints is None:
        constraints = vocabulary_constraints(vocabulary)
    models, configs = _models(params, config)
    for shape in configs:
        if shape.vocab_size != len(vocabulary):
            raise ValueError(
                f"the model has {shape.vocab_size} words and the vocabulary {len(vocabulary)}; "
                "use the vocabulary that it was trained with"
            )
    num = len(features)
    rows = num * captions_each(strategy)
    tables = None
    if ComputePlan().looks_up(_WORDS_LOOKED_UP * rows, len(vocabulary)):
        tables = [
            _word_table(params) if config.has_word_table else None
            for params, config in zip(models, configs, strict=True)
        ]
    features = jnp.asarray(features) if num else jnp.zeros((1, features.shape[1]))
    keys = None if key is None else _keys(key, jnp.arange(max(num, 1)))
    size = min(batch_size, 1 << max(num - 1, 0).bit_length())
    parts = []
    for first in range(0, max(num, 1), size):
        # Copies of the last image fill up, since they end when it does.
        places = np.minimum(np.arange(first, first + size), max(num - 1, 0))
        decoded = decode(
            models,
            configs,
            features[places],
            strategy,
            keys=None if keys is None else keys[places],
            tables=tables,
            start_id=vocabulary.start,
            end_id=vocabulary.end,
            max_length=max_length,
            constraints=constraints,
        )
        parts.append([np.asarray(x)[: num - first] for x in decoded])
    return Hypotheses(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def caption_images(
    params: Params | Sequence[Params],
    config: CaptionerConfig | Sequence[CaptionerConfig],
    vocabulary: Vocabulary,
    features: Float[Array, "N D"] | Float[np.ndarray, "N D"],
    *,
    strategy: Strategy | None = None,
    key: Array | None = None,
    constraints: Constraints | None = None,
    max_length: int = 30,
    batch_size: int = 128,
) -> list[str]:
    """Caption N images with a sentence each: the best beam, the first sample, or the greedy one.

    Arguments and errors are those of `decode_images`.

    Returns:
        N sentences without special tokens.
    """
    strategy = strategy or Greedy()
    if isinstance(strategy, Greedy):
        strategy = replace(strategy, scored=False)
    if isinstance(strategy, Beam):
        strategy = replace(strategy, best_only=True)
    decoded = decode_images(
        params,
        config,
        vocabulary,
        features,
        strategy=strategy,
        key=key,
        constraints=constraints,
        max_length=max_length,
        batch_size=batch_size,
    )
    return [vocabulary.decode(row) for row in np.asarray(decoded.ids[:, 0])]


_word_table = jax.jit(word_table)
_keys = jax.jit(jax.vmap(jax.random.fold_in, in_axes=(None, 0)))


def _models(
    params: Params | Sequence[Params], config: CaptionerConfig | Sequence[CaptionerConfig]
) -> tuple[tuple[Params, ...], tuple[CaptionerConfig, ...]]:
    models = (params,) if isinstance(params, dict) else tuple(params)
    configs = (config,) * len(models) if isinstance(config, CaptionerConfig) else tuple(config)
    if len(configs) != len(models):
        raise ValueError(f"got {len(models)} models, but the shapes of {len(configs)}")
    return models, configs


def _captioner_step(
    params: Params, config: CaptionerConfig, table: Array | None, rows: int
) -> Step:
    """The captioner's step, with looked-up input products where they save work."""
    pays = ComputePlan().looks_up(_WORDS_LOOKED_UP * rows, config.vocab_size)
    if table is None and pays and config.has_word_table:
        table = word_table(params)
    return partial(step, params, config, table=table)
