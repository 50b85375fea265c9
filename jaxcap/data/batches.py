"""Minibatches: which captions each holds, and their images gathered on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.data.dataset import Split
from jaxcap.data.image import Image

ORDERS = ("replacement", "shuffle", "buckets")

_BUCKET_BATCHES = 16


class CaptionSet(NamedTuple):
    """The arrays of a split that training reads; one pytree, all of it on the device."""

    captions: Int[Array, "M L"]
    image_idxs: Int[Array, " M"]
    images: Image

    @classmethod
    def of(cls, split: Split) -> "CaptionSet":
        """The arrays of `split`, without the columns in which every caption is padding.

        They would be computed and then left out of the loss.
        """
        used = jnp.any(split.captions != 0, axis=0)
        width = max(2, int(used.size - jnp.argmax(used[::-1])))
        return cls(split.captions[:, :width], split.image_idxs, split.images)


class Batch(NamedTuple):
    """N captions and their images; a pytree."""

    image: Image
    """One image a caption."""
    captions: Int[Array, "N L"]
    """Word ids, rows `<START> ... <END> <NULL>`."""
    weights: Float[Array, " N"] | None = None
    """Factors on the captions' losses; None for 1."""


def gather(data: CaptionSet, rows: Int[Array, " N"]) -> Batch:
    """The captions `rows` of `data` and their images."""
    return Batch(data.images.at(data.image_idxs[rows]), data.captions[rows])


def draw_rows(
    key: Array,
    lengths: Int[Array, " M"],
    batch_size: int,
    first: Array,
    count: int,
    order: str,
) -> Int[Array, "S N"]:
    """The captions of `count` minibatches in a row, all of one epoch.

    Args:
        key: the run's key of the order; the same for every call.
        lengths: of the M captions; only "buckets" reads them.
        batch_size: N. An epoch is M // N minibatches, or 1 if that is 0.
        first: number of minibatches drawn since the run began, (), integer.
        count: S.
        order: "replacement" draws each minibatch independently of all others, as the notebook
            does; "shuffle" goes through a new permutation of the captions in every epoch and leaves
            out the remainder that fills no minibatch; "buckets" does the same and gives a
            minibatch captions of like length, by sorting what each 16 minibatches in a row hold,
            and shuffles the minibatches.

    Returns:
        Row numbers in [0, M). They depend on the minibatch's number alone, however the calls are
        cut, so that a resumed run draws what an undisturbed one does.
    """
    num_captions = len(lengths)
    if order == "replacement":

        def one(number: Array) -> Array:
            key_of_number = jax.random.fold_in(key, number)
            return jax.random.randint(key_of_number, (batch_size,), 0, num_captions, jnp.int32)

        return jax.vmap(one)(first + jnp.arange(count, dtype=first.dtype))

    per_epoch = max(num_captions // batch_size, 1)
    key_of_epoch = jax.random.fold_in(key, first // per_epoch)
    rows = jax.random.permutation(key_of_epoch, jnp.arange(num_captions, dtype=jnp.int32))
    # Fewer captions than one minibatch holds: some stand in it twice.
    rows = jnp.resize(rows, (per_epoch * batch_size,))
    if order == "buckets":
        stretch = jnp.arange(len(rows)) // (_BUCKET_BATCHES * batch_size)
        rows = rows[jnp.lexsort((lengths[rows], stretch))]
    rows = rows.reshape(per_epoch, batch_size)
    if order == "buckets":
        rows = jax.random.permutation(jax.random.fold_in(key_of_epoch, 1), rows)
    return jax.lax.dynamic_slice_in_dim(rows, first % per_epoch, count)
