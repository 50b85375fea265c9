"""The captioner as a Flax Linen module, which declares parameters and calls pure functions."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from jaxcap.data.image import Image
from jaxcap.nn.captioner import logits
from jaxcap.nn.cells import Cell
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import initializer


class CaptionerModule(nn.Module):
    """`jaxcap.nn.captioner.logits` as a module.

    `init(key, image, words)` draws parameters. `apply(variables, image, words)` returns logits
    (N, T, V), with dropout given an rng "dropout". `variables["params"]` is the flat dictionary
    that the functions of `jaxcap.nn.captioner` take.

    Attributes:
        config: shape of the captioner.
        param_dtype: dtype of the parameters.
    """

    config: CaptionerConfig
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, image: Image | Float[Array, "N D"], words: Int[Array, "N T"]
    ) -> Float[Array, "N T V"]:
        cell = self.config.found_cell
        own = {}
        if not isinstance(cell, Cell):
            own = {name: cell.initializer(name) for name in cell.shapes}
        params = {
            name: self.param(name, own.get(name) or initializer(name), shape, self.param_dtype)
            for name, shape in self.config.parameter_shapes().items()
        }
        key = self.make_rng("dropout") if self.has_rng("dropout") else None
        return logits(params, self.config, image, words, key)
