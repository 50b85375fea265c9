"""Minibatches: what an epoch holds, and that the draw does not depend on how calls are cut."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.data.batches import CaptionSet, draw_rows, gather
from jaxcap.data.dataset import Split
from jaxcap.data.image import Image

M, N = 23, 5
LENGTHS = np.random.default_rng(0).integers(3, 18, 1000)


def rows(first, count, order, num=M, seed=0):
    key, lengths = jax.random.key(seed), jnp.asarray(LENGTHS[:num])
    return np.asarray(draw_rows(key, lengths, N, jnp.int32(first), count, order))


@pytest.mark.parametrize("order", ["shuffle", "buckets"])
def test_shuffle_sees_every_caption_at_most_once_an_epoch(order):
    per_epoch = M // N
    epochs = [rows(per_epoch * e, per_epoch, order) for e in range(3)]
    for epoch in epochs:
        assert epoch.shape == (per_epoch, N)
        assert len(np.unique(epoch)) == per_epoch * N
    assert not np.array_equal(epochs[0], epochs[1])
    assert len(np.unique(epochs)) > per_epoch * N  # The remainder is another one every epoch.


def test_buckets_hold_captions_of_like_length():
    per_epoch = 1000 // N
    spread = {
        order: np.ptp(LENGTHS[rows(0, per_epoch, order, num=1000)], axis=1).mean()
        for order in ("shuffle", "buckets")
    }
    assert spread["buckets"] < 0.15 * spread["shuffle"]
    lengths = LENGTHS[rows(0, per_epoch, "buckets", num=1000)].mean(axis=1)
    # Short and long minibatches come in no order.
    assert abs(np.corrcoef(lengths[1:], lengths[:-1])[0, 1]) < 0.2


def test_replacement_covers_all_captions_evenly():
    drawn = rows(0, 2000, "replacement")
    counts = np.bincount(drawn.ravel(), minlength=M)
    expected = drawn.size / M
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 40  # 22 degrees of freedom: exceeded with probability 1 %.


@pytest.mark.parametrize("order", ["shuffle", "replacement", "buckets"])
def test_cutting_calls_elsewhere_changes_nothing(order):
    whole = rows(4, 4, order)
    parts = np.concatenate([rows(4, 1, order), rows(5, 3, order)])
    np.testing.assert_array_equal(whole, parts)
    assert not np.array_equal(whole, rows(4, 4, order, seed=1))


@pytest.mark.parametrize("order", ["shuffle", "replacement", "buckets"])
def test_fewer_captions_than_a_minibatch(order):
    drawn = rows(0, 1, order, num=3)
    assert drawn.shape == (1, N)
    assert set(np.unique(drawn)) <= {0, 1, 2}
    if order != "replacement":
        assert set(np.unique(drawn)) == {0, 1, 2}


def test_gather_and_trim():
    captions = jnp.array([[1, 5, 2, 0, 0], [1, 5, 6, 2, 0]], jnp.int32)
    split = Split(
        captions, jnp.array([2, 0]), Image(jnp.arange(6.0).reshape(3, 2)), np.zeros(0, "S63")
    )
    data = CaptionSet.of(split)
    np.testing.assert_array_equal(data.captions, captions[:, :4])
    batch = gather(data, jnp.array([1, 0, 1]))
    np.testing.assert_array_equal(batch.image.pooled, [[0, 1], [4, 5], [0, 1]])
    np.testing.assert_array_equal(batch.captions[1], [1, 5, 2, 0])
