"""The captioner: logits of the next word, from images and words.

    h0 = features @ W_proj + b_proj                      (N, H)
    x  = W_embed[words]                                  (N, T, W)
    h  = rnn or lstm(x, h0; Wx, Wh, b)                   (N, T, H)
    logits = h @ W_vocab + b_vocab                       (N, T, V)

where the features are the pooled features of the images. The initial cell state of the LSTM is
zero, or `c0 = features @ W_cell + b_cell` with `init_cell` (Xu et al. 2015, section 3.1.2). With
`feed_features`, `features @ W_feed` is added to every word vector, so the cell sees the image at
every step (Mao et al. 2015, arXiv 1412.6632). For other cells see `jaxcap.nn.cells` and
`jaxcap.nn.linen_cell`, and for captioners that attend `jaxcap.nn.attention` and
`jaxcap.nn.top_down`.

Axes: N captions, T steps, D features, W word vector, H hidden, V words. Parameters are a flat
dictionary with the names, shapes and initial scales of the notebook, so a model trained there loads
here and the other way round.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image, as_image
from jaxcap.nn.attention import AttendingWeights, Memory, scan_attending
from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.cells import Cell
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import CaptionLoss, Targets, temporal_softmax_loss
from jaxcap.nn.one_word import attention_memory, start_cell, vocabulary_logits
from jaxcap.nn.parameters import (
    Params,
    attention_params,
    cell_params,
    top_down_weights,
    word_table,
)
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import product
from jaxcap.nn.regularisation import Rate, Regularisation, drop
from jaxcap.nn.scan import Unroll, in_segments, input_products, scan_cell
from jaxcap.nn.top_down import scan_top_down


def _hidden_states(
    params: Params,
    config: CaptionerConfig,
    batch: Batch,
    words: Int[Array, "T N"],
    key: Array | None,
    dropout: Rate | None,
    plan: ComputePlan,
    counts: Bool[Array, "T N"] | None = None,
) -> tuple[Float[Array, "T N H"], Float[Array, "N L"] | None]:
    """Compute the hidden state after each word, time first, with dropout given a key and a rate.

    With attention also the maps, summed over the steps that count.
    """
    parts = 3 + config.feed_features + (config.attention == "topdown")
    keys = (None,) * parts if key is None or dropout is None else jax.random.split(key, parts)
    cell, features = config.found_cell, batch.image.pooled
    memory = attention_memory(params, config, batch.image)
    if batch.rows is not None:
        features = features[batch.rows]
        memory = None if memory is None else memory.at(batch.rows)
    first = start_cell(params, config, drop(keys[0], features, dropout))
    feed = None
    if config.feed_features:
        feed = (drop(keys[3], features, dropout) @ params["W_feed"])[None]
    looks_up = keys[1] is None and plan.looks_up(words.size, config.vocab_size)
    products: Products
    inputs: Any
    unroll: Unroll
    if looks_up and isinstance(cell, Cell):
        # The gradients are likewise summed for each word of the vocabulary before their products.
        inputs, products = words, _looked_up(params, feed)
    else:
        x = drop(keys[1], params["W_embed"][words], dropout)
        inputs, products = x if feed is None else x + feed, partial(_multiplied, params)
    if memory is not None:
        pooled = None
        if config.attention == "topdown":
            pooled = product(drop(keys[-1], features, dropout), params["W_pooled"])
        unroll, inputs = _attending(params, config, memory, products, pooled), (inputs, counts)
        first = first, jnp.zeros(memory.keys.shape[:2], memory.keys.dtype)
    elif isinstance(cell, Cell):
        unroll = _recurring(params, cell, products)
    else:
        unroll = partial(cell.unroll, params)
    last, h = in_segments(unroll, first, inputs) if plan.remat else unroll(first, inputs)
    return drop(keys[2], h, dropout), None if memory is None else last[1]


Products = Callable[[Array], Float[Array, "T N G"]]
"""From words or word vectors of T steps to `x @ Wx + b`."""


def _multiplied(params: Params, x: Float[Array, "T N W"]) -> Float[Array, "T N G"]:
    return input_products(cell_params(params), x)


def _looked_up(params: Params, feed: Float[Array, "1 N W"] | None) -> Products:
    """Make the products of words (T, N), looked up in those of the whole vocabulary."""
    table = word_table(params)
    fed = None if feed is None else product(feed, params["Wx"])

    def products(words: Array) -> Array:
        return table[words] if fed is None else table[words] + fed

    return products


def _recurring(params: Params, cell: Cell, products: Products) -> Unroll:
    """Make the unroll of a `Cell`."""

    def unroll(carry: Any, inputs: Array) -> tuple[Any, Array]:
        return scan_cell(cell, params["Wh"], carry, products(inputs))

    return unroll


def _attending(
    params: Params,
    config: CaptionerConfig,
    memory: Memory,
    products: Products,
    pooled: Float[Array, "N G"] | None,
) -> Unroll:
    """Make the unroll of a `Cell` that attends; its carry holds the sum of the maps too.

    With `pooled`, the features' product, that of both cells of top-down attention.
    """
    cell = config.found_cell
    assert isinstance(cell, Cell)
    if pooled is None:
        weights = AttendingWeights(params["Wh"], attention_params(params))
        scan = partial(scan_attending, cell, weights)
    else:
        scan = partial(scan_top_down, cell, top_down_weights(params))

    def unroll(state: Any, inputs: tuple[Array, Array | None]) -> tuple[Any, Array]:
        (carry, seen), (words, counts) = state, inputs
        a = products(words) if pooled is None else products(words) + pooled[None]
        found: Any = scan(carry, a, memory, counts)
        return (found.carry, seen + found.seen), found.h

    return unroll


def logits(
    params: Params,
    config: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    words: Int[Array, "N T"],
    key: Array | None = None,
) -> Float[Array, "N T V"]:
    """Compute the logits of the word after each of `words`.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: one image for each caption, or its pooled features; of the dtype of the parameters.
        words: captions from `<START>` on, word ids in [0, V).
        key: a `jax.random` key turns on the dropout of `config`; None is inference.

    Returns:
        (N, T, V) unnormalised log-probabilities.
    """
    dropout = config.regularisation.dropout
    batch = Batch(as_image(image), words)
    h, _ = _hidden_states(params, config, batch, words.T, key, dropout, ComputePlan())
    return vocabulary_logits(params, h).swapaxes(0, 1)


def caption_loss(
    params: Params,
    config: CaptionerConfig,
    batch: Batch,
    key: Array | None = None,
    *,
    regularisation: Regularisation | None = None,
    plan: ComputePlan = ComputePlan(),
) -> CaptionLoss:
    """Compute the loss of captions: each word is predicted from the image and the words before it.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        batch: images of the dtype of the parameters; captions, word ids in [0, V), `<START> ...
            <END>` padded with `<NULL>`, 0; and weights of the captions. All columns except the last
            are inputs unless `inputs` are given, and all except the first are targets. Padding adds
            no loss and no gradient.
        key: a `jax.random` key turns on dropout; None is inference.
        regularisation: dropout and label smoothing; by default only the dropout of `config`.
        plan: how to compute. `widths` is not used here; a train step cuts `batch` by it.

    Returns:
        The loss in nats, per caption and per word.

    >>> import jax, jax.numpy as jnp
    >>> from jaxcap import init_params
    >>> config = CaptionerConfig(vocab_size=5, feature_dim=3, wordvec_dim=2, hidden_dim=4)
    >>> params = jax.tree.map(jnp.zeros_like, init_params(jax.random.key(0), config))
    >>> batch = Batch(as_image(jnp.ones((1, 3))), jnp.array([[1, 4, 2, 0]]))
    >>> loss = caption_loss(params, config, batch)  # 2 words to predict, each with p = 1 / 5
    >>> round(float(loss.per_caption), 3), round(float(loss.per_word), 3)
    (3.219, 1.609)
    """
    dropout, smoothing, attention = regularisation or config.regularisation
    captions, num = batch.captions.T, len(batch.captions)
    words = captions[:-1] if batch.inputs is None else batch.inputs.T
    following = captions[1:].ravel()
    counts = captions[1:] != 0 if config.attention else None
    h, seen = _hidden_states(params, config, batch, words, key, dropout, plan, counts)
    # As rows, since XLA transposes the operands of a product over both time and batch.
    rows = h.reshape(-1, config.hidden_dim)
    weights = None if batch.weights is None else jnp.tile(batch.weights, len(words))
    targets = Targets(following, following != 0, weights)
    if plan.block is None:
        loss = temporal_softmax_loss(vocabulary_logits(params, rows), targets, num, smoothing)
    else:
        layer = params["W_vocab"], params["b_vocab"]
        loss = blockwise_softmax_loss(rows, layer, targets, num, smoothing, block=plan.block)
    if attention is None or seen is None:
        return loss
    mask = batch.image.grid_mask
    if mask is not None and batch.rows is not None:
        mask = mask[batch.rows]
    penalty = _unseen(seen, mask, batch.weights)
    return loss._replace(per_caption=loss.per_caption + attention * penalty)


def _unseen(
    seen: Float[Array, "N L"], mask: Bool[Array, "N L"] | None, weights: Float[Array, " N"] | None
) -> Float[Array, ""]:
    """Compute the doubly stochastic penalty, a mean over captions."""
    missed = jnp.square(1 - seen)
    each = (missed if mask is None else jnp.where(mask, missed, 0)).sum(1)
    return (each if weights is None else each * weights).mean()
