"""EfficientNet-Lite for training: features whose gradient is fast and needs little memory.

The features are those of `jaxcap.vision.efficientnet.features`, up to rounding. Batch norm stays
folded into kernels and biases, which are trained like all parameters: nothing depends on what else
is in the batch.

On a CPU the blocks up to the last of stride 2 take one picture at a time, whose activations stay in
the cache. The rest, small pictures under large kernels, takes eight. Only the input of each block
is kept for the backward pass, which computes its other activations anew: to write and read them
costs more. Every gradient is written out: `jaxcap.vision.depthwise`, and a matmul for all else.
Elsewhere XLA's convolutions and autodiff do all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, UInt8

from jaxcap.vision.depthwise import depthwise
from jaxcap.vision.efficientnet import (
    LITE0,
    Block,
    Network,
    Params,
    grid_with_xla,
    parameter_shapes,
)
from jaxcap.vision.eye import Encoded
from jaxcap.vision.preprocessing import Preprocessing

_GROUP = 8
"""Most pictures at a time in the last blocks."""


def frozen_names(frozen: int, network: Network = LITE0) -> frozenset[str]:
    """Name the parameters of the first `frozen` blocks, and of the stem if there are any.

    Raises:
        ValueError: there are not so many blocks.
    """
    if not 0 <= frozen <= len(network.blocks):
        raise ValueError(f"`frozen` must be from 0 to {len(network.blocks)} blocks, got {frozen}")
    parts = ("stem.", *(f"blocks.{index}." for index in range(frozen))) if frozen else ()
    return frozenset(name for name in parameter_shapes(network) if name.startswith(parts))


def trainable_features(
    params: Params, images: Float[Array, "N S S 3"], network: Network = LITE0, *, frozen: int = 0
) -> Encoded:
    """Encode pictures, to be differentiated by the parameters.

    Args:
        params: the parameters, as `jaxcap.vision.efficientnet.parameter_shapes` lists them.
        images: normalised pictures.
        network: its widths and depths.
        frozen: blocks, from the first, that get no gradient; if any, the stem gets none either.

    Returns:
        `Encoded(pooled (N, 1280), grid (N, ceil(S / 32)^2, 1280))`.

    Raises:
        ValueError: there are not so many blocks.
    """
    still = frozen_names(frozen, network)
    params = {
        name: lax.stop_gradient(value) if name in still else value for name, value in params.items()
    }
    grid = lax.platform_dependent(
        params,
        images,
        cpu=partial(_grid, network=network),
        default=partial(grid_with_xla, network=network),
    )
    return Encoded(grid.mean(axis=1), grid)


def _grid(params: Params, images: Array, network: Network) -> Float[Array, "N L 1280"]:
    blocks = [(f"blocks.{index}", block) for index, block in enumerate(network.blocks)]
    split = 1 + max(index for index, block in enumerate(network.blocks) if block.stride > 1)
    group = max(size for size in range(1, _GROUP + 1) if len(images) % size == 0)
    first = [_stem, *(partial(_block, name=name, block=block) for name, block in blocks[:split])]
    last = [*(partial(_block, name=name, block=block) for name, block in blocks[split:]), _head]
    return _in_groups(last, params, _in_groups(first, params, images, 1), group)


Layer = Callable[[Array, Params], Array]


def _in_groups(layers: list[Layer], params: Params, x: Array, size: int) -> Array:
    """Apply layers to `size` pictures at a time, and keep only their inputs."""

    def apply(_: None, x: Array) -> tuple[None, Array]:
        for layer in layers:
            # In a scan nothing else could share what is computed anew.
            x = jax.checkpoint(layer, prevent_cse=False)(x, params)
        return None, x

    _, y = lax.scan(apply, None, x.reshape(len(x) // size, size, *x.shape[1:]))
    return y.reshape(len(x), *y.shape[2:])


def _stem(x: Array, params: Params) -> Array:
    """Convolve 3 x 3 at stride 2: one matmul over the pixels under the kernel."""
    kernel, size = params["stem.kernel"], x.shape[1]
    out = -(-size // 2)
    missing = 2 * out + 1 - size
    around = (missing // 2, missing - missing // 2)
    x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
    reach = 2 * out - 1
    under = [x[:, i : i + reach : 2, j : j + reach : 2] for i in range(3) for j in range(3)]
    pixels = lax.optimization_barrier(jnp.concatenate(under, axis=-1))
    kernel = kernel.reshape(-1, kernel.shape[-1])
    return _relu6(_over_channels(pixels, kernel, params["stem.bias"]))


def _block(x: Array, params: Params, *, name: str, block: Block) -> Array:
    y = x
    if block.expand > 1:
        y = _relu6(_pointwise(y, params, f"{name}.expand"))
    kernel, bias = params[f"{name}.depthwise.kernel"], params[f"{name}.depthwise.bias"]
    y = _relu6(depthwise(y, kernel, bias, block.stride))
    y = _pointwise(y, params, f"{name}.project")
    return x + y if block.stride == 1 and block.width_in == block.width_out else y


def _head(x: Array, params: Params) -> Array:
    y = _relu6(_pointwise(x, params, "head"))
    return y.reshape(len(y), -1, y.shape[-1])


def _pointwise(x: Array, params: Params, name: str) -> Array:
    return _over_channels(x, params[f"{name}.kernel"], params[f"{name}.bias"])


def _over_channels(x: Array, kernel: Array, bias: Array) -> Array:
    y = _affine(x.reshape(-1, x.shape[-1]), kernel, bias)
    return y.reshape(*x.shape[:-1], -1)


@jax.custom_vjp
def _affine(
    x: Float[Array, "P I"], kernel: Float[Array, "I O"], bias: Float[Array, " O"]
) -> Float[Array, "P O"]:
    """Compute `x @ kernel + bias`; autodiff would transpose the large factor of `dkernel`."""
    return x @ kernel + bias[None]


def _affine_fwd(x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    return _affine(x, kernel, bias), (x, kernel)


def _affine_bwd(residuals: tuple[Array, Array], dy: Array) -> tuple[Array, Array, Array]:
    x, kernel = residuals
    # Computed once, rather than within each of the three.
    dy = lax.optimization_barrier(dy)
    return dy @ kernel.T, jnp.einsum("pi,po->io", x, dy), dy.sum(0)


_affine.defvjp(_affine_fwd, _affine_bwd)


@jax.custom_vjp
def _relu6(x: Array) -> Array:
    """Clip to 0..6; the gradient needs no more than the result."""
    return jnp.clip(x, 0.0, 6.0)


def _relu6_fwd(x: Array) -> tuple[Array, Array]:
    y = _relu6(x)
    return y, y


def _relu6_bwd(y: Array, dy: Array) -> tuple[Array]:
    return (jnp.where((y > 0) & (y < 6), dy, jnp.zeros_like(dy)),)


_relu6.defvjp(_relu6_fwd, _relu6_bwd)


@dataclass(frozen=True)
class Trainable:
    """Encodes bytes by `trainable_features`; hashable, static under `jit`.

    Attributes:
        preprocessing: from bytes to the network's input.
        network: its widths and depths.
        frozen: blocks, from the first, that get no gradient; if any, the stem gets none either.
    """

    preprocessing: Preprocessing
    network: Network = LITE0
    frozen: int = 0

    @property
    def frozen_names(self) -> frozenset[str]:
        """Names of the parameters that get no gradient."""
        return frozen_names(self.frozen, self.network)

    def __call__(self, params: Params, pictures: UInt8[Array, "N S S 3"]) -> Encoded:
        """Encode pictures, to be differentiated by the parameters."""
        images = self.preprocessing.normalise(pictures)
        return trainable_features(params, images, self.network, frozen=self.frozen)
