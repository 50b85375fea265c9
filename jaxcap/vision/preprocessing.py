"""Preprocessing of pictures for a network: size, filter, channels, scale.

Captions are good only if these steps are the same in training and use. So they are one frozen
value, stored with the features and compared.
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
    """Preprocessing from pixels to the input of a network.

    `resize` works on bytes, one picture at a time; `normalise` on a batch, on the device.

    Attributes:
        size: height and width of the input.
        fit: "squeeze" resizes the whole picture to a square, so that its edges are kept; "crop"
            takes the middle square.
        crop_share: with "crop", the share of the shorter side that the square covers.
        filter: filter of Pillow, which averages over all source pixels when downscaling.
        channels: order of the colours in the input.
        mean: subtracted from the bytes, in 0 to 255, in the order of `channels`.
        scale: divisor after that, likewise.
    """

    size: int
    fit: Literal["squeeze", "crop"]
    filter: Literal["bilinear", "bicubic"]
    channels: Literal["RGB", "BGR"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    crop_share: float = 1.0

    def resize(self, image: RGB) -> UInt8[np.ndarray, "S S 3"]:
        """Resize one picture to the network's size, S = `size`.

        Args:
            image: (H, W, 3) uint8, red, green, blue.

        Raises:
            ValueError: the picture has another shape or type.
        """
        check_pixels(image)
        height, width, _ = image.shape
        box = self.box(height, width)
        if (height, width) == (self.size, self.size) and box == (0, 0, width, height):
            return image
        picture = Image.fromarray(image)
        return np.array(picture.resize((self.size, self.size), _FILTERS[self.filter], box=box))

    def box(self, height: int, width: int) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of what the network sees of a picture, in pixels."""
        if self.fit == "squeeze":
            return (0.0, 0.0, float(width), float(height))
        side = self.crop_share * min(height, width)
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)

    def normalise(self, images: UInt8[Array, "N S S 3"]) -> Float[Array, "N S S 3"]:
        """Scale a batch of resized pictures to the range and channel order of the network."""
        pixels = images.astype(jnp.float32)
        if self.channels == "BGR":
            pixels = pixels[..., ::-1]
        mean, scale = (
            jnp.asarray(values, jnp.float32)[None, None, None] for values in (self.mean, self.scale)
        )
        return (pixels - mean) / scale


def check_pixels(image: np.ndarray) -> None:
    """Refuse anything but RGB bytes, (H, W, 3) uint8.

    Raises:
        ValueError: the array has another type or shape; most often it has floats in 0..1.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"an image has type {image.dtype} and shape {image.shape}, expected uint8 of shape "
            "(H, W, 3) with values 0..255; open it with jaxcap.vision.images.open_image"
        )
