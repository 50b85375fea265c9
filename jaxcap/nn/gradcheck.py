"""Numerical gradient checks by central differences, for the notebook's checks.

    with jax.enable_x64(True):
        errors = gradient_errors(f, (x, w), cotangent)

The notebook prints a relative error for each argument, and these functions return it;
`jax.test_util.check_grads` draws its own cotangents and only passes or fails. The five-point
difference of fourth order (Abramowitz and Stegun 1964, 25.3.6) has an absolute error near 1e-12,
where the notebook's two points have 1e-10, so the relative error of a small gradient is meaningful.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float


def rel_error(x: Any, y: Any) -> float:
    """Compute the largest elementwise relative error, `max |x - y| / max(1e-8, |x| + |y|)`.

    It is `rel_error` of the notebook's set-up cell.

    >>> round(rel_error([1.0, 2.0], [1.0, 2.5]), 4)
    0.1111

    Args:
        x, y: arrays of the same shape.
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
    """Compute the gradient of `sum(f(x) * cotangent)` by central differences.

    Args:
        f: function of one array; returns an array or a pytree of arrays.
        x: float64 array of any shape; `f` is evaluated four times for each of its elements.
        cotangent: weights of the outputs, of the structure of `f(x)`.
        step: distance between neighbouring points.

    Returns:
        An array of the shape of `x`.

    Raises:
        ValueError: `x` is not float64; rounding would be larger than the difference.
    """
    _check_float64(x)

    def rise(index: Array, distance: float) -> Array:
        up = f(x.ravel().at[index].add(distance).reshape(x.shape))
        down = f(x.ravel().at[index].add(-distance).reshape(x.shape))
        # Subtracting before summing keeps the rounding error to that of one output.
        rises = jax.tree.map(lambda u, d, w: jnp.sum((u - d) * w), up, down, cotangent)
        return jax.tree.reduce(jnp.add, rises)

    def slope(index: Array) -> Array:
        return (8 * rise(index, step) - rise(index, 2 * step)) / (12 * step)

    return jax.jit(lambda: lax.map(slope, jnp.arange(x.size)))().reshape(x.shape)


def gradient_errors(
    f: Callable[..., Any], args: tuple[Any, ...], cotangent: Any, *, step: float = 1e-3
) -> tuple[Any, ...]:
    """Compute the relative error of `jax.vjp` of `f`, for every array in `args`.

    The gradients are compared with central differences.

    >>> import jax, jax.numpy as jnp
    >>> with jax.enable_x64(True):
    ...     (error,) = gradient_errors(jnp.tanh, (jnp.array([0.5, 1.0]),), jnp.ones(2))
    >>> error < 1e-9
    True

    Args:
        f: function of `args`; returns an array or a pytree of arrays.
        args: pytrees of float64 arrays.
        cotangent: weights of the outputs, of the structure of `f(*args)`.
        step: distance between neighbouring points.

    Returns:
        A tuple of the structure of `args`, with a float for each array.

    Raises:
        ValueError: an array in `args` is not float64.
    """
    for leaf in jax.tree.leaves(args):
        _check_float64(leaf)
    gradients = jax.vjp(f, *args)[1](cotangent)
    # All in one vector, since each call of `numerical_gradient` compiles `f` anew.
    vector, as_args = ravel_pytree(args)
    numerical = as_args(numerical_gradient(lambda x: f(*as_args(x)), vector, cotangent, step=step))
    return jax.tree.map(rel_error, gradients, numerical)


def _check_float64(x: Array) -> None:
    if x.dtype != jnp.float64:
        raise ValueError(
            f"numerical_gradient needs float64, got {x.dtype}: "
            "create the arrays and call it inside `with jax.enable_x64(True):`"
        )
