"""The gradient check itself: it must find a wrong gradient."""

import jax
import jax.numpy as jnp
import pytest

from jaxcap.nn.gradcheck import gradient_errors, numerical_gradient, rel_error


def test_rel_error_by_hand():
    assert rel_error([1.0, 2.0], [1.0, 2.5]) == pytest.approx(0.5 / 4.5)
    assert rel_error([0.0], [0.0]) == 0
    assert rel_error([0.0], [1e-10]) == pytest.approx(1e-2)


@pytest.mark.usefixtures("x64")
def test_finds_a_wrong_backward_pass():
    @jax.custom_vjp
    def wrong(x):
        return jnp.sin(x)

    wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, d: (1.001 * jnp.cos(x) * d,))
    x = jnp.array([[0.5, -1.0], [2.0, 0.1]])
    gradient = numerical_gradient(jnp.sin, x, jnp.full_like(x, 2.0))
    assert rel_error(gradient, 2 * jnp.cos(x)) < 1e-10
    assert gradient_errors(wrong, (x,), jnp.ones_like(x))[0] > 1e-4
    assert gradient_errors(jnp.sin, (x,), jnp.ones_like(x))[0] < 1e-10


def test_refuses_float32():
    with pytest.raises(ValueError, match=r"needs float64, got float32.*enable_x64"):
        numerical_gradient(jnp.sin, jnp.ones(3), jnp.ones(3))
