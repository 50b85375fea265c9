"""A captioner word by word, as decoders call it: the carry before the first word, and a step."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.data.image import Image, as_image
from jaxcap.nn.attention import Memory, attend
from jaxcap.nn.cells import LSTM, Cell
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params, attention_params, cell_params, top_down_weights
from jaxcap.nn.products import product
from jaxcap.nn.scan import cell_step
from jaxcap.nn.top_down import TopDownCarry, top_down_step


class ImageCarry(NamedTuple):
    """The carry of a captioner that sees the image at every step."""

    cell: Any
    """The carry of the cell, or of both cells of top-down attention."""
    x: Float[Array, "N W"] | None = None
    """With `feed_features`: projected features, added to each word vector."""
    image: Int[Array, " N"] | None = None
    """With `attention`: the image of each row in the memory of the step."""
    a: Float[Array, "N G"] | None = None
    """With `attention=topdown`: what the features add to each word's product."""


Carry = Any
"""State between two words, N rows first: the carry of the cell, or an `ImageCarry` with it."""


def bind(
    params: Params,
    config: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    table: Float[Array, "V G"] | None = None,
) -> tuple[Callable[[Carry, Int[Array, " R"]], tuple[Carry, Float[Array, "R V"]]], Carry]:
    """Give the step of a captioner for some images, and the carry before the first word.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: N images, or their pooled features.
        table: as for `step`.
    """
    memory = attention_memory(params, config, as_image(image))
    return partial(step, params, config, table=table, memory=memory), start(params, config, image)


def attention_memory(params: Params, config: CaptionerConfig, image: Image) -> Memory | None:
    """Compute what is linear in the grids of N images; None without attention.

    Raises:
        ValueError: the captioner attends and the images have no grid.
    """
    if config.attention is None:
        return None
    if image.grid is None:
        raise ValueError(
            f"`attention={config.attention}` needs images with a grid, and these have pooled "
            "features alone"
        )
    grid = image.grid.astype(params["W_grid"].dtype)
    values = product(grid, params["W_grid"]) + params["b_grid"][None, None]
    keys = product(values, params["W_key"]) + params["b_key"][None, None]
    return Memory(keys, values, image.grid_mask)


def start(params: Params, config: CaptionerConfig, image: Image | Float[Array, "N D"]) -> Carry:
    """Compute the carry before the first word: h0 from the features, c0 from them or zero.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: the images of N captions, or their pooled features.
    """
    features = as_image(image).pooled
    carry = start_cell(params, config, features)
    if not (config.feed_features or config.attention):
        return carry
    return ImageCarry(
        carry,
        features @ params["W_feed"] if config.feed_features else None,
        jnp.arange(len(features)) if config.attention else None,
        product(features, params["W_pooled"]) if config.attention == "topdown" else None,
    )


def start_cell(params: Params, config: CaptionerConfig, features: Float[Array, "N D"]) -> Any:
    """Compute the carry of the cell before the first word from the features of N images.

    With `attention=topdown` the attention cell starts so, and the language cell from zeros.
    """
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    if config.init_cell:
        first = LSTM.start(h0, features @ params["W_cell"] + params["b_cell"][None])
    else:
        first = config.found_cell.start(h0)
    if config.attention != "topdown":
        return first
    return TopDownCarry(first, config.found_cell.start(jnp.zeros_like(h0)))


def vocabulary_logits(params: Params, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
    """Compute the logits of the next word from hidden states."""
    return product(h, params["W_vocab"]) + params["b_vocab"].reshape((1,) * (h.ndim - 1) + (-1,))


def step(
    params: Params,
    config: CaptionerConfig,
    carry: Carry,
    words: Int[Array, " N"],
    table: Float[Array, "V G"] | None = None,
    memory: Memory | None = None,
) -> tuple[Carry, Float[Array, "N V"]]:
    """Read one word of each caption and compute the logits of the next.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        carry: from `start` or the previous step.
        words: word ids in [0, V).
        table: from `word_table`, if `config.has_word_table`; replaces the product with each word
            vector by a lookup. It is faster once you read more words than the vocabulary has.
        memory: from `attention_memory`, of the images that the carry began with, if the captioner
            attends.

    Returns:
        The next carry and the logits.
    """
    read = read_word(params, config, carry, words, table, memory)
    return read.carry, vocabulary_logits(params, read.h)


class Read(NamedTuple):
    """What a captioner knows after it has read one more word of each caption."""

    carry: Carry
    h: Float[Array, "N H"]
    """The hidden state that gives the logits of the next word."""
    alpha: Float[Array, "N L"] | None = None
    """With `attention`: the map by which it chooses the next word."""


def read_word(
    params: Params,
    config: CaptionerConfig,
    carry: Carry,
    words: Int[Array, " N"],
    table: Float[Array, "V G"] | None = None,
    memory: Memory | None = None,
) -> Read:
    """Read one word of each caption; arguments as for `step`."""
    cell, known = config.found_cell, _known(carry)
    if table is not None and isinstance(cell, Cell):
        read = _advance(params, cell, known, table[words], memory)
    else:
        x = params["W_embed"][words]
        if known.x is not None:
            x = x + known.x
        if not isinstance(cell, Cell):
            read = Read(*cell.step(params, known.cell, x))
        elif memory is None:
            advanced: Any = cell_step(cell, cell_params(params), known.cell, x)
            read = Read(*advanced)
        else:
            a = x @ params["Wx"] + params["b"][None]
            read = _advance(params, cell, known, a, memory)
    if isinstance(carry, ImageCarry):
        read = read._replace(carry=known._replace(cell=read.carry))
    return read


def _known(carry: Carry) -> ImageCarry:
    return carry if isinstance(carry, ImageCarry) else ImageCarry(carry)


def _advance(
    params: Params, cell: Cell, known: ImageCarry, a: Float[Array, "N G"], memory: Memory | None
) -> Read:
    """Advance a cell by one step, from the product of the word and with what it attends to."""
    alpha = None
    if memory is not None and known.image is not None:
        if known.a is not None:
            weights = top_down_weights(params)
            image = known.image
            after, alpha = top_down_step(cell, weights, known.cell, a + known.a, memory, image)
            return Read(after, after.language.h, alpha)
        attention = attention_params(params)
        z, alpha = attend(attention, known.cell.h, *memory, known.image)
        a = a + z @ attention.W_context
    after, _ = cell.update(a + known.cell.h @ params["Wh"], known.cell)
    return Read(after, after.h, alpha)
