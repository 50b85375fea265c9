"""Images as a captioner sees them: the arrays that an encoder computes from pixels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int


class Image(NamedTuple):
    """Encoded images, N of them; a pytree whose arrays have the images as first axis."""

    pooled: Float[Array, "N D"]
    """One feature vector an image."""
    grid: Float[Array, "N L C"] | None = None
    """A vector for each of L places of an image, for captioners that attend; None for none."""
    grid_mask: Bool[Array, "N L"] | None = None
    """True at the places that an image has, where grids differ in size; None if all have L."""

    @property
    def num(self) -> int:
        """Number of images N. `len` counts the fields, as for any tuple."""
        return len(self.pooled)

    def at(self, rows: Int[ArrayLike, " M"]) -> "Image":
        """Take the images `rows`, in that order."""
        return jax.tree.map(lambda array: array[rows], self)


def as_image(features: Image | Float[Array, "N D"] | Float[np.ndarray, "N D"]) -> Image:
    """Return an `Image` unchanged, and wrap an array (N, D) as the pooled features of one."""
    return features if isinstance(features, Image) else Image(jnp.asarray(features))
