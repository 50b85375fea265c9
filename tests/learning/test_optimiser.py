"""Adam and its schedules against the course's update rule and Optax's own functions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.optimiser import Decay, Hyper, learning_rate_schedule, make_optimiser


def course_adam(gradients, steps_per_epoch, lr=5e-3, decay=0.995, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba (2015), algorithm 1, the step size cut after each epoch."""
    x = m = v = np.zeros_like(gradients[0])
    for t, g in enumerate(gradients, start=1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        if t % steps_per_epoch == 0:
            lr *= decay
    return x


def updated(gradients, x, **config):
    """Parameters after steps along these gradients."""
    optimiser = make_optimiser(OptimiserConfig(**config), steps_per_epoch=3)
    state = optimiser.init(x)
    for g in gradients:
        updates, state = optimiser.update(jnp.asarray(g), state, x)
        x = optax.apply_updates(x, updates)
    return x


def test_updates_are_the_courses_with_clipping_and_decoupled_decay(x64):
    gradients = np.random.default_rng(0).standard_normal((10, 4))
    x = jnp.zeros(4, jnp.float64)
    expected = course_adam(gradients, 3)
    np.testing.assert_allclose(updated(gradients, x), expected, rtol=1e-6)
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    clipped = course_adam(gradients / np.maximum(norms, 1), 3)
    np.testing.assert_allclose(updated(gradients, x, clip_norm=1.0), clipped, rtol=1e-6)
    still = updated(np.zeros((1, 2)), jnp.array([2.0, -4.0]), learning_rate=0.1, weight_decay=0.5)
    np.testing.assert_allclose(still, [1.9, -3.8], rtol=1e-6)


@pytest.mark.parametrize("traced", [False, True])
def test_learning_rate_is_optaxs_staircase_of_epochs_or_cosine(traced):
    steps = jnp.arange(13)

    def schedule(decay):
        def at(rate, factor):
            return jax.vmap(learning_rate_schedule(decay, Hyper(rate, factor)))(steps)

        return (jax.jit(at) if traced else at)(1.0, 0.5)

    np.testing.assert_array_equal(schedule(Decay(4, None))[:9], [1] * 4 + [0.5] * 4 + [0.25])
    expected = jax.vmap(optax.exponential_decay(1.0, 4, 0.5, staircase=True))(steps)
    np.testing.assert_array_equal(schedule(Decay(4, None)), expected)
    cosine = schedule(Decay(4, 3))[jnp.array([0, 3, 6, 12])]
    np.testing.assert_allclose(cosine, [1, (1 + 0.5**0.5) / 2, 0.5, 0], atol=1e-6)
    with pytest.raises(ValueError, match="`lr_schedule=cosine` needs `num_epochs`"):
        make_optimiser(OptimiserConfig(lr_schedule="cosine"), steps_per_epoch=4)
