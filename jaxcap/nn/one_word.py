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
from jaxcap.nn.parameters import Params, attention_params, cell_params
from jaxcap.nn.products import product
from jaxcap.nn.scan import cell_step


class ImageCarry(NamedTuple):
    """The carry of a captioner that sees the image at every step."""

    cell: Any
    """The carry of the cell."""
    x: Float[Array, "N W"] | None = None
    """With `feed_features`: projected features, added to each word vector."""
    image: Int[Array, " N"] | None = None
    """With `attention`: the image of each row in the memory of the step."""


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
    )


def start_cell(params: Params, config: CaptionerConfig, features: Float[Array, "N D"]) -> Any:
    """Compute the carry of the cell before the first word from the features of N images."""
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    if not config.init_cell:
        return config.found_cell.start(h0)
    return LSTM.start(h0, features @ params["W_cell"] + params["b_cell"][None])


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
    cell, known = config.found_cell, _known(carry)
    if table is not None and isinstance(cell, Cell):
        after = _advance(params, cell, known, table[words], memory)
        advanced: Any = after, after.h
    else:
        x = params["W_embed"][words]
        if known.x is not None:
            x = x + known.x
        if not isinstance(cell, Cell):
            advanced = cell.step(params, known.cell, x)
        elif memory is None:
            advanced = cell_step(cell, cell_params(params), known.cell, x)
        else:
            a = x @ params["Wx"] + params["b"][None]
            after = _advance(params, cell, known, a, memory)
            advanced = after, after.h
    after, h = advanced
    carry = known._replace(cell=after) if isinstance(carry, ImageCarry) else after
    return carry, vocabulary_logits(params, h)


def _known(carry: Carry) -> ImageCarry:
    return carry if isinstance(carry, ImageCarry) else ImageCarry(carry)


def _advance(
    params: Params, cell: Cell, known: ImageCarry, a: Float[Array, "N G"], memory: Memory | None
) -> Any:
    """Advance a cell by one step, from the product of the word and with the context."""
    if memory is not None and known.image is not None:
        attention = attention_params(params)
        context = attend(attention, known.cell.h, *memory.at(known.image))
        a = a + context.z @ attention.W_context
    after, _ = cell.update(a + known.cell.h @ params["Wh"], known.cell)
    return after
