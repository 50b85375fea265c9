"""Products of rounded factors: what is rounded, what is not, and their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import CaptionerConfig, caption_loss, init_params
from jaxcap.nn.products import matmul_precision, product


def matrices(dtype=jnp.float32):
    return normal(0, (3, 5, 64), dtype), normal(2, (64, 7), dtype)


def test_a_product_is_plain_unless_asked_otherwise():
    a, b = matrices()
    np.testing.assert_array_equal(product(a, b), a @ b)
    with matmul_precision("float32"):
        np.testing.assert_allclose(product(a, b), a @ b, rtol=1e-6)


def test_rounded_factors_are_summed_in_float32():
    a, b = matrices()
    with matmul_precision("bfloat16"):
        rounded = product(a, b)
    assert rounded.dtype == jnp.float32 and rounded.shape == (3, 5, 7)
    exact = np.asarray(a.astype(jnp.bfloat16), np.float64) @ np.asarray(
        b.astype(jnp.bfloat16), np.float64
    )
    np.testing.assert_allclose(rounded, exact, rtol=1e-5, atol=1e-5)
    assert np.abs(rounded - a @ b).max() > 1e-3


def test_the_gradient_rounds_its_factors_too():
    a, b = matrices()
    weights = normal(1, (3, 5, 7))

    def gradients(function):
        return jax.grad(lambda a, b: (weights * function(a, b)).sum(), (0, 1))(a, b)

    with matmul_precision("bfloat16"):
        da, db = gradients(product)

    def short(x):
        return np.asarray(x.astype(jnp.bfloat16), np.float64)

    rows = short(weights).reshape(-1, 7)
    np.testing.assert_allclose(da, short(weights) @ short(b).T, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(db, short(a).reshape(-1, 64).T @ rows, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_float64_is_never_rounded():
    a, b = matrices(jnp.float64)
    with matmul_precision("bfloat16"):
        np.testing.assert_array_equal(product(a, b), a @ b)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_loss_and_gradients_of_a_captioner_stay_near(cell):
    model = CaptionerConfig(20, 8, 16, 32, cell=cell)
    params = init_params(jax.random.key(0), model)
    features = normal(1, (6, 8))
    captions = word_ids(2, (6, 8), 1, 20)

    def loss(params):
        return caption_loss(params, model, Batch(Image(features), captions)).per_caption

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    with matmul_precision("bfloat16"):
        rounded, rounded_grads = jax.jit(jax.value_and_grad(loss))(params)
    assert float(rounded) != float(value)
    assert float(rounded) == pytest.approx(float(value), rel=1e-3)
    for name, grad in grads.items():
        assert rounded_grads[name].dtype == jnp.float32
        apart = jnp.linalg.norm(rounded_grads[name] - grad) / jnp.linalg.norm(grad)
        assert float(apart) < 0.02, name
