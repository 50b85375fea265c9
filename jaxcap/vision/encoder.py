"""One interface to all networks: from pictures to features, with a record of how they were made.

A captioner that gives every picture the same caption usually gets features made differently from
those of its training. So `Encoder.describe` is stored with features and checkpoints, and
`check_same_encoder` compares the two before anything is computed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxcap.files import AnyPath
from jaxcap.vision.eye import Encoded, Eye, Params
from jaxcap.vision.images import RGB
from jaxcap.vision.networks import DEFAULT, NETWORKS, load_eye, split_weights
from jaxcap.vision.preprocessing import Preprocessing

Prepared = UInt8[np.ndarray, "..."]
"""Bytes of a picture, resized for the networks of an encoder."""

DEFAULT_ENCODER = DEFAULT
ENCODERS = tuple(NETWORKS)
"""Names of encoders; with + between two or more, an encoder of several networks."""


_NESTED = ("preprocessing", "networks")


class Features(NamedTuple):
    """Features of N pictures, in host memory.

    Attributes:
        pooled: (N, D) float32, one vector a picture.
        grid: (N, L, C) float32, one vector a grid cell, row by row; None unless requested.
    """

    pooled: Float[np.ndarray, "N D"]
    grid: Float[np.ndarray, "N L C"] | None = None


@dataclass(frozen=True)
class Encoder:
    """One network, or several beside each other whose features are concatenated.

    Attributes:
        eyes: the networks, with their weights and preprocessing.
    """

    eyes: tuple[Eye, ...]

    def __post_init__(self):
        cells = {eye.name: eye.widths.cells for eye in self.eyes}
        if len(set(cells.values())) > 1:
            found = " and ".join(f"{num} of {name}" for name, num in cells.items())
            raise ValueError(
                f"`encoder={self.name}` has grids of {found} cells; networks beside each other "
                "need equal grids, or none"
            )

    @property
    def name(self) -> str:
        """Names of the networks, with + between them."""
        return "+".join(eye.name for eye in self.eyes)

    @property
    def feature_dim(self) -> int:
        """Width D of the features."""
        return sum(eye.widths.pooled for eye in self.eyes)

    @property
    def grid_dim(self) -> int:
        """Width C of a grid cell, 0 without a grid."""
        return sum(eye.widths.grid for eye in self.eyes)

    @property
    def grid_cells(self) -> int:
        """Cells L of the spatial grid, 0 without a grid."""
        return self.eyes[0].widths.cells

    def describe(self) -> dict[str, Any]:
        """Describe what the features depend on, in plain JSON, to store with them."""
        eyes = [eye.describe() for eye in self.eyes]
        return eyes[0] if len(eyes) == 1 else {"name": self.name, "networks": eyes}

    def prepare(self, image: RGB) -> Prepared:
        """Resize a picture for `encode_prepared`.

        Returns:
            (S, S, 3) uint8; with several networks the bytes of each size, one after the other.

        Raises:
            ValueError: the picture is not (H, W, 3) uint8.
        """
        resized = [eye.preprocessing.resize(image) for eye in self.eyes]
        return resized[0] if len(resized) == 1 else np.concatenate([x.ravel() for x in resized])

    def encode(
        self, images: Sequence[RGB], *, grid: bool = False, batch_size: int = 32
    ) -> Features:
        """Encode pictures of any sizes.

        Args:
            images: pictures, each (H, W, 3) uint8.
            grid: also return the spatial grid.
            batch_size: pictures on the device at a time.

        Returns:
            `Features(pooled (N, D), grid (N, L, C) or None)`.

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
        self, images: UInt8[np.ndarray, "N ..."], *, grid: bool = False, batch_size: int = 32
    ) -> Features:
        """Encode one batch of pictures from `prepare`.

        A batch is padded to `batch_size`, except a single picture, so only two shapes are compiled.

        Args:
            images: what `prepare` made of N pictures, N from 1 to `batch_size`.
            grid: also return the spatial grid.
            batch_size: size to which a batch is padded.

        Returns:
            `Features(pooled (N, D), grid (N, L, C) or None)`.
        """
        num = len(images)
        if 1 < num < batch_size:
            images = np.pad(images, ((0, batch_size - num), *[(0, 0)] * (images.ndim - 1)))
        params = tuple(eye.params for eye in self.eyes)
        steps = tuple((eye.preprocessing, eye.network) for eye in self.eyes)
        pooled, cells = _encode(params, jnp.asarray(images), steps)
        # The grid stays on the device unless requested. Copies, since a view would keep the rows of
        # padding alive.
        pooled = np.asarray(pooled)[:num].copy()
        if cells is None or not grid:
            return Features(pooled)
        return Features(pooled, np.asarray(cells)[:num].copy())


@partial(jax.jit, static_argnames="steps")
def _encode(
    params: tuple[Params, ...],
    images: UInt8[Array, "N ..."],
    steps: tuple[tuple[Preprocessing, Callable[..., Encoded]], ...],
) -> Encoded:
    found, start = [], 0
    for own, (preprocessing, network) in zip(params, steps, strict=True):
        shape = (preprocessing.size, preprocessing.size, 3)
        flat = images.reshape(len(images), -1)[:, start : start + math.prod(shape)]
        pixels = preprocessing.normalise(flat.reshape(-1, *shape))
        found.append(network(own, pixels))
        start += math.prod(shape)
    if len(found) == 1:
        return found[0]
    grids = [encoded.grid for encoded in found if encoded.grid is not None]
    pooled = jnp.concatenate([encoded.pooled for encoded in found], axis=-1)
    return Encoded(pooled, jnp.concatenate(grids, axis=-1) if grids else None)


def check_name(name: str) -> None:
    """Raise a ValueError if there is no encoder of that name."""
    for part in name.split("+"):
        if part not in NETWORKS:
            raise ValueError(
                f"there is no encoder {part!r}; the encoders are {', '.join(ENCODERS)}, or several "
                "with + between them"
            )


def without_grid(name: str) -> str:
    """Say that an encoder has no grid, for the message of an error."""
    return f"{name} has no spatial grid; use {DEFAULT_ENCODER} or {DEFAULT_ENCODER}-288 for one"


def check_grid_of(name: str) -> None:
    """Raise a ValueError if the encoder of that name has no grid, before it is loaded."""
    check_name(name)
    if not all(NETWORKS[part].has_grid for part in name.split("+")):
        raise ValueError(f"`encoder` {without_grid(name)}")


def load_encoder(
    name: str = DEFAULT_ENCODER, weights: AnyPath | Mapping[str, AnyPath] | None = None
) -> Encoder:
    """Load an encoder.

    Args:
        name: "efficientnet-lite0", with weights shipped with jaxcap; "efficientnet-lite0-288",
            the same on larger pictures; "efficientnet-lite2"; "clip" for OpenAI's image towers and
            "clip-gelu" for those trained on LAION; "resnet50" or "resnet101"; "vgg16" for
            torchvision's weights; or "vgg16-caffe" for the authors' weights, which the course used.
            "a+b" has the features of both.
        weights: a safetensors or npz file, required where none ships; for several networks also
            `NAME=FILE,NAME=FILE` or files by name.

    Raises:
        ValueError: there is no encoder of that name, weights are needed and not given, the file
            lacks what the network needs, or the grids of two networks differ.
        OSError: the file is missing or broken.
    """
    check_name(name)
    names = name.split("+")
    files = split_weights(names, weights)
    return Encoder(tuple(load_eye(part, files.get(part)) for part in names))


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


def _flat(description: Mapping[str, Any], lead: str = "") -> dict[str, Any]:
    """Flatten a description; what is of one of several networks has its name in front."""
    rest = {f"{lead}{key}": value for key, value in description.items() if key not in _NESTED}
    of_pixels = description.get("preprocessing", {}).items()
    flat = {**rest, **{f"{lead}{key}": value for key, value in of_pixels}}
    for network in description.get("networks", ()):
        flat |= _flat(network, f"{network.get('name')} ")
    return flat


def _show(description: Mapping[str, Any], differing: Sequence[str] = ()) -> str:
    """Show an encoder, with the parts of its preprocessing in `differing`."""
    values, networks = _flat(description), description.get("networks") or (description,)
    names = [
        f"{one.get('name', 'an unnamed encoder')} version {one.get('version', 'unknown')}"
        for one in networks
    ]
    name = " + ".join(names)
    shown = [key for key in differing if key in values and not key.endswith(("name", "version"))]
    parts = [f"{key} {values[key]}" for key in shown]
    return f"{name} ({', '.join(parts)})" if parts else name
