"""Arrays whose rows are split over devices, of which each process reads only its own."""

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Shaped


def padding(rows: int, sharding: NamedSharding | None) -> int:
    """Rows that must be added for all devices to hold as many."""
    return 0 if sharding is None else -rows % _parts(sharding)


def read_sharded(
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: NamedSharding,
    read: Callable[[int, int], Shaped[np.ndarray, "..."]],
) -> Shaped[Array, "..."]:
    """Lay out an array by its rows, with `padding` rows of zeros behind them.

    Args:
        shape: of the array, without padding.
        dtype: of the array.
        sharding: of its first axis.
        read: gives the rows from a first to before a last; asked for this process's devices' only,
            and once for devices that hold the same.
    """
    rows, *rest = shape
    padded = (rows + padding(rows, sharding), *rest)
    parts: dict[int, np.ndarray] = {}

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        start, stop, _ = index[0].indices(padded[0])
        if start not in parts:
            held = min(stop, rows) - start
            values = read(start, start + held) if held > 0 else np.empty((0, *rest))
            whole = np.zeros((stop - start, *rest), dtype)
            whole[: max(held, 0)] = values
            parts[start] = whole
        return parts[start]

    return jax.make_array_from_callback(padded, sharding, part, dtype=dtype)


def _parts(sharding: NamedSharding) -> int:
    """How many parts the first axis is in."""
    return sharding.mesh.shape[sharding.spec[0]]
