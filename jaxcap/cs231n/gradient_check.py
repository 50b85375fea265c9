"""The gradient checks of the course, by central differences of functions of NumPy arrays.

`jaxcap.nn.gradcheck` differentiates functions that JAX can trace. The functions of a notebook call
NumPy, and some ignore their argument and read the array from outside. So the array is changed here
in place, one element at a time, and restored.
"""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

_Floats = Float[np.ndarray, "..."]


def eval_numerical_gradient(
    f: Callable[[_Floats], Any], x: np.ndarray, verbose: bool = True, h: float = 1e-5
) -> _Floats:
    """Compute the gradient of a function that returns a scalar.

    Args:
        f: the function.
        x: the point, a floating-point array of any shape; changed in place and restored.
        verbose: also print each index and its slope.
        h: half the distance between the two points of a difference.

    Raises:
        ValueError: `x` holds integers.
    """
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = _ends(f, x, index, h)
        gradient[index] = (up - down) / (2 * h)
        if verbose:
            print(index, gradient[index])
    return gradient


def eval_numerical_gradient_array(
    f: Callable[[_Floats], _Floats], x: np.ndarray, df: _Floats | float, h: float = 1e-5
) -> _Floats:
    """Compute the gradient of `sum(f(x) * df)` for a function that returns an array.

    Args:
        f: the function.
        x: the point, a floating-point array of any shape; changed in place and restored.
        df: gradient of the value of the function.
        h: half the distance between the two points of a difference.

    Raises:
        ValueError: `x` holds integers.
    """
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = _ends(f, x, index, h)
        gradient[index] = np.sum((up - down) * df) / (2 * h)
    return gradient


def grad_check_sparse(
    f: Callable[[_Floats], Any],
    x: np.ndarray,
    analytic_grad: _Floats,
    num_checks: int = 10,
    h: float = 1e-5,
) -> None:
    """Print numerical slopes of a scalar function next to `analytic_grad`, at a few elements.

    The elements are drawn by `random`, as in the code of the course, and so follow `random.seed`.
    """
    for _ in range(num_checks):
        index = tuple(random.randrange(size) for size in x.shape)
        up, down = _ends(f, x, index, h)
        numerical, analytic = (up - down) / (2 * h), analytic_grad[index]
        error = abs(numerical - analytic) / (abs(numerical) + abs(analytic))
        print(f"numerical: {numerical:f} analytic: {analytic:f}, relative error: {error:e}")


def _ends(
    f: Callable[[_Floats], Any], x: np.ndarray, index: tuple[int, ...], h: float
) -> tuple[Any, Any]:
    """Evaluate the function with the element at `index` larger by `h`, and smaller by `h`."""
    if x.dtype.kind != "f":
        raise ValueError(f"`x` has type {x.dtype}, expected floats: use x.astype(np.float64)")
    value = x[index]
    try:
        x[index] = value + h
        # A copy, since a function may return what it was given.
        up = np.asarray(f(x)).copy()
        x[index] = value - h
        return up, np.asarray(f(x)).copy()
    finally:
        x[index] = value
