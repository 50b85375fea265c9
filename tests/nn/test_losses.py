"""The temporal softmax loss against its definition, and its gradient at padded words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal

from jaxcap.nn.loss import temporal_softmax_loss


@pytest.mark.usefixtures("x64")
def test_uniform_logits_cost_log_v_a_word():
    mask = jnp.array([[True, True, False], [True, False, False]])
    loss = temporal_softmax_loss(jnp.zeros((2, 3, 7)), jnp.ones((2, 3), int), mask, num=2)
    assert float(loss.per_word) == pytest.approx(np.log(7))
    assert float(loss.per_caption) == pytest.approx(1.5 * np.log(7))


@pytest.mark.usefixtures("x64")
def test_gradient_is_softmax_minus_target_at_real_words_and_zero_elsewhere():
    logits = normal(0, (2, 3, 5), jnp.float64)
    targets = jnp.array([[1, 4, 0], [2, 0, 0]])
    mask = targets != 0
    grad = jax.grad(lambda x: temporal_softmax_loss(x, targets, mask, num=2).per_caption)(logits)
    expected = (
        (jax.nn.softmax(logits) - jax.nn.one_hot(targets, 5))
        * mask[..., None].astype(logits.dtype)
        / 2
    )
    np.testing.assert_allclose(grad, expected, atol=1e-15)


def test_many_words_in_bfloat16_are_counted_exactly():
    logits = jnp.zeros((2001, 7), jnp.bfloat16)
    loss = temporal_softmax_loss(logits, jnp.ones(2001, int), jnp.ones(2001, bool), num=100)
    assert loss.per_word.dtype == jnp.float32
    assert float(loss.per_caption / loss.per_word) == pytest.approx(20.01, rel=1e-6)
    assert float(loss.per_word) == pytest.approx(np.log(7), rel=4e-3)


def test_large_logits_stay_finite():
    logits = jnp.array([[[1e4, 0.0, -1e4]]])
    loss = temporal_softmax_loss(logits, jnp.array([[2]]), jnp.array([[True]]), num=1)
    assert float(loss.per_caption) == pytest.approx(2e4)


@pytest.mark.usefixtures("x64")
def test_smoothing_is_cross_entropy_with_a_spread_target():
    logits = normal(0, (4, 5), jnp.float64)
    targets = jnp.array([1, 4, 0, 2])
    loss = temporal_softmax_loss(logits, targets, targets != 0, num=4, smoothing=0.2)
    spread = 0.8 * jax.nn.one_hot(targets, 5) + 0.2 / 5
    expected = -(spread * jax.nn.log_softmax(logits)).sum(-1)[jnp.array([0, 1, 3])]
    assert float(loss.per_word) == pytest.approx(float(expected.mean()), rel=1e-12)
