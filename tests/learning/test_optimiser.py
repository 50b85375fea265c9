"""Adam and its schedule against the course's update rule, written out in NumPy."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcap.learning.optimiser import OptimiserConfig, learning_rate_schedule, make_optimiser


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
    optimiser = make_optimiser(OptimiserConfig(), steps_per_epoch=3, num_epochs=9)
    x = jnp.zeros(4, jnp.float64)
    state = optimiser.init(x)
    for g in gradients:
        updates, state = optimiser.update(jnp.asarray(g), state, x)
        x = optax.apply_updates(x, updates)
    # Optax multiplies by a float32 power of the decay.
    np.testing.assert_allclose(x, course_adam(gradients, 3), rtol=1e-6)


def test_learning_rate_is_a_staircase_of_epochs():
    schedule = learning_rate_schedule(OptimiserConfig(learning_rate=1.0, lr_decay=0.5), 4, 3)
    assert [float(schedule(t)) for t in range(9)] == [1] * 4 + [0.5] * 4 + [0.25]


def test_cosine_falls_to_zero_at_the_end_of_the_run():
    schedule = learning_rate_schedule(OptimiserConfig(1.0, lr_schedule="cosine"), 4, 3)
    found = [float(schedule(t)) for t in (0, 3, 6, 12)]
    np.testing.assert_allclose(found, [1, (1 + 0.5**0.5) / 2, 0.5, 0], atol=1e-6)


def test_clipping_bounds_the_global_norm():
    config = OptimiserConfig(clip_norm=1.0)
    x = {"a": jnp.zeros(2), "b": jnp.zeros(2)}
    optimiser, plain = (make_optimiser(c, 1, 1) for c in (config, OptimiserConfig()))
    large = {"a": jnp.array([30.0, 0.0]), "b": jnp.array([0.0, 40.0])}
    scaled = {"a": jnp.array([0.6, 0.0]), "b": jnp.array([0.0, 0.8])}
    clipped, state = optimiser.update(large, optimiser.init(x), x)
    _, expected = plain.update(scaled, plain.init(x), x)
    np.testing.assert_allclose(
        optax.tree.get(state, "mu")["b"], optax.tree.get(expected, "mu")["b"], rtol=1e-6
    )
    assert clipped["a"].shape == (2,)


def test_weight_decay_is_decoupled():
    x = jnp.array([2.0, -4.0])
    optimiser = make_optimiser(OptimiserConfig(learning_rate=0.1, weight_decay=0.5), 1, 1)
    updates, _ = optimiser.update(jnp.zeros(2), optimiser.init(x), x)
    np.testing.assert_allclose(updates, -0.1 * 0.5 * x, rtol=1e-6)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("lr_decay", 1.5),
        ("lr_schedule", "linear"),
        ("clip_norm", 0.0),
        ("weight_decay", -1.0),
    ],
)
def test_bad_values_are_named(field, value):
    with pytest.raises(ValueError, match=f"{field} must be .*, got {value}"):
        OptimiserConfig(**{field: value})
