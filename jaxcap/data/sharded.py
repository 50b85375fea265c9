"""Arrays whose rows are split over devices, of which each process reads only its own."""

from collections.abc import Callable
from functools import partial

import h5py
import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Shaped

from jaxcap.files.hdf5 import read_floats


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


def read_features(
    dataset: h5py.Dataset, sharding: NamedSharding | None = None
) -> Float[Array, "K D"]:
    """Read features as float32 onto the default device, or this process's rows onto several.

    They are read chunk by chunk into the one buffer that the host ever holds; HDF5 converts other
    widths on the way. On the CPU the array returned is that buffer itself, on another device a
    copy of it, after which the buffer is dropped.

    Args:
        dataset: (K, D) floats of any width.
        sharding: of the rows, with zeros behind them where they do not divide.

    Raises:
        ValueError: a feature is NaN or infinite (in float32); the message names its row.
        OSError: the file is broken.
    """
    if sharding is not None:
        float32 = np.dtype(np.float32)
        return read_sharded(dataset.shape, float32, sharding, partial(read_floats, dataset))
    return jax.device_put(read_floats(dataset), may_alias=True)


def _parts(sharding: NamedSharding) -> int:
    """How many parts the first axis is in."""
    return sharding.mesh.shape[sharding.spec[0]]
