"""The loss of words, whole and by blocks of rows, against its definition."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids

from jaxcap.nn.blockwise_loss import blockwise_softmax_loss
from jaxcap.nn.loss import CaptionLoss, Targets, temporal_softmax_loss

R, H, V, NUM = 37, 6, 11, 5


def example(share, dtype=jnp.float64):
    """Hidden states, the vocabulary layer, and targets of which a share counts."""
    h, W, b = (normal(k, shape, dtype) for k, shape in enumerate([(R, H), (H, V), (V,)]))
    mask = jnp.asarray(np.random.default_rng(4).random(R) < share)
    return (h, (W, b)), Targets(word_ids(3, (R,), 0, V), mask, normal(5, (R,), dtype))


def definition(h, layer, targets, smoothing):
    """Cross-entropy with the spread target, of the words that count, each times its weight."""
    spread = smoothing or 0.0
    target = (1 - spread) * jax.nn.one_hot(targets.words, V, dtype=h.dtype) + spread / V
    nats = -(target * jax.nn.log_softmax(h @ layer[0] + layer[1][None])).sum(axis=1)
    nats = jnp.where(targets.mask, targets.weights * nats, 0.0).sum()
    return CaptionLoss(nats / NUM, nats / jnp.maximum(targets.mask.sum(), 1).astype(h.dtype))


def whole(h, layer, targets, smoothing):
    return temporal_softmax_loss(h @ layer[0] + layer[1][None], targets, NUM, smoothing)


def by_blocks(block):
    def loss(h, layer, targets, smoothing):
        return blockwise_softmax_loss(h, layer, targets, NUM, smoothing, block=block)

    return loss


@partial(jax.jit, static_argnames=("loss", "smoothing"))
def value_and_grads(loss, args, targets, smoothing):
    def both(*args):
        found = loss(*args, targets, smoothing)
        return found.per_caption + 3 * found.per_word, found

    alone = loss(*args, targets, smoothing)
    return alone, jax.value_and_grad(both, (0, 1), has_aux=True)(*args)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("smoothing", [None, 0.1])
@pytest.mark.parametrize("loss", [whole, by_blocks(8), by_blocks(64)])
def test_loss_and_gradients_are_those_of_the_definition(loss, smoothing):
    for share in (0, 0.6, 1):
        args = example(share)
        found = value_and_grads(loss, *args, smoothing)
        expected = value_and_grads(definition, *args, smoothing)
        close = partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-13)
        jax.tree.map(close, found, expected)


@pytest.mark.parametrize("loss", [whole, by_blocks(8)])
def test_large_logits_stay_finite(loss):
    args, targets = example(1, jnp.float32)
    args = jax.tree.map(lambda x: 1e3 * x, args)
    assert all(
        np.isfinite(x).all() for x in jax.tree.leaves(value_and_grads(loss, args, targets, None))
    )


@pytest.mark.parametrize("block", [None, 512])
def test_many_words_in_bfloat16_are_counted_exactly(block):
    h, W, b = (jnp.zeros(shape, jnp.bfloat16) for shape in [(2001, H), (H, 7), (7,)])
    targets = Targets(jnp.ones(2001, jnp.int32), jnp.ones(2001, bool))
    if block is None:
        loss = temporal_softmax_loss(h @ W + b[None], targets, num=100)
    else:
        loss = blockwise_softmax_loss(h, (W, b), targets, num=100, block=block)
    assert loss.per_word.dtype == jnp.float32
    assert float(loss.per_caption / loss.per_word) == pytest.approx(20.01, rel=1e-6)
    # Uniform logits cost log V a word.
    assert float(loss.per_word) == pytest.approx(np.log(7), rel=4e-3)
