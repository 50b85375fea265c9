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


@pytest.mark.usefixtures("x64")
def test_updates_are_the_courses():
    gradients = np.random.default_rng(0).standard_normal((10, 4))
    optimiser = make_optimiser(OptimiserConfig(), steps_per_epoch=3)
    x = jnp.zeros(4, jnp.float64)
    state = optimiser.init(x)
    for g in gradients:
        updates, state = optimiser.update(jnp.asarray(g), state, x)
        x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(x, course_adam(gradients, 3), rtol=1e-6)


@pytest.mark.parametrize("traced", [False, True])
def test_learning_rate_is_optaxs_staircase_of_epochs(traced):
    steps = jnp.arange(9)

    def schedule(rate, decay):
        return learning_rate_schedule(Decay(4, None), Hyper(rate, decay))(steps)

    found = (jax.jit(schedule) if traced else schedule)(1.0, 0.5)
    np.testing.assert_array_equal(found, [1] * 4 + [0.5] * 4 + [0.25])
    expected = optax.exponential_decay(1.0, 4, 0.5, staircase=True)
    np.testing.assert_array_equal(found, jax.vmap(expected)(steps))


def test_cosine_falls_to_zero_at_the_end_of_the_run():
    schedule = learning_rate_schedule(Decay(4, 3), Hyper(1.0, 0.5))
    found = [float(schedule(t)) for t in (0, 3, 6, 12)]
    np.testing.assert_allclose(found, [1, (1 + 0.5**0.5) / 2, 0.5, 0], atol=1e-6)


def test_clipping_bounds_the_global_norm():
    x = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    optimiser, plain = (make_optimiser(OptimiserConfig(clip_norm=norm)) for norm in (1.0, None))
    large = {"a": jnp.array([30.0, 0.0]), "b": jnp.array([0.0, 40.0])}
    scaled = {"a": jnp.array([0.6, 0.0]), "b": jnp.array([0.0, 0.8])}
    _, state = optimiser.update(large, optimiser.init(x), x)
    _, expected = plain.update(scaled, plain.init(x), x)
    found, expected = (optax.tree.get(s, "mu")["b"] for s in (state, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_weight_decay_is_decoupled():
    x = jnp.array([2.0, -4.0])
    optimiser = make_optimiser(OptimiserConfig(learning_rate=0.1, weight_decay=0.5))
    updates, _ = optimiser.update(jnp.zeros(2), optimiser.init(x), x)
    np.testing.assert_allclose(updates, -0.1 * 0.5 * x, rtol=1e-6)
