"""VGG16 up to its second hidden layer: from a picture to the 4096 features fc7, after ReLU.

Simonyan and Zisserman (2015), arXiv 1409.1556, configuration D. The course's captioners were
trained on these features. jaxcap does not ship the weights (528 MB). You give them as a safetensors
or npz file with torchvision's names (`features.0.weight`, `classifier.3.bias`, ...).

The names do not determine the preprocessing, which differs between the two common sets of weights:

- `TORCHVISION`: weights trained by torchvision (`vgg16-397923af`). RGB, bytes over 255, minus
  ImageNet's mean, over its deviation; bilinear, the middle 224 of a shorter side of 256.
- `CAFFE`: the authors' weights, converted from Caffe to torchvision's names (`vgg16-00b39a1b`).
  BGR, bytes minus the mean; bilinear, the whole picture squeezed to 224. The course's features are
  older than torchvision's weights and so come from these; how the course resized its pictures is
  not recorded.

Layout is NHWC. PyTorch's is NCHW, so kernels are transposed on loading. The kernel of fc6 takes the
last grid flattened with channels first, so its rows are reordered to NHWC.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcap.files import AnyPath
from jaxcap.files.tensors import read_tensors
from jaxcap.vision.preprocessing import Preprocessing

Params = Mapping[str, Float[Array, "..."]]
Images = Float[Array, "N S S 3"]

FEATURE_DIM = 4096
# Widths of the convolutions between poolings.
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
TORCHVISION = Preprocessing(
    size=224,
    fit="crop",
    crop_share=224 / 256,
    filter="bilinear",
    channels="RGB",
    mean=(123.675, 116.28, 103.53),
    scale=(58.395, 57.12, 57.375),
)
CAFFE = Preprocessing(
    size=224,
    fit="squeeze",
    filter="bilinear",
    channels="BGR",
    mean=(103.939, 116.779, 123.68),
    scale=(1.0, 1.0, 1.0),
)

_HIDDEN = ("classifier.0", "classifier.3")


def convolution_names(stages: Sequence[Sequence[int]] = STAGES) -> list[list[str]]:
    """Name the convolutions, stage by stage; torchvision counts the ReLUs and poolings too."""
    names, index = [], 0
    for stage in stages:
        names.append([f"features.{index + 2 * place}" for place in range(len(stage))])
        index += 2 * len(stage) + 1
    return names


def file_shapes(
    stages: Sequence[Sequence[int]] = STAGES, hidden: int = FEATURE_DIM, size: int = 224
) -> dict[str, tuple[int, ...]]:
    """List the tensors that a weights file must contain, with PyTorch's shapes.

    Args:
        stages: widths of the convolutions.
        hidden: width of fc6 and fc7.
        size: height and width of the pictures.
    """
    shapes, width_in = {}, 3
    for names, widths in zip(convolution_names(stages), stages, strict=True):
        for name, width in zip(names, widths, strict=True):
            shapes[f"{name}.weight"] = (width, width_in, 3, 3)
            shapes[f"{name}.bias"] = (width,)
            width_in = width
    width_in *= (size >> len(stages)) ** 2
    for name in _HIDDEN:
        shapes[f"{name}.weight"] = (hidden, width_in)
        shapes[f"{name}.bias"] = (hidden,)
        width_in = hidden
    return shapes


def load_params(path: AnyPath) -> dict[str, Float[Array, "..."]]:
    """Load weights from a file with torchvision's names.

    Raises:
        ValueError: a tensor is missing or has another shape; the message names it.
        OSError: the file is broken.
    """
    return from_torchvision(read_tensors(path, file_shapes()))


def from_torchvision(
    tensors: Mapping[str, Float[np.ndarray, "..."]],
) -> dict[str, Float[Array, "..."]]:
    """Convert PyTorch's tensors to this module's layout, under the same names.

    Args:
        tensors: kernels (O, I, 3, 3), matrices (O, I) and biases, as `file_shapes` lists them.

    Returns:
        Kernels (3, 3, I, O), matrices (I, O) and biases.
    """
    convolutions = [name for name in tensors if tensors[name].ndim == 4]
    channels = len(tensors[convolutions[-1]])
    params = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 4:
            tensor = tensor.transpose(2, 3, 1, 0)
        elif name == f"{_HIDDEN[0]}.weight":
            side = round((tensor.shape[1] / channels) ** 0.5)
            grid = tensor.reshape(-1, channels, side, side)
            tensor = grid.transpose(2, 3, 1, 0).reshape(tensor.shape[1], -1)
        elif tensor.ndim == 2:
            tensor = tensor.T
        params[name] = jnp.asarray(tensor)
    return params


@partial(jax.jit, static_argnames="stages")
def fc7(
    params: Params, images: Float[Array, "N S S 3"], stages: Sequence[Sequence[int]] = STAGES
) -> Float[Array, "N H"]:
    """Encode pictures.

    Args:
        params: the parameters, from `from_torchvision`.
        images: normalised pictures, from `TORCHVISION` or `CAFFE`.
        stages: widths of the convolutions, as tuples.

    Returns:
        (N, 4096), the second hidden layer after its ReLU.
    """
    x = images
    for names in convolution_names(stages):
        for name in names:
            x = lax.conv_general_dilated(
                x,
                params[f"{name}.weight"],
                window_strides=(1, 1),
                padding="SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + params[f"{name}.bias"][None, None, None])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(len(x), -1)
    for name in _HIDDEN:
        x = jax.nn.relu(x @ params[f"{name}.weight"] + params[f"{name}.bias"][None])
    return x
