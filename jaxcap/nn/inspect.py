"""Probabilities of words, maps of attention and gates of the LSTM at each word of a caption.

Axes: N captions, T steps, H hidden units, K alternatives. `jaxcap.plots` draws both.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.data.image import Image
from jaxcap.nn.captioner import logits
from jaxcap.nn.cells import LSTM, Gates, LSTMCarry
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import ImageCarry, attention_memory, read_word, start
from jaxcap.nn.parameters import Params, cell_params
from jaxcap.nn.scan import input_products


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
        The gates, (N, T, H) each.

    Raises:
        ValueError: the cell of the captioner is not the built-in LSTM.
    """
    if config.found_cell != LSTM:
        raise ValueError(f"only `cell=lstm` has the gates i, f, o, g; this cell is {config.cell}")
    first = start(params, config, image)
    x = params["W_embed"][words.T]
    if config.attention:
        raise ValueError("gates are not shown for a captioner with `attention`")
    if isinstance(first, ImageCarry):
        x = x if first.x is None else x + first.x[None]
        first = first.cell

    def read(carry: LSTMCarry, xWx: Float[Array, "N G"]) -> tuple[LSTMCarry, Gates]:
        return LSTM.update(xWx + carry.h @ params["Wh"], carry)

    _, gates = lax.scan(read, first, input_products(cell_params(params), x))
    return jax.tree.map(lambda gate: gate.swapaxes(0, 1), gates)


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
