"""Captions with the maps of attention that chose their words."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.data.dataset import SplitRows
from jaxcap.data.image import Image, as_image
from jaxcap.decoding.captions import Captioner, Features, decode_best
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Strategy
from jaxcap.nn.inspect import attention_maps

_IMAGES = 128


class WordMaps(NamedTuple):
    """Where a captioner looked for each word of a caption."""

    words: tuple[str, ...]
    """The words, without special tokens."""
    maps: Float[np.ndarray, "T L"]
    """The share of each place of the grid when the word was chosen, of sum 1."""


class MappedCaption(NamedTuple):
    """A caption of an image, with its maps."""

    sentence: str
    """As of a `Caption`."""
    nats: float
    """As of a `Caption`."""
    maps: WordMaps
    """Where each word was looked for."""


def check_attends(captioners: Sequence[Captioner]) -> None:
    """Refuse captioners none of which has maps.

    Raises:
        ValueError: none attends.
    """
    if not any(one.config.attention for one in captioners):
        raise ValueError(
            "the captioner does not attend, so it has no maps: train one with `attention=soft` on "
            "data with grids, and give its folder by `checkpoint`"
        )


def caption_with_maps(
    captioners: Sequence[Captioner],
    features: Features,
    strategy: Strategy | None = None,
    *,
    rules: Rules | None = None,
    key: Array | None = None,
) -> list[MappedCaption]:
    """Caption N images as `caption_images` does, with the map of each word.

    The maps of an ensemble are the mean over those of its captioners that attend.

    Args:
        captioners, features, strategy, rules, key: as for `decode_images`; images with grids.

    Raises:
        ValueError: no captioner attends; or as in `decode_images`.
    """
    check_attends(captioners)
    found = decode_best(captioners, features, strategy, rules=rules, key=key)
    image = features if isinstance(features, SplitRows) else as_image(features)
    vocabulary, ids = captioners[0].vocabulary, found.ids[:, 0]
    looking = tuple(one for one in captioners if one.config.attention)
    parts = [
        np.asarray(_maps(looking, image.at(np.arange(first, first + len(part))), part))
        for first in range(0, len(ids), _IMAGES)
        for part in [ids[first : first + _IMAGES]]
    ]
    maps = (map for part in parts for map in part)
    rest = found.lengths[:, 0].tolist(), found.log_probs[:, 0].tolist()
    return [
        MappedCaption(
            vocabulary.sentence(row),
            nats,
            WordMaps(tuple(vocabulary.idx_to_word[i] for i in row[:length]), each[:length]),
        )
        for row, each, length, nats in zip(ids, maps, *rest, strict=True)
    ]


@jax.jit
def _maps(
    captioners: tuple[Captioner, ...], image: Image, ids: Int[Array, "N T"]
) -> Float[Array, "N T L"]:
    """Compute the map that chose each of `ids`, the mean over the captioners."""
    start = captioners[0].vocabulary.start
    read = jnp.concatenate([jnp.full_like(ids[:, :1], start), ids[:, :-1]], axis=1)
    each = [attention_maps(one.params, one.config, image, read) for one in captioners]
    return jnp.stack(each).mean(0)
