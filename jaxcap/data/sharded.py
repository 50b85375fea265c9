"""Arrays with rows sharded over devices; each process reads only its own rows."""

from collections.abc import Callable
from functools import partial

import h5py
import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, Float, Shaped

from jaxcap.files.hdf5 import read_floats


def padding(rows: int, sharding: NamedSharding | None) -> int:
    """Return the number of rows to add so that all devices hold equally many."""
    return 0 if sharding is None else -rows % _parts(sharding)


def read_sharded(
    shape: tuple[int, ...],
    dtype: np.dtype,
    sharding: NamedSharding,
    read: Callable[[int, int], Shaped[np.ndarray, "..."]],
) -> Shaped[Array, "..."]:
    """Read an array sharded by rows, followed by `padding` rows of zeros.

    Args:
        shape: shape of the array, without padding.
        dtype: type of the array.
        sharding: sharding of its first axis.
        read: returns the rows from `first` to `last` (exclusive). It is called only for the devices
            of this process, and once for devices that hold the same rows.
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

    Chunks are read into a single host buffer; HDF5 converts other float types while reading. On the
    CPU the result is that buffer itself. On another device it is a copy, and the buffer is freed.

    Args:
        dataset: (K, D) floats of any precision.
        sharding: sharding of the rows, padded with zeros if they do not divide.

    Raises:
        ValueError: a feature is NaN or infinite (in float32); the message names its row.
        OSError: the file is broken.
    """
    if sharding is not None:
        float32 = np.dtype(np.float32)
        return read_sharded(dataset.shape, float32, sharding, partial(read_floats, dataset))
    return jax.device_put(read_floats(dataset), may_alias=True)


def _parts(sharding: NamedSharding) -> int:
    """Return the number of parts of the first axis."""
    return sharding.mesh.shape[sharding.spec[0]]
