"""ResNet-50 and ResNet-101: from a picture to a grid of 2048 features and their mean.

He et al. (2016), arXiv 1512.03385, in the form of torchvision: the 3 x 3 convolutions have strides.
jaxcap ships no weights. You give them as a safetensors or npz file of the state dictionary, with
torchvision's names (`layer1.0.conv1.weight`, ...); the classifier is not read.

Preprocessing is that of torchvision's first weights (`IMAGENET1K_V1`): RGB, ImageNet's mean and
deviation; bilinear, the middle 224 of a shorter side of 256. Its second weights load as well; they
were evaluated with the middle 224 of 232.

Layout is NHWC; PyTorch's is NCHW. Batch norm is folded into kernels and biases on loading, in
double precision. Parameters are `NAME.kernel` (k, k, I, O) and `NAME.bias`, where NAME is what
torchvision calls the convolution.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcap.files import AnyPath
from jaxcap.files.tensors import read_shapes, read_tensors
from jaxcap.vision import vgg16
from jaxcap.vision.eye import Encoded, Params, Weights, Widths
from jaxcap.vision.preprocessing import Preprocessing

RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)
FEATURE_DIM = 2048
STRIDE = 32
PREPROCESSING: Preprocessing = vgg16.TORCHVISION

_EPSILON = 1e-5
_NORM = ("weight", "bias", "running_mean", "running_var")


def convolutions(blocks: Sequence[int]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """List the convolutions by name: the batch norm of each, and PyTorch's shape of its kernel.

    Args:
        blocks: number of blocks in each of the four layers.
    """
    found: dict[str, tuple[str, tuple[int, ...]]] = {"conv1": ("bn1", (64, 3, 7, 7))}
    width_in = 64
    for layer, number in enumerate(blocks, start=1):
        width = 32 << layer
        for index in range(number):
            name = f"layer{layer}.{index}"
            kernels = ((width, width_in, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1))
            for place, kernel in enumerate(kernels, start=1):
                found[f"{name}.conv{place}"] = (f"{name}.bn{place}", kernel)
            if index == 0:
                kernel = (4 * width, width_in, 1, 1)
                found[f"{name}.downsample.0"] = (f"{name}.downsample.1", kernel)
            width_in = 4 * width
    return found


def file_shapes(blocks: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """List the tensors that a weights file must contain, with PyTorch's shapes."""
    shapes = {}
    for name, (norm, kernel) in convolutions(blocks).items():
        shapes[f"{name}.weight"] = kernel
        shapes |= {f"{norm}.{part}": kernel[:1] for part in _NORM}
    return shapes


def load(path: AnyPath, blocks: Sequence[int]) -> Weights:
    """Load weights from a file with torchvision's names.

    Args:
        path: a `.safetensors` or `.npz` file.
        blocks: number of blocks in each of the four layers.

    Raises:
        ValueError: a tensor is missing or has another shape, or the file has another number of
            blocks; the message says which.
        OSError: the file is broken.
    """
    tensors = read_tensors(path, file_shapes(blocks))
    more = f"layer3.{blocks[2]}.conv1.weight"
    if more in read_shapes(path):
        raise ValueError(
            f"{path}: holds {more}, so it is of a deeper network than {sum(blocks)} blocks; give "
            "the `encoder` of these weights"
        )
    cells = (PREPROCESSING.size // STRIDE) ** 2
    return Weights(
        from_torchvision(tensors, blocks), PREPROCESSING, Widths(FEATURE_DIM, FEATURE_DIM, cells)
    )


def from_torchvision(
    tensors: Mapping[str, Float[np.ndarray, "..."]], blocks: Sequence[int]
) -> dict[str, Float[Array, "..."]]:
    """Fold each batch norm into its convolution, and convert to this module's layout."""
    params = {}
    for name, (norm, _) in convolutions(blocks).items():
        scale, bias, mean, variance = (
            tensors[f"{norm}.{part}"].astype(np.float64) for part in _NORM
        )
        factor = scale / np.sqrt(variance + _EPSILON)
        kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0) * factor
        params[f"{name}.kernel"] = jnp.asarray(kernel, jnp.float32)
        params[f"{name}.bias"] = jnp.asarray(bias - mean * factor, jnp.float32)
    return params


@jax.jit
def features(params: Params, images: Float[Array, "N S S 3"]) -> Encoded:
    """Encode pictures.

    Args:
        params: the parameters, from `from_torchvision`.
        images: normalised pictures.

    Returns:
        `Encoded(pooled (N, 2048), grid (N, ceil(S / 32)^2, 2048))`, after the last ReLU.
    """
    convolve = partial(_convolve, params)
    x = jax.nn.relu(convolve(images, "conv1", 2))
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
    for layer in range(1, 5):
        index = 0
        while f"layer{layer}.{index}.conv1.kernel" in params:
            name, stride = f"layer{layer}.{index}", 2 if layer > 1 and index == 0 else 1
            y = jax.nn.relu(convolve(x, f"{name}.conv1", 1))
            y = jax.nn.relu(convolve(y, f"{name}.conv2", stride))
            y = convolve(y, f"{name}.conv3", 1)
            if index == 0:
                x = convolve(x, f"{name}.downsample.0", stride)
            x = jax.nn.relu(x + y)
            index += 1
    grid = x.reshape(len(x), -1, x.shape[-1])
    return Encoded(grid.mean(1), grid)


def _convolve(params: Params, x: Array, name: str, stride: int) -> Array:
    kernel = params[f"{name}.kernel"]
    # PyTorch's padding: as many on both sides, whatever the stride.
    around = len(kernel) // 2
    filtered = lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(stride, stride),
        padding=((around, around), (around, around)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return filtered + params[f"{name}.bias"][None, None, None]
