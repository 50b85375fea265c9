"""Products of rounded factors: what is rounded, what is not, and their gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from draws import normal

from jaxcap.nn.products import matmul_precision, multiplier, product

close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def matrices(dtype=jnp.float32):
    return normal(0, (3, 5, 64), dtype), normal(2, (64, 7), dtype)


def short(x):
    return np.asarray(x.astype(jnp.bfloat16), np.float64)


def test_a_product_is_plain_unless_asked_otherwise(x64):
    a, b = matrices()
    np.testing.assert_array_equal(product(a, b), a @ b)
    with matmul_precision("float32"):
        close(product(a, b), a @ b)
    wide = matrices(jnp.float64)
    with matmul_precision("bfloat16"):
        np.testing.assert_array_equal(product(*wide), wide[0] @ wide[1])


def test_rounded_factors_are_summed_in_float32_and_so_are_those_of_gradients():
    (a, b), weights = matrices(), normal(1, (3, 5, 7))
    with matmul_precision("bfloat16"):
        rounded, vjp = jax.vjp(product, a, b)
        da, db = vjp(weights)
        close(multiplier(b)(a[0]), rounded[0])
        close(multiplier(b.T, transposed=True)(a[0]), rounded[0])
    assert rounded.dtype == da.dtype == db.dtype == jnp.float32
    close(rounded, short(a) @ short(b))
    assert np.abs(rounded - a @ b).max() > 1e-3
    close(da, short(weights) @ short(b).T)
    close(db, short(a).reshape(-1, 64).T @ short(weights).reshape(-1, 7))
