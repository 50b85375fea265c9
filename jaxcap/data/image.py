"""Images as a captioner sees them: the arrays that an encoder makes of their pixels."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int


class Image(NamedTuple):
    """What is known of N images; a pytree, whose arrays all have the images first."""

    pooled: Float[Array, "N D"]
    """One feature vector for each."""

    @property
    def num(self) -> int:
        """N. `len` counts the fields, as of any tuple."""
        return len(self.pooled)

    def at(self, rows: Int[ArrayLike, " M"]) -> "Image":
        """Take the images `rows`, in that order."""
        return jax.tree.map(lambda array: array[rows], self)


def as_image(features: Image | Float[Array, "N D"] | Float[np.ndarray, "N D"]) -> Image:
    """Take an `Image` as it is, and an array (N, D) as the pooled features of one."""
    return features if isinstance(features, Image) else Image(jnp.asarray(features))
