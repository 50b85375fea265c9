"""From a picture of any size to what a network was trained on: size, filter, channels, scale.

A caption is only as good as the agreement of these steps between training and use, so they are
one frozen value that is stored beside the features and compared.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jaxcap.vision.images import RGB

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become a network's input.

    `resize` works on bytes, one picture at a time; `normalise` on a batch, on the device.

    Attributes:
        size: height and width of the input.
        fit: "squeeze" brings the whole picture to a square, so that nothing at its edge is lost;
            "crop" takes the middle square of it.
        crop_share: with "crop", the share of the shorter side that the square covers.
        filter: Pillow's filter, which averages over all source pixels when it makes smaller.
        channels: the order in which the network takes the colours.
        mean: what is subtracted, in units of bytes, in the order of `channels`.
        scale: what is then divided by, likewise.
    """

    size: int
    fit: Literal["squeeze", "crop"]
    filter: Literal["bilinear", "bicubic"]
    channels: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    crop_share: float = 1.0

    def resize(self, image: RGB) -> UInt8[np.ndarray, "S S 3"]:
        """Bring one picture to the network's size, S = `size`.

        Args:
            image: (H, W, 3) uint8, red, green, blue.

        Raises:
            ValueError: the picture is not of that shape and type.
        """
        check_pixels(image)
        height, width, _ = image.shape
        box = (0.0, 0.0, float(width), float(height))
        if self.fit == "crop":
            side = self.crop_share * min(height, width)
            left, top = (width - side) / 2, (height - side) / 2
            box = (left, top, left + side, top + side)
        if (height, width) == (self.size, self.size) and box == (0, 0, width, height):
            return image
        picture = Image.fromarray(image)
        return np.array(picture.resize((self.size, self.size), _FILTERS[self.filter], box=box))

    def normalise(self, images: UInt8[Array, "N S S 3"]) -> Float[Array, "N S S 3"]:
        """Scale a batch of resized pictures to the network's range, in its order of channels."""
        pixels = images.astype(jnp.float32)
        if self.channels == "BGR":
            pixels = pixels[..., ::-1]
        mean, scale = (
            jnp.asarray(values, jnp.float32)[None, None, None] for values in (self.mean, self.scale)
        )
        return (pixels - mean) / scale


def check_pixels(image: np.ndarray) -> None:
    """Refuse what is not bytes of red, green and blue.

    Raises:
        ValueError: the array has another type or shape; the commonest fault is floats in 0..1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image has type {image.dtype} and shape {image.shape}, expected uint8 of shape "
            "(H, W, 3) with values 0..255; open it with jaxcap.vision.images.open_image"
        )
