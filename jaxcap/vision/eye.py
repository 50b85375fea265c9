"""One network with its weights and its preprocessing: what an encoder has one or several of."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from jaxcap.vision.preprocessing import Preprocessing

Params = Mapping[str, Float[Array, "..."]]


class Encoded(NamedTuple):
    """Features of N pictures, on the device.

    Attributes:
        pooled: (N, D), one vector a picture.
        grid: (N, L, C), one vector a grid cell, row by row; None of a network without a grid.
    """

    pooled: Float[Array, "N D"]
    grid: Float[Array, "N L C"] | None = None


class Widths(NamedTuple):
    """Sizes of a network's features: `pooled` D, `grid` C and `cells` L, 0 without a grid."""

    pooled: int
    grid: int = 0
    cells: int = 0


class Weights(NamedTuple):
    """What a weights file makes of a network."""

    params: Params
    preprocessing: Preprocessing
    widths: Widths


@dataclass(frozen=True)
class Eye:
    """Network with its weights and its preprocessing.

    Attributes:
        name: its name, one of `jaxcap.vision.networks.NETWORKS`.
        version: digest of the weights file.
        preprocessing: from pixels to the input of the network.
        widths: sizes of its features.
        network: `network(params, images)` encodes normalised pictures; pure, and hashable.
        params: parameters of the network.
    """

    name: str
    version: str
    preprocessing: Preprocessing
    widths: Widths
    network: Callable[..., Encoded]
    params: Params = field(repr=False, compare=False)

    def describe(self) -> dict[str, Any]:
        """Describe what the features depend on, in plain JSON."""
        preprocessing = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self.preprocessing).items()
        }
        return {"name": self.name, "version": self.version, "preprocessing": preprocessing}
