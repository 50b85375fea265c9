"""NumPy arrays at the edge and JAX inside: how a function of jaxcap becomes the notebook's pair.

    forward = layer(f)
    out, cache = forward(x, w)
    dx, dw = backward(dout, cache)

Each function is compiled once for the shapes and the dtype that it meets, so that a numerical
gradient check does not compile again at every call.
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
    """A dictionary that notebooks of Python 2 can iterate over, too."""

    def iteritems(self) -> Iterator[tuple[K, V]]:
        """Iterate over the items, as `items` does."""
        return iter(self.items())


@dataclass(frozen=True, eq=False)
class Cache:
    """What a forward function keeps for its backward function."""

    vjp: Any
    dtype: np.dtype


def common_dtype(*arrays: Any) -> np.dtype:
    """The dtype that NumPy computes in from `arrays`, float32 at least."""
    return np.result_type(np.float32, *arrays)


def check_ids(ids: Any, num: int, name: str) -> Int[np.ndarray, "..."]:
    """Copy word ids as int32.

    Raises:
        IndexError: an id is outside [0, num), which JAX would take for another.
        TypeError: they are not integers.
    """
    ids = np.asarray(ids)
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} has type {ids.dtype}, expected integers")
    if ids.size and not (ids.min() >= 0 and ids.max() < num):
        raise IndexError(
            f"{name} holds ids from {ids.min()} to {ids.max()}, expected 0 to {num - 1}, "
            f"for there are {num} words"
        )
    return ids.astype(np.int32)


def to_numpy(tree: Any) -> Any:
    """Copy arrays of JAX, as writable ones of NumPy; other structure stays."""
    return jax.tree.map(np.array, tree)


def layer(function: Callable[..., Any]) -> Callable[..., tuple[Any, Cache]]:
    """Make a forward pass on NumPy arrays that keeps what its backward pass needs.

    Args:
        function: pure function of floating-point arrays; keyword arguments are arrays that get no
            gradient.

    Returns:
        The function on NumPy arrays. The floating-point ones are first brought to the dtype that
        NumPy would compute in. Its value is that of `function` and a `Cache`.
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
    """Gradients of a forward function's floating-point arguments, in their order.

    Args:
        cotangents: gradient of its value, of the same structure.
        cache: what it gave beside its value.
    """
    cotangents = jax.tree.map(lambda array: np.asarray(array, cache.dtype), cotangents)
    with jax.enable_x64(True):
        return to_numpy(_pull_back(cache.vjp, cotangents))


@jax.jit
def _pull_back(vjp: Any, cotangents: Any) -> Any:
    return vjp(cotangents)
