"""The loss by blocks of rows against the plain loss of all logits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.captioner import CaptionerConfig, caption_loss, init_params
from jaxcap.nn.losses import temporal_softmax_loss

R, H, V, NUM = 37, 6, 11, 5


def example(share, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 5)
    weights = (
        jax.random.normal(keys[0], (R, H), dtype),
        jax.random.normal(keys[1], (H, V), dtype),
        jax.random.normal(keys[2], (V,), dtype),
    )
    targets = jax.random.randint(keys[3], (R,), 0, V)
    return weights, targets, jax.random.uniform(keys[4], (R,)) < share


def plain(h, W, b, targets, mask, smoothing):
    return temporal_softmax_loss(h @ W + b[None], targets, mask, NUM, smoothing)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("block", [1, 8, 37, 64])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_and_gradients_equal_the_plain_ones(block, share, smoothing):
    weights, targets, mask = example(share)
    by_blocks = partial(
        blockwise_softmax_loss,
        targets=targets,
        mask=mask,
        num=NUM,
        smoothing=smoothing,
        block=block,
    )
    whole = partial(plain, targets=targets, mask=mask, smoothing=smoothing)
    for field in ("per_caption", "per_word"):

        def of(loss, *args, field=field):
            return getattr(loss(*args), field)

        expected, expected_grads = jax.value_and_grad(partial(of, whole), (0, 1, 2))(*weights)
        value, grads = jax.value_and_grad(partial(of, by_blocks), (0, 1, 2))(*weights)
        assert float(value) == pytest.approx(float(expected), rel=1e-12)
        assert float(of(by_blocks, *weights)) == float(value)
        for grad, other in zip(grads, expected_grads, strict=True):
            np.testing.assert_allclose(grad, other, rtol=1e-10, atol=1e-14)


def test_large_logits_stay_finite():
    weights, targets, mask = example(1.1, jnp.float32)
    weights = jax.tree.map(lambda x: 1e3 * x, weights)
    loss = partial(blockwise_softmax_loss, targets=targets, mask=mask, num=NUM, block=8)
    value, grads = jax.value_and_grad(lambda w: loss(*w).per_caption)(weights)
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
    features = jax.random.normal(jax.random.key(1), (NUM, 4), jnp.float64)
    captions = jax.random.randint(jax.random.key(2), (NUM, 8), 0, V)

    def loss(params, **options):
        return caption_loss(params, model, features, captions, **options).per_caption

    value, grads = jax.value_and_grad(loss)(params)
    by_blocks, grads_by_blocks = jax.value_and_grad(partial(loss, block=16))(params)
    assert float(by_blocks) == pytest.approx(float(value), rel=1e-12)
    for name in grads:
        np.testing.assert_allclose(grads_by_blocks[name], grads[name], rtol=1e-9, atol=1e-14)
    with pytest.raises(ValueError, match="leave out weights or block"):
        loss(params, block=16, weights=jnp.ones(NUM))
