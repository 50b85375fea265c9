"""Minibatches: the captions of each and their images, gathered on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.data.dataset import Split
from jaxcap.data.image import Image

ORDERS = ("replacement", "shuffle", "buckets")

_BUCKET_BATCHES = 16


class CaptionSet(NamedTuple):
    """Arrays of a split that training reads; a pytree on the device."""

    captions: Int[Array, "M L"]
    image_idxs: Int[Array, " M"]
    images: Image

    @classmethod
    def of(cls, split: Split) -> "CaptionSet":
        """Take the arrays of `split`, without the columns in which every caption is padding.

        Those columns would cost time and add nothing to the loss.
        """
        used = jnp.any(split.captions != 0, axis=0)
        width = max(2, int(used.size - jnp.argmax(used[::-1])))
        return cls(split.captions[:, :width], split.image_idxs, split.images)


class Batch(NamedTuple):
    """N captions and their images; a pytree."""

    image: Image
    """The image of each caption; with `rows`, the images that the captions share."""
    captions: Int[Array, "N L"]
    """Word ids, rows `<START> ... <END> <NULL>`."""
    weights: Float[Array, " N"] | None = None
    """Factors on the losses of the captions; None for 1."""
    rows: Int[Array, " N"] | None = None
    """The row of `image` of each caption; None if caption n is of image n."""
    inputs: Int[Array, "N _"] | None = None
    """The L - 1 words that are read, where they are not those of the captions, `captions[:, :-1]`;
    see `jaxcap.learning.scheduled_sampling`."""


def gather(data: CaptionSet, rows: Int[Array, " N"]) -> Batch:
    """Gather the captions `rows` of `data` and their images."""
    return Batch(data.images.at(data.image_idxs[rows]), data.captions[rows])


def draw_rows(
    key: Array,
    lengths: Int[Array, " M"],
    batch_size: int,
    first: Array,
    count: int,
    order: str,
) -> Int[Array, "S N"]:
    """Draw the captions of `count` consecutive minibatches, all of one epoch.

    Args:
        key: random key of the order; the same for every call of a run.
        lengths: lengths of the M captions; only "buckets" reads them.
        batch_size: N. An epoch is M // N minibatches, or 1 if that is 0.
        first: number of minibatches drawn since the run began, (), integer.
        count: number of minibatches, S.
        order: "replacement" draws each minibatch independently, as the notebook does. "shuffle"
            uses a new permutation of the captions in every epoch and drops the remainder that
            fills no minibatch. "buckets" also sorts each 16 consecutive minibatches by length, so
            that a minibatch has captions of similar length, and then shuffles the minibatches.

    Returns:
        (S, N) row numbers in [0, M). They depend only on the number of the minibatch, not on how
        it is divided into calls, so a resumed run draws the same captions as an uninterrupted one.
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
    # With fewer captions than a minibatch holds, some are repeated in it.
    rows = jnp.resize(rows, (per_epoch * batch_size,))
    if order == "buckets":
        stretch = jnp.arange(len(rows)) // (_BUCKET_BATCHES * batch_size)
        rows = rows[jnp.lexsort((lengths[rows], stretch))]
    rows = rows.reshape(per_epoch, batch_size)
    if order == "buckets":
        rows = jax.random.permutation(jax.random.fold_in(key_of_epoch, 1), rows)
    return jax.lax.dynamic_slice_in_dim(rows, first % per_epoch, count)
