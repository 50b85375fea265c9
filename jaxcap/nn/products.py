"""Matrix products, of float32 numbers or of them rounded to bfloat16.

A product is `a @ b` unless JAX's own setting asks for bfloat16,

    with jax.default_matmul_precision("bfloat16"): ...

which GPUs and TPUs obey by themselves and CPUs do not. Here it holds on each of them: float32
factors are rounded to 8 bits of mantissa, and their products are summed in float32, in the backward
pass too. Everything that is no matrix product stays in float32, as do parameters and optimiser.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""Precisions of products that training offers, as JAX names them."""


def matmul_precision(name: str) -> AbstractContextManager:
    """Within it, products are of one of `PRECISIONS`; CPUs take tensorfloat32 for float32."""
    # A CPU's products are of float32 anyway, and XLA knows faster ones where nothing is asked for.
    if name != "bfloat16" and jax.default_backend() == "cpu":
        return nullcontext()
    return jax.default_matmul_precision(name)


def product(a: Float[Array, "*B K"], b: Float[Array, "K M"]) -> Float[Array, "*B M"]:
    """`a @ b`, of float32 factors rounded to bfloat16 where JAX is set to that precision."""
    if not _rounds(a):
        return a @ b
    rows = _rounded_product(a.reshape(-1, a.shape[-1]), b)
    return rows.reshape(*a.shape[:-1], b.shape[1])


def multiplier(
    b: Float[Array, "K M"], *, transposed: bool = False
) -> Callable[[Float[Array, "R I"]], Float[Array, "R O"]]:
    """`product(a, b)`, or `product(a, b.T)`, as a function of `a`, for a loop without autodiff.

    A rounded `b` is rounded, and turned, once: XLA would do it again at each step of the loop. Of
    float32 numbers XLA's product by `b.T` within a loop is faster than by a turned copy.
    """
    if not _rounds(b):
        return lambda a: a @ (b.T if transposed else b)
    short = (b.T if transposed else b).astype(jnp.bfloat16)
    return lambda a: _rounded_product(a, short)


def _rounds(a: Array) -> bool:
    asked = jax.config.jax_default_matmul_precision == "bfloat16"  # pyright: ignore
    return asked and a.dtype == jnp.float32


@jax.custom_vjp
def _rounded_product(a, b):
    a, b = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    return jnp.matmul(a, b, preferred_element_type=jnp.float32)


def _rounded_product_fwd(a, b):
    return _rounded_product(a, b), (a, b)


def _rounded_product_bwd(saved, cotangent):
    a, b = saved
    return _rounded_product(cotangent, b.T), _rounded_product(a.T, cotangent)


_rounded_product.defvjp(_rounded_product_fwd, _rounded_product_bwd)
