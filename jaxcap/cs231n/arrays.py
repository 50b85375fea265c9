"""Pairs of forward and backward functions on NumPy arrays, as in the notebook, from JAX functions.

    forward = layer(f)
    out, cache = forward(x, w)
    dx, dw = backward(dout, cache)

Each function is compiled once for each combination of shapes and dtype, so a numerical gradient
check does not compile again at every call.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Int

K = TypeVar("K")
V = TypeVar("V")


class Dict(dict[K, V]):
    """A dictionary with `iteritems`, for notebooks of Python 2."""

    def iteritems(self) -> Iterator[tuple[K, V]]:
        """Iterate over the items, as `items` does."""
        return iter(self.items())


@dataclass(frozen=True, eq=False)
class Cache:
    """Residuals of a forward function for its backward function."""

    vjp: Any
    dtype: np.dtype


def common_dtype(*arrays: Any) -> np.dtype:
    """Find the dtype in which NumPy computes with `arrays`, float32 at least."""
    return np.result_type(np.float32, *map(np.asarray, arrays))


def check_ids(ids: Any, num: int, name: str) -> Int[np.ndarray, "..."]:
    """Copy word ids as int32.

    Raises:
        IndexError: an id is outside [0, num); JAX would read another row.
        TypeError: the ids are not integers.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"`{name}` has type {ids.dtype}, expected integers")
    if ids.size and not (ids.min() >= 0 and ids.max() < num):
        raise IndexError(
            f"`{name}` holds ids from {ids.min()} to {ids.max()}, expected 0 to {num - 1}, "
            f"since there are {num} words"
        )
    return ids.astype(np.int32)


def to_numpy(tree: Any) -> Any:
    """Copy the JAX arrays of a tree to writable NumPy arrays."""
    return jax.tree.map(np.array, tree)


def layer(function: Callable[..., Any]) -> Callable[..., tuple[Any, Cache]]:
    """Make a forward pass on NumPy arrays that saves what its backward pass needs.

    Args:
        function: pure function of floating-point arrays; keyword arguments are arrays without
            gradients.

    Returns:
        The function on NumPy arrays. It converts floating-point arrays to the dtype in which NumPy
        would compute. It returns the value of `function` and a `Cache`.
    """

    @jax.jit
    def forward(arrays: list[Any], fixed: dict[str, Any]) -> Any:
        return jax.vjp(partial(function, **fixed), *arrays)

    def call(*arrays: Any, **fixed: Any) -> tuple[Any, Cache]:
        dtype = common_dtype(*arrays)
        # Copies, since the cache may hold the arguments and a gradient check writes to them.
        copies = [np.array(array, dtype) for array in arrays]
        with jax.enable_x64(True):
            out, vjp = forward(copies, fixed)
        return to_numpy(out), Cache(vjp, dtype)

    return call


def backward(cotangents: Any, cache: Cache) -> Any:
    """Compute the gradients of the floating-point arguments of a forward function, in their order.

    Args:
        cotangents: gradient of its value, of the same structure.
        cache: the `Cache` that it returned.
    """
    cotangents = jax.tree.map(lambda array: np.asarray(array, cache.dtype), cotangents)
    with jax.enable_x64(True):
        return to_numpy(_pull_back(cache.vjp, cotangents))


@jax.jit
def _pull_back(vjp: Any, cotangents: Any) -> Any:
    return vjp(cotangents)
