"""EfficientNet-Lite for inference: from a picture to a grid of 1280 features and their mean.

Tan and Le (2019), arXiv 1905.11946, in the Lite form: no squeeze-and-excitation, ReLU6 throughout.
A block is a 1 x 1 convolution that widens, a depthwise convolution, a 1 x 1 convolution that
narrows, and a residual connection where shapes allow. Batch norm was folded into the kernels and
biases when the weights were converted. Padding is TensorFlow's SAME: at stride 2 and even sizes the
extra row and column are at the bottom and the right. `LITE0` and `LITE2` differ in depth and width.

Preprocessing (`PREPROCESSING`): RGB bytes, bicubic to 224 x 224, minus 127, over 128. The original
evaluation crops the middle 7/8 of the shorter side. Here the whole picture is squeezed to the
square, since a caption may mention things at the edge. The networks accept any size; the grid is
7 x 7 at 224 and 9 x 9 at 260, the size of Lite2. At 288, above Lite0's training size, the same
weights resolve more detail (Touvron et al. 2019, arXiv 1906.06423) and are 1.7x slower.

Layout is NHWC. Parameters are one flat dictionary, named as in the weights file:
`stem`, `blocks.K.expand`, `blocks.K.depthwise`, `blocks.K.project` and `head`, each with `.kernel`
and `.bias`; kernels are (3, 3, 3, 32), (I, O), and (k, k, C) for depthwise ones.

On the CPU a network encodes one picture at a time: its activations stay in the cache, and its
features are bit-identical whatever else is in the batch. The depthwise convolution on the CPU is a
sum of shifted products, many times faster than XLA's grouped convolution.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcap.files import AnyPath
from jaxcap.files.tensors import read_tensors
from jaxcap.vision.depthwise import depthwise
from jaxcap.vision.eye import Encoded
from jaxcap.vision.preprocessing import Preprocessing

Params = Mapping[str, Float[Array, "..."]]

STRIDE = 32
FEATURE_DIM = 1280
WEIGHTS = Path(__file__).parent / "weights" / "efficientnet_lite0.safetensors"
WEIGHTS_LITE2 = WEIGHTS.with_name("efficientnet_lite2.safetensors")
PREPROCESSING = Preprocessing(
    size=224,
    fit="squeeze",
    filter="bicubic",
    channels="RGB",
    mean=(127.0, 127.0, 127.0),
    scale=(128.0, 128.0, 128.0),
)
PREPROCESSING_260 = replace(PREPROCESSING, size=260)
PREPROCESSING_288 = replace(PREPROCESSING, size=288)

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def grid_cells(size: int) -> int:
    """Return the number of grid cells for pictures of `size` by `size` pixels."""
    return (-(-size // STRIDE)) ** 2


class Block(NamedTuple):
    """Inverted bottleneck."""

    kernel: int
    stride: int
    expand: int
    width_in: int
    width_out: int

    @property
    def width(self) -> int:
        return self.width_in * self.expand


class Stage(NamedTuple):
    """Blocks of one width; `stride` is that of the first."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    width: int


class Network(NamedTuple):
    """Widths and depths of a network; hashable, static under `jit`.

    Attributes:
        stem: width of the first convolution.
        stages: the blocks.
        head: width of the last convolution, that of the features.
    """

    stem: int
    stages: tuple[Stage, ...]
    head: int

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of all stages, in order."""
        blocks, width_in = [], self.stem
        for stage in self.stages:
            for index in range(stage.repeats):
                stride = 1 if index else stage.stride
                blocks.append(Block(stage.kernel, stride, stage.expand, width_in, stage.width))
                width_in = stage.width
        return tuple(blocks)


def _network(repeats: Sequence[int], widths: Sequence[int]) -> Network:
    kernels, strides, expansions = (3, 3, 5, 3, 5, 5, 3), (1, 2, 2, 2, 1, 2, 1), (1, *(6,) * 6)
    stages = zip(repeats, kernels, strides, expansions, widths, strict=True)
    return Network(32, tuple(Stage(*stage) for stage in stages), FEATURE_DIM)


LITE0 = _network((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320))
LITE2 = _network((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352))


def parameter_shapes(network: Network = LITE0) -> dict[str, tuple[int, ...]]:
    """List the network's parameters, in order, with their shapes."""
    kernels: dict[str, tuple[int, ...]] = {"stem": (3, 3, 3, network.stem)}
    for index, block in enumerate(network.blocks):
        if block.expand > 1:
            kernels[f"blocks.{index}.expand"] = (block.width_in, block.width)
        kernels[f"blocks.{index}.depthwise"] = (block.kernel, block.kernel, block.width)
        kernels[f"blocks.{index}.project"] = (block.width, block.width_out)
    kernels["head"] = (network.blocks[-1].width_out, network.head)
    shapes = {}
    for name, shape in kernels.items():
        shapes[f"{name}.kernel"] = shape
        shapes[f"{name}.bias"] = shape[-1:]
    return shapes


def load_params(
    path: AnyPath = WEIGHTS, network: Network = LITE0
) -> dict[str, Float[Array, "..."]]:
    """Load the weights of a network from a file of jaxcap's layout, as float32.

    Raises:
        ValueError: as `jaxcap.files.tensors.read_tensors`.
        OSError: as `jaxcap.files.tensors.read_tensors`.
    """
    tensors = read_tensors(path, parameter_shapes(network))
    return {name: jnp.asarray(tensor) for name, tensor in tensors.items()}


@partial(jax.jit, static_argnames="network")
def features(params: Params, images: Float[Array, "N S S 3"], network: Network = LITE0) -> Encoded:
    """Encode pictures.

    Args:
        params: the parameters, float32, as `parameter_shapes` lists them.
        images: normalised pictures, from `PREPROCESSING` or of another size S.
        network: its widths and depths.

    Returns:
        `Encoded(pooled (N, 1280), grid (N, ceil(S / 32)^2, 1280))`, float32.
    """
    grid = lax.platform_dependent(
        images,
        cpu=partial(_grid_one_by_one, params, network=network),
        default=partial(grid_with_xla, params, network=network),
    )
    return Encoded(grid.mean(axis=1), grid)


def grid_with_xla(
    params: Params, images: Float[Array, "N S S 3"], network: Network
) -> Float[Array, "N L 1280"]:
    """Compute the grids of pictures by XLA's own convolutions, all pictures at once."""
    return _grid(params, images, network, _depthwise_grouped)


def _grid(params: Params, images: Array, network: Network, depthwise) -> Float[Array, "N L 1280"]:
    x = lax.conv_general_dilated(
        images,
        params["stem.kernel"],
        window_strides=(2, 2),
        padding="SAME",
        dimension_numbers=_DIMENSIONS,
    )
    x = _relu6(x + _channels(params["stem.bias"]))
    for index, block in enumerate(network.blocks):
        name = f"blocks.{index}"
        y = x
        if block.expand > 1:
            y = _relu6(_pointwise(y, params, f"{name}.expand"))
        y = _relu6(depthwise(y, params, f"{name}.depthwise", block.stride))
        y = _pointwise(y, params, f"{name}.project")
        x = x + y if block.stride == 1 and block.width_in == block.width_out else y
    x = _relu6(_pointwise(x, params, "head"))
    return x.reshape(len(x), -1, network.head)


def _grid_one_by_one(params: Params, images: Array, network: Network) -> Float[Array, "N L 1280"]:
    # Without the barrier XLA unrolls a loop that runs once, and rounds differently.
    num = lax.optimization_barrier(jnp.int32(len(images)))

    def encode(index, grids):
        image = lax.dynamic_slice_in_dim(images, index, 1)
        grid = _grid(params, image, network, _depthwise_shifted)
        return lax.dynamic_update_slice_in_dim(grids, grid, index, 0)

    empty = jnp.zeros((len(images), grid_cells(images.shape[1]), network.head), images.dtype)
    return lax.fori_loop(jnp.int32(0), num, encode, empty)


def _relu6(x: Array) -> Array:
    return jnp.clip(x, 0.0, 6.0)


def _channels(bias: Array) -> Array:
    return bias[None, None, None]


def _pointwise(x: Array, params: Params, name: str) -> Array:
    """Convolve with a 1 x 1 kernel: one matmul over the channels."""
    product = jnp.einsum("nhwi,io->nhwo", x, params[f"{name}.kernel"])
    return product + _channels(params[f"{name}.bias"])


def _depthwise_grouped(x: Array, params: Params, name: str, stride: int) -> Array:
    kernel = params[f"{name}.kernel"]
    filtered = lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        window_strides=(stride, stride),
        padding="SAME",
        dimension_numbers=_DIMENSIONS,
        feature_group_count=kernel.shape[-1],
    )
    return filtered + _channels(params[f"{name}.bias"])


def _depthwise_shifted(x: Array, params: Params, name: str, stride: int) -> Array:
    return depthwise(x, params[f"{name}.kernel"], params[f"{name}.bias"], stride)
