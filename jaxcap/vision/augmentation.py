"""Views of pictures for training: mirrored and cropped, as a key says."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, UInt8


@partial(jax.jit, static_argnames="size")
def mirror_and_crop(
    pictures: UInt8[Array, "N S S 3"], key: Array, size: int
) -> UInt8[Array, "N T T 3"]:
    """Take a square of each picture from anywhere in it, mirrored half of the time.

    Args:
        pictures: the pictures.
        key: a `jax.random` key; each picture is drawn for by its own.
        size: height and width of the views, T.

    Raises:
        ValueError: the pictures are smaller.
    """
    height, width = pictures.shape[1:3]
    if size > min(height, width):
        raise ValueError(f"`size` is {size}, above that of the pictures, {height} x {width}")

    # One picture at a time: a crop is then a copy of rows, where a batch of them would be a gather.
    def view(one: tuple[Array, Array]) -> Array:
        picture, key = one
        place, side = jax.random.split(key)
        room = jnp.array([height - size + 1, width - size + 1])
        row, column = jax.random.randint(place, (2,), 0, room)
        cropped = lax.dynamic_slice(picture, (row, column, 0), (size, size, 3))
        return jnp.where(jax.random.bernoulli(side), cropped[:, ::-1], cropped)

    return lax.map(view, (pictures, jax.random.split(key, len(pictures))))
