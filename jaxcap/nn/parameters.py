"""The parameters of a captioner: drawn, and taken by the part that they serve."""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcap.nn.attention import AttentionParams
from jaxcap.nn.cells import WEIGHTS, Cell, CellParams
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.products import product
from jaxcap.nn.top_down import TopDownWeights

Params = dict[str, Array]
"""Arrays under the notebook's names, with the shapes of `CaptionerConfig.parameter_shapes`."""


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


def attention_params(params: Params) -> AttentionParams:
    """Take the weights that attend at each step."""
    return AttentionParams(
        params["W_query"],
        params["W_score"][:, 0],
        params["W_gate"],
        params["b_gate"],
        params["W_context"],
    )


def top_down_weights(params: Params) -> TopDownWeights:
    """Take the weights of both cells of top-down attention at each step."""
    others = {name: params[name] for name in TopDownWeights._fields if name != "w_score"}
    return TopDownWeights(w_score=params["W_score"][:, 0], **others)
