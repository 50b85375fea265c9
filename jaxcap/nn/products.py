"""Matmuls of float32 factors, or of factors rounded to bfloat16.

A product is `a @ b` unless JAX is set to bfloat16,

    with jax.default_matmul_precision("bfloat16"): ...

GPUs and TPUs follow that setting and CPUs do not. Here it holds on all devices: float32 factors are
rounded to 8 bits of mantissa, and their products are summed in float32, in the backward pass too.
All other operations, the parameters and the optimiser stay in float32.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""Matmul precisions for training, under JAX's names."""


def matmul_precision(name: str) -> AbstractContextManager:
    """Set the matmul precision, one of `PRECISIONS`, within a block.

    CPUs use float32 for tensorfloat32.
    """
    # CPUs multiply in float32 by default, and XLA has faster matmuls without an explicit precision.
    if name != "bfloat16" and jax.default_backend() == "cpu":
        return nullcontext()
    return jax.default_matmul_precision(name)


def product(a: Float[Array, "*B K"], b: Float[Array, "K M"]) -> Float[Array, "*B M"]:
    """Compute `a @ b`, with float32 factors rounded to bfloat16 if JAX is set to bfloat16."""
    if not _rounds(a):
        return a @ b
    rows = _rounded_product(a.reshape(-1, a.shape[-1]), b)
    return rows.reshape(*a.shape[:-1], b.shape[1])


def multiplier(
    b: Float[Array, "K M"], *, transposed: bool = False
) -> Callable[[Float[Array, "R I"]], Float[Array, "R O"]]:
    """Make `product(a, b)`, or `product(a, b.T)`, a function of `a`, for a loop without autodiff.

    In bfloat16 `b` is rounded and transposed once, where XLA would do it at each step of the loop.
    In float32 XLA's product by `b.T` in a loop is faster than by a transposed copy.
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
