"""Numerical gradient checks by central differences, for the notebook's checks.

    with jax.enable_x64(True):
        errors = gradient_errors(f, (x, w), cotangent)

JAX's own `jax.test_util.check_grads` draws its cotangents itself and answers only yes or no; the
notebook prints a relative error for each argument, which is what these functions return. The
difference is the five-point one, of fourth order (Abramowitz and Stegun 1964, 25.3.6): where the
notebook's two points leave an absolute error near 1e-10, it leaves 1e-12, so that the relative
error of a small gradient says something.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def rel_error(x: Any, y: Any) -> float:
    """Largest elementwise relative error, `max |x - y| / max(1e-8, |x| + |y|)` (notebook, set-up).

    Args:
        x, y: arrays of one shape.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    return float(np.max(np.abs(x - y) / np.maximum(1e-8, np.abs(x) + np.abs(y))))


def numerical_gradient(
    f: Callable[[Array], Any],
    x: Float[Array, "..."],
    cotangent: Any,
    *,
    step: float = 1e-3,
) -> Float[Array, "..."]:
    """Gradient of `sum(f(x) * cotangent)` by central differences.

    Args:
        f: function of one array; its value is an array or a pytree of arrays.
        x: float64 array of any shape; `f` is evaluated four times for each of its elements.
        cotangent: what each output is weighted with; of the structure of `f(x)`.
        step: distance between neighbouring points.

    Returns:
        An array of the shape of `x`.

    Raises:
        ValueError: `x` is not float64, in which case rounding would drown the difference.
    """
    if x.dtype != jnp.float64:
        raise ValueError(
            f"numerical_gradient needs float64, got {x.dtype}: "
            "make the arrays and call it inside `with jax.enable_x64(True):`"
        )

    def rise(index: Array, distance: float) -> Array:
        up = f(x.ravel().at[index].add(distance).reshape(x.shape))
        down = f(x.ravel().at[index].add(-distance).reshape(x.shape))
        # Subtracting before summing keeps the rounding that of one output, not of their sum.
        rises = jax.tree.map(lambda u, d, w: jnp.sum((u - d) * w), up, down, cotangent)
        return jax.tree.reduce(jnp.add, rises)

    def slope(index: Array) -> Array:
        return (8 * rise(index, step) - rise(index, 2 * step)) / (12 * step)

    return jax.jit(lambda: lax.map(slope, jnp.arange(x.size)))().reshape(x.shape)


def gradient_errors(
    f: Callable[..., Any], args: tuple[Any, ...], cotangent: Any, *, step: float = 1e-3
) -> tuple[Any, ...]:
    """Relative error of `jax.vjp` of `f` against central differences, for every array in `args`.

    Args:
        f: function of `args`; its value is an array or a pytree of arrays.
        args: pytrees of float64 arrays.
        cotangent: what the outputs are weighted with; of the structure of `f(*args)`.
        step: distance between neighbouring points.

    Returns:
        A tuple of the structure of `args` with a float in place of each array.

    Raises:
        ValueError: an array in `args` is not float64.
    """
    leaves, structure = jax.tree.flatten(args)
    gradients = jax.tree.leaves(jax.vjp(f, *args)[1](cotangent))

    def error(k: int) -> float:
        def of_one(x: Array) -> Any:
            return f(*jax.tree.unflatten(structure, [*leaves[:k], x, *leaves[k + 1 :]]))

        return rel_error(gradients[k], numerical_gradient(of_one, leaves[k], cotangent, step=step))

    return jax.tree.unflatten(structure, [error(k) for k in range(len(leaves))])
