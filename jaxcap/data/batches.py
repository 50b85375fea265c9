"""Minibatches: the captions of each and their images, gathered on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.data.dataset import Split
from jaxcap.data.image import Image

ORDERS = ("replacement", "shuffle", "buckets", "images")

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


def gather(data: CaptionSet, rows: Int[Array, " N"], most_images: int | None = None) -> Batch:
    """Gather the captions `rows` of `data` and their images.

    Args:
        data: the captions.
        rows: which of them.
        most_images: a bound on the number of different images, U. Captions of one image then share
            it. None gives each caption an image of its own.
    """
    if most_images is None:
        return Batch(data.images.at(data.image_idxs[rows]), data.captions[rows])
    images, places = shared_images(data.image_idxs[rows], most_images)
    return Batch(data.images.at(images), data.captions[rows], rows=places)


def shared_images(
    images: Int[Array, " N"], most_images: int
) -> tuple[Int[Array, " U"], Int[Array, " N"]]:
    """List the different ones of `images`, at most U, and the place in that list of each.

    Repetitions fill the list up.
    """
    return jnp.unique(images, return_inverse=True, size=most_images)


def count_images(image_idxs: Int[np.ndarray, " M"], batch_size: int) -> int:
    """Bound the different images of a minibatch that the order "images" draws, on the host.

    Args:
        image_idxs: the image of each caption.
        batch_size: N.
    """
    captions_each = np.sort(np.unique(image_idxs, return_counts=True)[1])
    # At worst the images with the fewest captions, and a single caption of one more at both ends.
    whole = int(np.searchsorted(np.cumsum(captions_each), batch_size - 2, side="right"))
    return min(whole + 2, len(captions_each), batch_size)


def ordered_by(data: CaptionSet, order: str) -> Int[Array, " M"]:
    """Give what `draw_rows` orders captions by: their images for "images", else their lengths."""
    return data.image_idxs if order == "images" else (data.captions != 0).sum(axis=1)


def draw_rows(
    key: Array,
    ordered_by: Int[Array, " M"],
    batch_size: int,
    first: Array,
    count: int,
    order: str,
) -> Int[Array, "S N"]:
    """Draw the captions of `count` consecutive minibatches, all of one epoch.

    Args:
        key: random key of the order; the same for every call of a run.
        ordered_by: of the M captions their lengths, or for "images" their images; other orders than
            "buckets" and "images" read nothing but their number.
        batch_size: N. An epoch is M // N minibatches, or 1 if that is 0.
        first: number of minibatches drawn since the run began, (), integer.
        count: number of minibatches, S.
        order: "replacement" draws each minibatch independently, as the notebook does. "shuffle"
            uses a new permutation of the captions in every epoch and drops the remainder that
            fills no minibatch. "buckets" also sorts each 16 consecutive minibatches by length, so
            that a minibatch has captions of similar length, and then shuffles the minibatches.
            "images" uses a new permutation of the images in every epoch, and deals out all captions
            of an image one after another.

    Returns:
        (S, N) row numbers in [0, M). They depend only on the number of the minibatch, not on how
        it is divided into calls, so a resumed run draws the same captions as an uninterrupted one.
    """
    num_captions = len(ordered_by)
    if order == "replacement":

        def one(number: Array) -> Array:
            key_of_number = jax.random.fold_in(key, number)
            return jax.random.randint(key_of_number, (batch_size,), 0, num_captions, jnp.int32)

        return jax.vmap(one)(first + jnp.arange(count, dtype=first.dtype))

    per_epoch = max(num_captions // batch_size, 1)
    key_of_epoch = jax.random.fold_in(key, first // per_epoch)
    rows = jax.random.permutation(key_of_epoch, jnp.arange(num_captions, dtype=jnp.int32))
    if order == "images":
        rows = _by_image(rows, ordered_by)
    # With fewer captions than a minibatch holds, some are repeated in it.
    rows = jnp.resize(rows, (per_epoch * batch_size,))
    if order == "buckets":
        stretch = jnp.arange(len(rows)) // (_BUCKET_BATCHES * batch_size)
        rows = rows[jnp.lexsort((ordered_by[rows], stretch))]
    rows = rows.reshape(per_epoch, batch_size)
    if order == "buckets":
        rows = jax.random.permutation(jax.random.fold_in(key_of_epoch, 1), rows)
    return jax.lax.dynamic_slice_in_dim(rows, first % per_epoch, count)


def _by_image(places: Int[Array, " M"], images: Int[Array, " M"]) -> Int[Array, " M"]:
    """Put captions together that share an image, the images in the order of a permutation."""
    rows = jnp.argsort(images)
    sorted_images = images[rows]
    changes = jnp.pad(sorted_images[1:] != sorted_images[:-1], (1, 0)).astype(jnp.int32)
    # Each image takes the place in the permutation of its number among those that have captions.
    return rows[jnp.argsort(places[jnp.cumsum(changes)])].astype(jnp.int32)
