"""One interface to all networks: from pictures to features, with a record of how they were made.

A captioner that gives every picture the same caption usually gets features made differently from
those of its training. So `Encoder.describe` is stored with features and checkpoints, and
`check_same_encoder` compares the two before anything is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxcap.files import AnyPath
from jaxcap.files.tensors import digest
from jaxcap.vision import efficientnet, vgg16
from jaxcap.vision.images import RGB
from jaxcap.vision.preprocessing import Preprocessing

DEFAULT_ENCODER = "efficientnet-lite0"
_LITE0 = {
    DEFAULT_ENCODER: efficientnet.PREPROCESSING,
    f"{DEFAULT_ENCODER}-288": efficientnet.PREPROCESSING_288,
}
_VGG16 = {"vgg16": vgg16.TORCHVISION, "vgg16-caffe": vgg16.CAFFE}
ENCODERS = (*_LITE0, *_VGG16)


class Features(NamedTuple):
    """Features of N pictures, in host memory.

    Attributes:
        pooled: (N, D) float32, one vector a picture.
        grid: (N, L, D) float32, one vector a grid cell, row by row; None unless requested.
    """

    pooled: Float[np.ndarray, "N D"]
    grid: Float[np.ndarray, "N L D"] | None = None


@dataclass(frozen=True)
class Encoder:
    """Network with its weights and its preprocessing.

    Attributes:
        name: one of `ENCODERS`.
        version: digest of the weights file.
        preprocessing: from pixels to the input of the network.
        feature_dim: width D of the features.
        grid_cells: cells L of the spatial grid, 0 without a grid.
        params: parameters of the network.
    """

    name: str
    version: str
    preprocessing: Preprocessing
    feature_dim: int
    grid_cells: int
    params: Mapping[str, Float[Array, "..."]] = field(repr=False, compare=False)

    def describe(self) -> dict[str, Any]:
        """Describe what the features depend on, in plain JSON, to store with them."""
        preprocessing = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self.preprocessing).items()
        }
        return {"name": self.name, "version": self.version, "preprocessing": preprocessing}

    def prepare(self, image: RGB) -> UInt8[np.ndarray, "S S 3"]:
        """Resize a picture for `encode_prepared`.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
        """
        return self.preprocessing.resize(image)

    def encode(
        self, images: Sequence[RGB], *, grid: bool = False, batch_size: int = 32
    ) -> Features:
        """Encode pictures of any sizes.

        Args:
            images: pictures, each (H, W, 3) uint8.
            grid: also return the spatial grid.
            batch_size: pictures on the device at a time.

        Returns:
            `Features(pooled (N, D), grid (N, L, D) or None)`.

        Raises:
            ValueError: there are no pictures, a picture has another shape or type, or the network
                has no grid.
        """
        if not images:
            raise ValueError("`images` is empty, expected one picture or more")
        if grid and not self.grid_cells:
            raise ValueError(without_grid(self.name))
        parts = []
        for start in range(0, len(images), batch_size):
            batch = [self.prepare(image) for image in images[start : start + batch_size]]
            parts.append(self.encode_prepared(np.stack(batch), grid=grid, batch_size=batch_size))
        pooled = np.concatenate([part.pooled for part in parts])
        grids = [part.grid for part in parts if part.grid is not None]
        return Features(pooled, np.concatenate(grids) if grids else None)

    def encode_prepared(
        self, images: UInt8[np.ndarray, "N S S 3"], *, grid: bool = False, batch_size: int = 32
    ) -> Features:
        """Encode one batch of pictures from `prepare`.

        A batch is padded to `batch_size`, except a single picture, so only two shapes are compiled.

        Args:
            images: (N, S, S, 3) uint8, N from 1 to `batch_size`.
            grid: also return the spatial grid.
            batch_size: size to which a batch is padded.

        Returns:
            `Features(pooled (N, D), grid (N, L, D) or None)`.
        """
        num = len(images)
        if 1 < num < batch_size:
            images = np.pad(images, ((0, batch_size - num), (0, 0), (0, 0), (0, 0)))
        pooled, cells = _encode(self.params, jnp.asarray(images), self.name, self.preprocessing)
        # The grid stays on the device unless requested. Copies, since a view would keep the rows of
        # padding alive.
        pooled = np.asarray(pooled)[:num].copy()
        if cells is None or not grid:
            return Features(pooled)
        return Features(pooled, np.asarray(cells)[:num].copy())


@partial(jax.jit, static_argnames=("name", "preprocessing"))
def _encode(
    params: Mapping[str, Float[Array, "..."]],
    images: UInt8[Array, "N S S 3"],
    name: str,
    preprocessing: Preprocessing,
) -> tuple[Float[Array, "N D"], Float[Array, "N L D"] | None]:
    pixels = preprocessing.normalise(images)
    if name in _VGG16:
        return vgg16.fc7(params, pixels), None
    return tuple(efficientnet.features(params, pixels))


def without_grid(name: str) -> str:
    """Say that an encoder has no grid, for the message of an error."""
    return f"{name} has no spatial grid; use {' or '.join(_LITE0)} for one"


def check_grid_of(name: str) -> None:
    """Raise a ValueError if the encoder of that name has no grid, before it is loaded."""
    if name in _VGG16:
        raise ValueError(f"`encoder` {without_grid(name)}")


def load_encoder(name: str = DEFAULT_ENCODER, weights: AnyPath | None = None) -> Encoder:
    """Load an encoder.

    Args:
        name: "efficientnet-lite0", with weights shipped with jaxcap; "efficientnet-lite0-288",
            the same on larger pictures; "vgg16" for torchvision's weights; or "vgg16-caffe" for
            the authors' weights, which the course used.
        weights: a safetensors or npz file; required for VGG16.

    Raises:
        ValueError: there is no encoder of that name, the weights file of VGG16 is not given, or
            the file lacks what the network needs.
        OSError: the file is missing or broken.
    """
    if name not in ENCODERS:
        raise ValueError(f"there is no encoder {name!r}; the encoders are {', '.join(ENCODERS)}")
    if name in _LITE0:
        path = weights or efficientnet.WEIGHTS
        params = efficientnet.load_params(path)
        preprocessing, width = _LITE0[name], efficientnet.FEATURE_DIM
        cells = efficientnet.grid_cells(preprocessing.size)
    else:
        if weights is None:
            raise ValueError(
                f"{name} needs a weights file, safetensors or npz with torchvision's names; "
                "jaxcap ships none"
            )
        path = weights
        params = vgg16.load_params(path)
        preprocessing, width, cells = _VGG16[name], vgg16.FEATURE_DIM, 0
    return Encoder(name, digest(path), preprocessing, width, cells, params)


def check_same_encoder(
    stored: Mapping[str, Any] | None, used: Mapping[str, Any], where: str
) -> None:
    """Refuse to mix features of two encoders.

    Args:
        stored: `Encoder.describe` of the encoder of the features or the checkpoint; None if
            unknown.
        used: `Encoder.describe` of the encoder in use.
        where: the file that holds `stored`, for the message.

    Raises:
        ValueError: they differ, or `stored` is unknown; the message shows both.
    """
    if stored is None:
        raise ValueError(
            f"{where}: does not say which encoder made its features, so {_show(used)} may not "
            "match; make the features again with jaxcap.prepare"
        )
    if stored != used:
        keys = sorted(set(_flat(stored)) | set(_flat(used)))
        differing = [key for key in keys if _flat(stored).get(key) != _flat(used).get(key)]
        raise ValueError(
            f"{where}: its features were made by {_show(stored, differing)}, but the encoder in "
            f"use is {_show(used, differing)}; use the same encoder and weights for both"
        )


def _flat(description: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in description.items() if key != "preprocessing"}
    return {**rest, **description.get("preprocessing", {})}


def _show(description: Mapping[str, Any], differing: Sequence[str] = ()) -> str:
    """Show an encoder, with the parts of its preprocessing in `differing`."""
    values = _flat(description)
    name = f"{values.get('name', 'an unnamed encoder')} version {values.get('version', 'unknown')}"
    parts = [f"{key} {values.get(key)}" for key in differing if key not in ("name", "version")]
    return f"{name} ({', '.join(parts)})" if parts else name
