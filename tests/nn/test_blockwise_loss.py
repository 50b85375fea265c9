"""The loss by blocks of rows against the plain loss of all logits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.captioner import CaptionerConfig, caption_loss, init_params
from jaxcap.nn.loss import temporal_softmax_loss
from jaxcap.nn.plan import ComputePlan

R, H, V, NUM = 37, 6, 11, 5


def example(share, dtype=jnp.float64):
    shapes = [(R, H), (H, V), (V,)]
    weights = tuple(normal(seed, shape, dtype) for seed, shape in enumerate(shapes))
    mask = jnp.asarray(np.random.default_rng(4).random(R) < share)
    return weights, word_ids(3, (R,), 0, V), mask


def plain(h, W, b, targets, mask, smoothing, block):
    del block
    return temporal_softmax_loss(h @ W + b[None], targets, mask, NUM, smoothing)


def by_blocks(h, W, b, targets, mask, smoothing, block):
    return blockwise_softmax_loss(h, W, b, targets, mask, NUM, smoothing=smoothing, block=block)


@partial(jax.jit, static_argnames=("loss", "field", "block", "smoothing"))
def value_and_grads(loss, field, block, weights, targets, mask, smoothing):
    def of(*weights):
        return getattr(loss(*weights, targets, mask, smoothing, block), field)

    return of(*weights), *jax.value_and_grad(of, (0, 1, 2))(*weights)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("block", [1, 8, 37, 64])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.1])
@pytest.mark.parametrize("smoothing", [None, 0.1])
def test_loss_and_gradients_equal_the_plain_ones(block, share, smoothing):
    args = (*example(share), smoothing)
    for field in ("per_caption", "per_word"):
        _, expected, expected_grads = value_and_grads(plain, field, None, *args)
        alone, value, grads = value_and_grads(by_blocks, field, block, *args)
        assert float(value) == pytest.approx(float(expected), rel=1e-12)
        assert float(alone) == float(value)
        for grad, other in zip(grads, expected_grads, strict=True):
            np.testing.assert_allclose(grad, other, rtol=1e-10, atol=1e-14)


def test_large_logits_stay_finite():
    weights, targets, mask = example(1.1, jnp.float32)
    weights = jax.tree.map(lambda x: 1e3 * x, weights)
    loss = partial(blockwise_softmax_loss, targets=targets, mask=mask, num=NUM, block=8)
    value, grads = jax.jit(jax.value_and_grad(lambda w: loss(*w).per_caption))(weights)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in grads)


def test_many_words_in_bfloat16_are_counted_exactly():
    weights = (jnp.zeros((2001, H)), jnp.zeros((H, 7)), jnp.zeros(7))
    loss = blockwise_softmax_loss(
        *jax.tree.map(lambda x: x.astype(jnp.bfloat16), weights),
        jnp.ones(2001, int),
        jnp.ones(2001, bool),
        100,
        block=512,
    )
    assert loss.per_word.dtype == jnp.float32
    assert float(loss.per_caption / loss.per_word) == pytest.approx(20.01, rel=1e-6)
    assert float(loss.per_word) == pytest.approx(np.log(7), rel=4e-3)


@pytest.mark.usefixtures("x64")
def test_a_captioners_loss_by_blocks():
    model = CaptionerConfig(V, 4, 5, H)
    params = init_params(jax.random.key(0), model, jnp.float64)
    features = normal(1, (NUM, 4), jnp.float64)
    captions = word_ids(2, (NUM, 8), 0, V)

    def loss(params, block=None, weights=None):
        return caption_loss(
            params, model, Batch(Image(features), captions, weights), plan=ComputePlan(block)
        ).per_caption

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    blocked, grads_by_blocks = jax.jit(jax.value_and_grad(partial(loss, block=16)))(params)
    assert float(blocked) == pytest.approx(float(value), rel=1e-12)
    for name in grads:
        np.testing.assert_allclose(grads_by_blocks[name], grads[name], rtol=1e-9, atol=1e-14)
    with pytest.raises(ValueError, match="leave out weights or block"):
        loss(params, block=16, weights=jnp.ones(NUM))
