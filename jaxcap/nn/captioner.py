"""The captioner: image features and words in, logits of the next word out.

    h0 = features @ W_proj + b_proj                      (N, H)
    x  = W_embed[words]                                  (N, T, W)
    h  = rnn or lstm(x, h0; Wx, Wh, b)                   (N, T, H)
    logits = h @ W_vocab + b_vocab                       (N, T, V)

With `init_cell` the LSTM's cell state starts from the features as well, as
`c0 = features @ W_cell + b_cell` (Xu et al. 2015, section 3.1.2); it starts from zero elsewhere.
With `feed_features` every word vector has `features @ W_feed` added to it, so that the image is
seen at every step (Mao et al. 2015, arXiv 1412.6632). In place of the two built-in cells any Flax
Linen cell can stand; see `jaxcap.nn.linen`.

Axes: N captions, T steps, D features, W word vector, H hidden, V words. Parameters are a flat
dictionary under the notebook's names, with the shapes and the initial scales of its course code,
so that a model trained there loads here and the other way round.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PyTree

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image, as_image
from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.linen import LinenCell, find_cell
from jaxcap.nn.loss import CaptionLoss, temporal_softmax_loss
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import product
from jaxcap.nn.recurrent import (
    CellParams,
    LSTMCarry,
    RNNCarry,
    input_products,
    lstm_of_products,
    lstm_step,
    rnn_of_products,
    rnn_step,
)
from jaxcap.nn.regularisation import Rate, Regularisation, drop

Params = dict[str, Array]
CellCarry = RNNCarry | LSTMCarry | PyTree


class FedCarry(NamedTuple):
    """The carry of a captioner that sees the image at every step."""

    cell: CellCarry
    x: Float[Array, "N W"]
    """What is added to each word vector."""


Carry = CellCarry | FedCarry
CELLS = ("lstm", "rnn")
"""The built-in cells."""


@dataclass(frozen=True)
class CaptionerConfig:
    """Shape of a captioner; hashable, so that it can be static under `jit`.

    Attributes:
        vocab_size: number of words, V.
        feature_dim: length of an image's feature vector, D.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.
        cell: "lstm", "rnn", or the import path of a Flax Linen cell.
        init_cell: start the LSTM's cell state from the features too.
        feed_features: add the features, projected, to every word vector.
        dropout: share of the features, of the word vectors and of the hidden states before the
            last layer that is dropped in training.

    Raises:
        ValueError: a size below 1, `init_cell` for another cell than "lstm", or a dropout outside
            [0, 1).
        CellError: there is no such cell, or a captioner cannot use it.
    """

    vocab_size: int
    feature_dim: int
    wordvec_dim: int = 256
    hidden_dim: int = 512
    cell: str = "lstm"
    init_cell: bool = False
    dropout: float = 0.0
    feed_features: bool = False

    def __post_init__(self):
        for name in ("vocab_size", "feature_dim", "wordvec_dim", "hidden_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.cell not in CELLS:
            find_cell(self.cell, self.wordvec_dim, self.hidden_dim)
        if self.init_cell and self.cell != "lstm":
            raise ValueError(f"init_cell needs the cell lstm, got {self.cell}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")

    @property
    def linen_cell(self) -> LinenCell | None:
        """The cell, if it is not built in."""
        if self.cell in CELLS:
            return None
        return find_cell(self.cell, self.wordvec_dim, self.hidden_dim)

    @property
    def has_word_table(self) -> bool:
        """Whether the input product depends on the word alone; see `word_table`."""
        return self.linen_cell is None and not self.feed_features

    @property
    def regularisation(self) -> Regularisation:
        """Of a loss that is told no other."""
        return Regularisation(dropout=self.dropout or None)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by its name."""
        D, W, H, V = self.feature_dim, self.wordvec_dim, self.hidden_dim, self.vocab_size
        G = 4 * H if self.cell == "lstm" else H
        first: dict[str, tuple[int, ...]] = {"W_cell": (D, H), "b_cell": (H,)}
        cell: dict[str, tuple[int, ...]] = {"Wx": (W, G), "Wh": (H, G), "b": (G,)}
        if self.linen_cell is not None:
            cell = self.linen_cell.shapes
        return {
            "W_proj": (D, H),
            "b_proj": (H,),
            **(first if self.init_cell else {}),
            **({"W_feed": (D, W)} if self.feed_features else {}),
            "W_embed": (V, W),
            **cell,
            "W_vocab": (H, V),
            "b_vocab": (V,),
        }


def _initializer(name: str) -> nn.initializers.Initializer:
    """Course scales: biases zero, word vectors 1/100, weights 1/sqrt(fan in), all normal.

    What is added to word vectors starts small, as they do.
    """
    if name.startswith("b"):
        return nn.initializers.zeros
    if name == "W_embed":
        return nn.initializers.normal(0.01)
    scale = 0.01 if name == "W_feed" else 1.0
    return nn.initializers.variance_scaling(scale, "fan_in", "normal")


def init_params(key: Array, config: CaptionerConfig, dtype: DTypeLike = jnp.float32) -> Params:
    """Draw initial parameters: biases zero, embedding N(0, 1e-4), weights N(0, 1/fan in).

    Those of a cell that is not built in are drawn as that cell draws them.

    Args:
        key: a `jax.random` key.
        config: shape of the captioner.
        dtype: of all parameters.

    Returns:
        Parameters by the notebook's names, with the shapes of `config.parameter_shapes()`.
    """
    cell, shapes = config.linen_cell, config.parameter_shapes()
    if cell is not None:
        shapes = {name: shape for name, shape in shapes.items() if name not in cell.shapes}
    keys = jax.random.split(key, len(shapes))
    params = {
        name: _initializer(name)(key, shape, dtype)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    if cell is not None:
        params |= cell.init(jax.random.fold_in(key, len(shapes)), dtype)
    return params


def _cell_params(params: Params) -> CellParams:
    return CellParams(params["Wx"], params["Wh"], params["b"])


def _hidden_states(
    params: Params,
    config: CaptionerConfig,
    image: Image,
    words: Int[Array, "T N"],
    key: Array | None = None,
    dropout: Rate | None = None,
    plan: ComputePlan = ComputePlan(),
) -> Float[Array, "T N H"]:
    """Hidden state after each word, time first; dropout where there are a key and a rate."""
    parts = 4 if config.feed_features else 3
    keys = (None,) * parts if key is None else jax.random.split(key, parts)
    features = image.pooled
    first = _cell_start(params, config, drop(keys[0], features, dropout))
    feed = None
    if config.feed_features:
        feed = drop(keys[3], features, dropout) @ params["W_feed"]
    dropped = key is not None and dropout is not None
    if config.linen_cell is None and not dropped and plan.looks_up(words.size, config.vocab_size):
        unroll, inputs = _unroll_by_table(params, feed), words
    else:
        x = drop(keys[1], params["W_embed"][words], dropout)
        unroll, inputs = _unroll_vectors(params, config), x if feed is None else x + feed[None]
    h = _in_segments(unroll, first, inputs) if plan.remat else unroll(first, inputs)[1]
    return drop(keys[2], h, dropout)


Unroll = Callable[[CellCarry, Array], tuple[CellCarry, Float[Array, "T N H"]]]
"""From a carry and the inputs of T steps, (T, N, ...), to the next carry and the hidden states."""


def _unroll_vectors(params: Params, config: CaptionerConfig) -> Unroll:
    """Of word vectors (T, N, W)."""
    if config.linen_cell is not None:
        return partial(config.linen_cell.unroll, params)

    def unroll(carry: CellCarry, x: Array) -> tuple[CellCarry, Array]:
        return _run_built_in(params, carry, input_products(_cell_params(params), x))

    return unroll


def _unroll_by_table(params: Params, feed: Float[Array, "N W"] | None) -> Unroll:
    """Of words (T, N), each word of the vocabulary being multiplied by Wx once and then looked up.

    It pays where more words are read than there are: the gradients, too, are summed for each word
    before their products.
    """
    table = word_table(params)
    fed = None if feed is None else product(feed, params["Wx"])

    def unroll(carry: CellCarry, words: Array) -> tuple[CellCarry, Array]:
        xWx = table[words] if fed is None else table[words] + fed[None]
        return _run_built_in(params, carry, xWx)

    return unroll


def word_table(params: Params) -> Float[Array, "V G"]:
    """The input product of every word with the bias, `W_embed @ Wx + b`, of a built-in cell."""
    return product(params["W_embed"], params["Wx"]) + params["b"][None]


def _run_built_in(
    params: Params, carry: CellCarry, xWx: Float[Array, "T N G"]
) -> tuple[CellCarry, Float[Array, "T N H"]]:
    if isinstance(carry, LSTMCarry):
        return lstm_of_products(params["Wh"], xWx, carry)
    return rnn_of_products(params["Wh"], xWx, carry)


def _in_segments(unroll: Unroll, carry: CellCarry, inputs: Array) -> Float[Array, "T N H"]:
    """Unroll segments of about sqrt(T) steps, of which the backward pass keeps the carries alone.

    It runs each segment forward once more (Chen et al. 2016, arXiv 1604.06174).
    """
    steps = len(inputs)
    length = math.isqrt(max(steps - 1, 0)) + 1
    count = -(-steps // length)
    padding = [(0, count * length - steps)] + [(0, 0)] * (inputs.ndim - 1)
    segments = jnp.pad(inputs, padding).reshape(count, length, *inputs.shape[1:])
    _, h = lax.scan(jax.checkpoint(unroll, prevent_cse=False), carry, segments)
    return h.reshape(count * length, *h.shape[2:])[:steps]


def _vocabulary_logits(params: Params, h: Float[Array, "*B H"]) -> Float[Array, "*B V"]:
    return product(h, params["W_vocab"]) + params["b_vocab"].reshape((1,) * (h.ndim - 1) + (-1,))


def logits(
    params: Params,
    config: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    words: Int[Array, "N T"],
    key: Array | None = None,
) -> Float[Array, "N T V"]:
    """Logits of the word after each of `words`, which are the caption so far from `<START>` on.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        image: one image for each caption, of the dtype of the parameters; or its pooled features.
        words: word ids in [0, V).
        key: a `jax.random` key turns the dropout of `config` on; None is inference.
    """
    dropout = config.regularisation.dropout
    h = _hidden_states(params, config, as_image(image), words.T, key, dropout)
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
    """Loss of each caption's words given its image and the words before them.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        batch: images of the dtype of the parameters; captions, word ids in [0, V), `<START> ...
            <END>` filled up with `<NULL>`, 0: all but the last column are read, all but the first
            are predicted, and padding adds neither loss nor gradient; and weights of the captions.
        key: a `jax.random` key turns dropout on; None is inference.
        regularisation: dropout and label smoothing; if left out the dropout of `config` alone.
        plan: how to compute.

    Raises:
        ValueError: the batch has weights and `plan` a block.
    """
    if regularisation is None:
        regularisation = config.regularisation
    captions = batch.captions.T
    words, targets = captions[:-1], captions[1:]
    h = _hidden_states(params, config, batch.image, words, key, regularisation.dropout, plan)
    # As rows, since XLA transposes the operands of a product over time and batch together.
    rows, targets = h.reshape(-1, config.hidden_dim), targets.ravel()
    mask, num = targets != 0, len(batch.captions)
    smoothing = regularisation.label_smoothing
    if plan.block is not None:
        if batch.weights is not None:
            raise ValueError("a loss by blocks has no weights: leave out weights or block")
        W, b = params["W_vocab"], params["b_vocab"]
        return blockwise_softmax_loss(rows, W, b, targets, mask, num, smoothing, block=plan.block)
    logits = _vocabulary_logits(params, rows)
    weights = None if batch.weights is None else jnp.tile(batch.weights, len(words))
    return temporal_softmax_loss(logits, targets, mask, num, smoothing, weights)


def start(params: Params, config: CaptionerConfig, image: Image | Float[Array, "N D"]) -> Carry:
    """The carry before the first word: h0 from the features; c0 from them or zero."""
    features = as_image(image).pooled
    cell = _cell_start(params, config, features)
    return FedCarry(cell, features @ params["W_feed"]) if config.feed_features else cell


def _cell_start(params: Params, config: CaptionerConfig, features: Array) -> CellCarry:
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    if config.linen_cell is not None:
        return config.linen_cell.start(h0)
    if config.cell == "rnn":
        return RNNCarry(h0)
    if config.init_cell:
        return LSTMCarry(h0, features @ params["W_cell"] + params["b_cell"][None])
    return LSTMCarry(h0, jnp.zeros_like(h0))


def step(
    params: Params,
    config: CaptionerConfig,
    carry: Carry,
    words: Int[Array, " N"],
    table: Float[Array, "V G"] | None = None,
) -> tuple[Carry, Float[Array, "N V"]]:
    """Read one word of each caption and give the logits of the next.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        carry: from `start` or the last step.
        words: word ids in [0, V).
        table: from `word_table`, for a captioner with `config.has_word_table`: its rows are looked
            up in place of a product with each word vector.
    """
    if table is not None:
        h = _looked_up_step(params, carry, table[words])
        return h, _vocabulary_logits(params, h.h)
    x = params["W_embed"][words]
    if isinstance(carry, FedCarry):
        cell, h = _cell_step(params, config, carry.cell, x + carry.x)
        return carry._replace(cell=cell), _vocabulary_logits(params, h)
    carry, h = _cell_step(params, config, carry, x)
    return carry, _vocabulary_logits(params, h)


def _looked_up_step(params: Params, carry: CellCarry, xWx: Float[Array, "N G"]) -> CellCarry:
    a = xWx + carry.h @ params["Wh"]
    if isinstance(carry, RNNCarry):
        return RNNCarry(jnp.tanh(a))
    i, f, o, g = jnp.split(a, 4, axis=1)
    c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return LSTMCarry(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def _cell_step(
    params: Params, config: CaptionerConfig, carry: CellCarry, x: Float[Array, "N W"]
) -> tuple[CellCarry, Float[Array, "N H"]]:
    if config.linen_cell is not None:
        return config.linen_cell.step(params, carry, x)
    if isinstance(carry, LSTMCarry):
        return lstm_step(_cell_params(params), carry, x)
    return rnn_step(_cell_params(params), carry, x)


class Captioner(nn.Module):
    """The captioner as a Flax Linen module: it declares the parameters, the functions above act.

    `init(key, features, words)` and `apply(variables, features, words)` give logits (N, T, V);
    `variables["params"]` is the flat dictionary that the functions take.
    """

    config: CaptionerConfig
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "N D"], words: Int[Array, "N T"]
    ) -> Float[Array, "N T V"]:
        cell = self.config.linen_cell
        own = {} if cell is None else {name: cell.initializer(name) for name in cell.shapes}
        params = {
            name: self.param(name, own.get(name) or _initializer(name), shape, self.param_dtype)
            for name, shape in self.config.parameter_shapes().items()
        }
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        return logits(params, self.config, features, words, key)
