"""The captioner: logits of the next word, from images and words.

    h0 = features @ W_proj + b_proj                      (N, H)
    x  = W_embed[words]                                  (N, T, W)
    h  = rnn or lstm(x, h0; Wx, Wh, b)                   (N, T, H)
    logits = h @ W_vocab + b_vocab                       (N, T, V)

where the features are the pooled features of the images. The initial cell state of the LSTM is
zero, or `c0 = features @ W_cell + b_cell` with `init_cell` (Xu et al. 2015, section 3.1.2). With
`feed_features`, `features @ W_feed` is added to every word vector, so the cell sees the image at
every step (Mao et al. 2015, arXiv 1412.6632). For other cells see `jaxcap.nn.cells` and
`jaxcap.nn.linen_cell`.

Axes: N captions, T steps, D features, W word vector, H hidden, V words. Parameters are a flat
dictionary with the names, shapes and initial scales of the notebook, so a model trained there loads
here and the other way round.
"""

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image, as_image
from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.cells import LSTM, WEIGHTS, Cell, CellParams
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import CaptionLoss, Targets, temporal_softmax_loss
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import product
from jaxcap.nn.regularisation import Rate, Regularisation, drop
from jaxcap.nn.scan import Unroll, cell_step, in_segments, input_products, scan_cell

if TYPE_CHECKING:
    from jaxcap.nn.linen_cell import LinenCell

Params = dict[str, Array]


class FedCarry(NamedTuple):
    """The carry of a captioner with `feed_features`."""

    cell: Any
    """The carry of the cell."""
    x: Float[Array, "N W"]
    """Projected features, added to each word vector."""


Carry = Any
"""State between two words, N rows first: the carry of the cell, or a `FedCarry` with it."""


def initializer(name: str) -> jax.nn.initializers.Initializer:
    """Return the function of key, shape and dtype that draws the parameter of this name.

    The scales are those of the course: biases zero, word vectors N(0, 1e-4), weights
    N(0, 1 / fan in). `W_feed` is N(0, 0.01 / fan in), since its product is added to word vectors.
    """
    if name.startswith("b"):
        return jax.nn.initializers.zeros
    if name == "W_embed":
        return jax.nn.initializers.normal(0.01)
    if name == "W_feed":
        return jax.nn.initializers.variance_scaling(0.01, "fan_in", "normal")
    return WEIGHTS


def init_params(key: Array, config: CaptionerConfig, dtype: DTypeLike = jnp.float32) -> Params:
    """Draw initial parameters: biases zero, embedding N(0, 1e-4), weights N(0, 1 / fan in).

    A Linen cell draws its parameters itself.

    Args:
        key: a `jax.random` key.
        config: shape of the captioner.
        dtype: of all parameters.

    Returns:
        Parameters under the notebook's names, with the shapes of `config.parameter_shapes()`.
    """
    cell, shapes = config.found_cell, config.parameter_shapes()
    if not isinstance(cell, Cell):
        shapes = {name: shape for name, shape in shapes.items() if name not in cell.shapes}
    keys = jax.random.split(key, len(shapes))
    params = {
        name: initializer(name)(key, shape, dtype)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    if not isinstance(cell, Cell):
        params |= cell.init(jax.random.fold_in(key, len(shapes)), dtype)
    return params


def cell_params(params: Params) -> CellParams:
    """Take the weights of the captioner's `Cell`."""
    return CellParams(params["Wx"], params["Wh"], params["b"])


def word_table(params: Params) -> Float[Array, "V G"]:
    """Compute the input product of every word, `W_embed @ Wx + b`, for a `Cell`."""
    return product(params["W_embed"], params["Wx"]) + params["b"][None]


def _hidden_states(
    params: Params,
    config: CaptionerConfig,
    image: Image,
    words: Int[Array, "T N"],
    key: Array | None,
    dropout: Rate | None,
    plan: ComputePlan,
) -> Float[Array, "T N H"]:
    """Compute the hidden state after each word, time first, with dropout given a key and a rate."""
    parts = 4 if config.feed_features else 3
    keys = (None,) * parts if key is None or dropout is None else jax.random.split(key, parts)
    cell, features = config.found_cell, image.pooled
    first = _start_cell(params, config, drop(keys[0], features, dropout))
    feed = None
    if config.feed_features:
        feed = (drop(keys[3], features, dropout) @ params["W_feed"])[None]
    looks_up = keys[1] is None and plan.looks_up(words.size, config.vocab_size)
    if looks_up and isinstance(cell, Cell):
        # The gradients are likewise summed for each word of the vocabulary before their products.
        unroll, inputs = _unroll_by_table(params, cell, feed), words
    else:
        x = drop(keys[1], params["W_embed"][words], dropout)
        unroll, inputs = _unroll_vectors(params, cell), x if feed is None else x + feed
    h = in_segments(unroll, first, inputs) if plan.remat else unroll(first, inputs)[1]
    return drop(keys[2], h, dropout)


def _unroll_vectors(params: Params, cell: "Cell | LinenCell") -> Unroll:
    """Make the unroll of word vectors (T, N, W)."""
    if not isinstance(cell, Cell):
        return partial(cell.unroll, params)

    def unroll(carry: Any, x: Array) -> tuple[Any, Array]:
        return scan_cell(cell, params["Wh"], carry, input_products(cell_params(params), x))

    return unroll


def _unroll_by_table(params: Params, cell: Cell, feed: Float[Array, "1 N W"] | None) -> Unroll:
    """Make the unroll of words (T, N), looked up in the input products of the vocabulary."""
    table = word_table(params)
    fed = None if feed is None else product(feed, params["Wx"])

    def unroll(carry: Any, words: Array) -> tuple[Any, Array]:
        xWx = table[words] if fed is None else table[words] + fed
        return scan_cell(cell, params["Wh"], carry, xWx)

    return unroll


def _vocabulary_logits(params: Params, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
    return product(h, params["W_vocab"]) + params["b_vocab"].reshape((1,) * (h.ndim - 1) + (-1,))


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
    image, plan = as_image(image), ComputePlan()
    h = _hidden_states(params, config, image, words.T, key, dropout, plan)
    return _vocabulary_logits(params, h).swapaxes(0, 1)


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
            are inputs, and all except the first are targets. Padding adds no loss and no gradient.
        key: a `jax.random` key turns on dropout; None is inference.
        regularisation: dropout and label smoothing; by default only the dropout of `config`.
        plan: how to compute. `widths` is not used here; a train step cuts `batch` by it.

    Returns:
        The loss in nats, per caption and per word.

    >>> import jax, jax.numpy as jnp
    >>> config = CaptionerConfig(vocab_size=5, feature_dim=3, wordvec_dim=2, hidden_dim=4)
    >>> params = jax.tree.map(jnp.zeros_like, init_params(jax.random.key(0), config))
    >>> batch = Batch(as_image(jnp.ones((1, 3))), jnp.array([[1, 4, 2, 0]]))
    >>> loss = caption_loss(params, config, batch)  # 2 words to predict, each with p = 1 / 5
    >>> round(float(loss.per_caption), 3), round(float(loss.per_word), 3)
    (3.219, 1.609)
    """
    dropout, smoothing = regularisation or config.regularisation
    captions, num = batch.captions.T, len(batch.captions)
    words, following = captions[:-1], captions[1:].ravel()
    h = _hidden_states(params, config, batch.image, words, key, dropout, plan)
    # As rows, since XLA transposes the operands of a product over both time and batch.
    rows = h.reshape(-1, config.hidden_dim)
    weights = None if batch.weights is None else jnp.tile(batch.weights, len(words))
    targets = Targets(following, following != 0, weights)
    if plan.block is None:
        return temporal_softmax_loss(_vocabulary_logits(params, rows), targets, num, smoothing)
    layer = params["W_vocab"], params["b_vocab"]
    return blockwise_softmax_loss(rows, layer, targets, num, smoothing, block=plan.block)


def start(params: Params, config: CaptionerConfig, image: Image | Float[Array, "N D"]) -> Carry:
    """Compute the carry before the first word: h0 from the features, c0 from them or zero.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        image: the images of N captions, or their pooled features.
    """
    features = as_image(image).pooled
    carry = _start_cell(params, config, features)
    return FedCarry(carry, features @ params["W_feed"]) if config.feed_features else carry


def _start_cell(params: Params, config: CaptionerConfig, features: Float[Array, "N D"]) -> Any:
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    if not config.init_cell:
        return config.found_cell.start(h0)
    return LSTM.start(h0, features @ params["W_cell"] + params["b_cell"][None])


def step(
    params: Params,
    config: CaptionerConfig,
    carry: Carry,
    words: Int[Array, " N"],
    table: Float[Array, "V G"] | None = None,
) -> tuple[Carry, Float[Array, "N V"]]:
    """Read one word of each caption and compute the logits of the next.

    Args:
        params: parameters under the notebook's names.
        config: shape of the captioner.
        carry: from `start` or the previous step.
        words: word ids in [0, V).
        table: from `word_table`, if `config.has_word_table`; replaces the product with each word
            vector by a lookup. It is faster once you read more words than the vocabulary has.

    Returns:
        The next carry and the logits.
    """
    cell = config.found_cell
    if table is not None and isinstance(cell, Cell):
        carry, _ = cell.update(table[words] + carry.h @ params["Wh"], carry)
        return carry, _vocabulary_logits(params, carry.h)
    x, before = params["W_embed"][words], carry
    if config.feed_features:
        x, before = x + carry.x, carry.cell
    if isinstance(cell, Cell):
        advanced: Any = cell_step(cell, cell_params(params), before, x)
    else:
        advanced = cell.step(params, before, x)
    after, h = advanced
    carry = carry._replace(cell=after) if config.feed_features else after
    return carry, _vocabulary_logits(params, h)
