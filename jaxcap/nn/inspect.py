"""Probabilities of words, maps of attention and gates of the LSTM at each word of a caption.

Axes: N captions, T steps, H hidden units, K alternatives. `jaxcap.plots` draws both.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.data.image import Image, as_image
from jaxcap.nn.captioner import logits
from jaxcap.nn.cells import LSTM, Cell, Gates, LSTMCarry
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import ImageCarry, attention_memory, read_word, start
from jaxcap.nn.parameters import Params
from jaxcap.nn.top_down import TopDownCarry


class WordProbabilities(NamedTuple):
    """Probabilities of each word of a caption given its image and the words before it."""

    written: Float[Array, "*N T"]
    """Probability of the word in the caption."""
    top_ids: Int[Array, "*N T K"]
    """Ids of the likeliest words at that step, the likeliest first."""
    top: Float[Array, "*N T K"]
    """Probabilities of `top_ids`."""


def word_probabilities(
    params: Params,
    config: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    captions: Int[Array, "N L"],
    top: int = 5,
) -> WordProbabilities:
    """Compute the probability of each word of captions, and the likeliest words at each step.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: one image for each caption, or its pooled features.
        captions: word ids from `<START>` on. All columns except the last are inputs, and all except
            the first are predicted, T = L - 1.
        top: number of alternatives, K.

    Raises:
        ValueError: `top` is below 1 or above the number of words.
    """
    if not 1 <= top <= config.vocab_size:
        raise ValueError(f"`top` must be at least 1 and at most {config.vocab_size}, got {top}")
    words, targets = captions[:, :-1], captions[:, 1:]
    each = jax.nn.softmax(logits(params, config, image, words))
    written = jnp.take_along_axis(each, targets[..., None], axis=2)[..., 0]
    probabilities, ids = lax.top_k(each, top)
    return WordProbabilities(written, ids, probabilities)


def gate_activations(
    params: Params,
    config: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    words: Int[Array, "N T"],
) -> Gates:
    """Compute the gates of the LSTM at each of `words`.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: one image for each caption, or its pooled features.
        words: captions from `<START>` on, word ids.

    Returns:
        The gates, (N, T, H) each; with `attention=topdown` those of the cell that chooses words.

    Raises:
        ValueError: the cell of the captioner is not the built-in LSTM; or it attends, and the
            images have no grid.
    """
    if config.found_cell != LSTM:
        raise ValueError(f"only `cell=lstm` has the gates i, f, o, g; this cell is {config.cell}")
    memory = attention_memory(params, config, as_image(image))
    recording = replace(config, cell=_RECORDING, init_cell=False)
    first = jax.tree.map(
        lambda node: _before_the_first(node) if isinstance(node, LSTMCarry) else node,
        start(params, config, image),
        is_leaf=lambda node: isinstance(node, LSTMCarry),
    )

    def read(carry: Any, word: Int[Array, " N"]) -> tuple[Any, Gates]:
        carry = read_word(params, recording, carry, word, memory=memory).carry
        cell = carry.cell if isinstance(carry, ImageCarry) else carry
        return carry, (cell.language if isinstance(cell, TopDownCarry) else cell).gates

    _, gates = lax.scan(read, first, words.T)
    return jax.tree.map(lambda gate: gate.swapaxes(0, 1), gates)


class _Recorded(NamedTuple):
    """State of an LSTM, with the gates that made it."""

    h: Float[Array, "N H"]
    c: Float[Array, "N H"]
    gates: Gates


def _before_the_first(carry: LSTMCarry) -> _Recorded:
    none = jnp.zeros_like(carry.h)
    return _Recorded(carry.h, carry.c, Gates(none, none, none, none))


def _record(a: Float[Array, "N G"], carry: _Recorded) -> tuple[_Recorded, tuple[()]]:
    after, gates = LSTM.update(a, LSTMCarry(carry.h, carry.c))
    return _Recorded(after.h, after.c, gates), ()


_RECORDING = Cell(LSTM.gates, lambda h0: _before_the_first(LSTM.start(h0)), _record)


def attention_maps(
    params: Params,
    config: CaptionerConfig,
    image: Image,
    words: Int[Array, "N T"],
) -> Float[Array, "N T L"]:
    """Compute where a captioner looks after reading each of `words`, to choose the next one.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: one image with a grid for each caption.
        words: captions from `<START>` on, word ids.

    Returns:
        The share of each place, of sum 1.

    Raises:
        ValueError: the captioner does not attend, or the images have no grid.
    """
    memory = attention_memory(params, config, image)
    if memory is None:
        raise ValueError("the captioner has no `attention`, so it has no maps")

    def read(carry: Any, word: Int[Array, " N"]) -> tuple[Any, Any]:
        found = read_word(params, config, carry, word, memory=memory)
        return found.carry, found.alpha

    _, maps = lax.scan(read, start(params, config, image), words.T)
    return maps.swapaxes(0, 1)
