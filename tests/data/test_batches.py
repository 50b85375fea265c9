"""Minibatches: what an epoch holds, and that the draw does not depend on how calls are cut."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.data.batches import ORDERS, CaptionSet, count_images, draw_rows, gather
from jaxcap.data.dataset import Split
from jaxcap.data.image import Image
from jaxcap.data.seeds import split_seed

M, N, EPOCH = 23, 5, 4
LENGTHS = np.random.default_rng(0).integers(3, 18, 1000)
IMAGES = np.random.default_rng(1).permutation(np.repeat(np.arange(400), 5)[:1000])


@partial(jax.jit, static_argnames=("count", "order", "num"))
def draw(first, seed, count, order, num):
    ordered_by = jnp.asarray((IMAGES if order == "images" else LENGTHS)[:num])
    return draw_rows(jax.random.key(seed), ordered_by, N, first, count, order)


def rows(first, count, order, num=M, seed=0):
    return np.asarray(draw(jnp.int32(first), seed, count, order, num))


@pytest.mark.parametrize("order", ORDERS)
def test_an_epoch_sees_every_caption_at_most_once_however_calls_are_cut(order):
    epochs = [rows(EPOCH * e, EPOCH, order) for e in range(3)]
    if order != "replacement":
        assert [(e.shape, len(np.unique(e))) for e in epochs] == [((EPOCH, N), EPOCH * N)] * 3
        assert len(np.unique(epochs)) > EPOCH * N  # The remainder is another one every epoch.
    one_by_one = [rows(EPOCH + i, 1, order) for i in range(EPOCH)]
    np.testing.assert_array_equal(epochs[1], np.concatenate(one_by_one))
    for other in (epochs[0], rows(EPOCH, EPOCH, order, seed=1)):
        assert not np.array_equal(epochs[1], other)
    few = rows(0, 1, order, num=3)
    assert few.shape == (1, N) and set(np.unique(few)) <= {0, 1, 2}


def test_buckets_hold_captions_of_like_length_and_replacement_covers_all_evenly():
    lengths = {order: LENGTHS[rows(0, 1000 // N, order, num=1000)] for order in ORDERS}
    spread = {order: np.ptp(found, axis=1).mean() for order, found in lengths.items()}
    means = lengths["buckets"].mean(axis=1)
    assert spread["buckets"] < 0.15 * spread["shuffle"]
    # Short and long minibatches come in no order.
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.2
    counts = np.bincount(rows(0, 2000, "replacement").ravel(), minlength=M)
    expected = counts.sum() / M
    # 22 degrees of freedom: 40 is exceeded with probability 1 %.
    assert ((counts - expected) ** 2 / expected).sum() < 40


def test_images_are_dealt_out_whole_within_the_bound():
    """The images of an epoch follow each other, each with all of its captions."""
    found = IMAGES[rows(0, 1000 // N, "images", num=1000)]
    changes = np.flatnonzero(np.diff(found.ravel()))
    assert len(changes) + 1 == len(np.unique(IMAGES))
    assert not np.array_equal(found, np.sort(found.ravel()).reshape(found.shape))
    for captions_each, size, most in (
        ([5] * 9, 8, 3),  # 2 + 5 + 1, or 1 + 5 + 2
        ([5] * 9, 5, 2),
        ([5] * 9, 7, 3),  # 1 + 5 + 1
        ([5, 5, 1, 1, 5], 6, 4),
        ([7, 7], 1, 1),
        ([7, 7], 99, 2),
        ([1] * 9, 4, 4),
    ):
        image_idxs = np.repeat(np.arange(len(captions_each)), captions_each)
        assert count_images(image_idxs, size) == most, (captions_each, size)


def test_captions_that_share_images_are_those_gathered_alone():
    images = Image(jnp.arange(20.0).reshape(10, 2), jnp.arange(60.0).reshape(10, 3, 2))
    data = CaptionSet(jnp.arange(46).reshape(23, 2), jnp.asarray(IMAGES[:23] % 10), images)
    own, shared = gather(data, jnp.arange(9, 18)), gather(data, jnp.arange(9, 18), most_images=8)
    assert shared.image.num == 8 and shared.rows is not None
    np.testing.assert_array_equal(shared.captions, own.captions)
    for a, b in zip(shared.image.at(shared.rows)[:2], own.image[:2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_gather_and_trim():
    captions = jnp.array([[1, 5, 2, 0, 0], [1, 5, 6, 2, 0]], jnp.int32)
    images = Image(jnp.arange(6.0).reshape(3, 2))
    data = CaptionSet.of(Split(captions, jnp.array([2, 0]), images, np.zeros(0, "S63")))
    batch = gather(data, jnp.array([1, 0, 1]))
    np.testing.assert_array_equal(batch.image.pooled, [[0, 1], [4, 5], [0, 1]])
    np.testing.assert_array_equal(batch.captions, captions[jnp.array([1, 0, 1]), :4])


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64])
def test_a_seed_that_would_have_the_keys_of_another_is_refused(seed):
    with pytest.raises(ValueError, match=rf"`seed` is {seed}, expected 0 to 4294967295"):
        split_seed(seed)
