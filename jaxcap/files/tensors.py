"""Files of named tensors, safetensors or npz, checked against an expected layout.

Neither format can carry code. A PyTorch pickle can, so it is refused; the message says how to
convert it.
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.lib import format as npy
from safetensors import safe_open

from jaxcap.files import AnyPath
from jaxcap.files.text import check_file, list_names, one_line, plain

_CONVERT = (
    "convert it once, where PyTorch is installed: safetensors.torch.save_file("
    "torch.load('model.pth', weights_only=True), 'model.safetensors')"
)
_KERAS = "load it with Keras, and write the arrays of `model.get_weights()` by name with np.savez"
_REMEDIES = {
    ".keras": _KERAS,
    ".h5": _KERAS,
    ".onnx": "write its initializers with np.savez, by onnx.numpy_helper.to_array",
    ".npy": "write the arrays by name with np.savez",
    ".msgpack": "restore it with flax.serialization, and write its arrays by name with np.savez",
}

_SMALL_BYTES = 1 << 30
# Compression ratio far above that of any real weights.
_MOST_UNPACKED = 200
_LARGEST_HEADER = 1 << 16


def read_tensors(
    path: AnyPath, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Read the tensors of a network from a file; others in the file are ignored.

    Args:
        path: a `.safetensors` or `.npz` file.
        shapes: the tensors to read, each with the shape that it must have.

    Returns:
        The tensors by name, float32, converted from half or double precision if needed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or a tensor is missing, of another shape or type,
            or holds a value that is NaN or infinite; the message names it.
        OSError: the file is cut short or broken.
    """
    with _reading(path) as (names, get, _):
        for name, shape in shapes.items():
            if name not in names:
                raise _Wrong(
                    f"{name} is missing, expected shape {shape}; the file holds "
                    f"{list_names(names, most=4)}"
                )
        return {name: _check(name, get(name), shapes[name]) for name in shapes}


def read_all_tensors(path: AnyPath) -> dict[str, np.ndarray]:
    """Read every tensor of a file by its name, of any shape and type.

    Args:
        path: a `.safetensors` or `.npz` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or holds pickled objects.
        OSError: the file is cut short or broken.
    """
    with _reading(path) as (names, get, _):
        return {name: get(name) for name in sorted(names)}


def read_shapes(path: AnyPath) -> dict[str, tuple[int, ...]]:
    """Read the shape of every tensor of a file by its name; of safetensors, the header alone.

    Args:
        path: a `.safetensors` or `.npz` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or holds pickled objects.
        OSError: the file is cut short or broken.
    """
    with _reading(path) as tensors:
        return {name: tensors.shape(name) for name in sorted(tensors.names)}


def digest(path: AnyPath) -> str:
    """Digest a file: the first 12 hexadecimal digits of its SHA-256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


class _Wrong(Exception):
    """Fault of one tensor; `_naming` adds the file."""


class _Tensors(NamedTuple):
    names: set[str]
    get: Callable[[str], np.ndarray]
    shape: Callable[[str], tuple[int, ...]]


@contextmanager
def _reading(path: AnyPath) -> Iterator[_Tensors]:
    """Open a file; its errors name it."""
    path = check_file(path, expected="a .safetensors or .npz file")
    if path.suffix not in (".safetensors", ".npz"):
        remedy = _REMEDIES.get(path.suffix.lower(), _CONVERT)
        raise ValueError(f"{path}: expected a .safetensors or .npz file; {remedy}")
    with _naming(path), _open(path) as tensors:
        yield tensors


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the file to the errors raised about it."""
    try:
        yield
    except _Wrong as error:
        raise ValueError(f"{path}: {error}") from None
    # A broken file raises errors of many kinds: of zlib, zipfile and safetensors.
    except Exception as error:
        raise OSError(f"{path}: broken or cut short: {one_line(error)}; copy it again") from error


@contextmanager
def _open(path: Path) -> Iterator[_Tensors]:
    if path.suffix == ".npz":
        # np.load, given a path, leaves a broken file open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            _check_sizes(file.zip)
            get = partial(_get, file)
            yield _Tensors(set(file.files), get, lambda name: get(name).shape)
    else:
        with safe_open(path, framework="numpy") as file:
            yield _Tensors(
                set(file.keys()),
                file.get_tensor,
                lambda name: tuple(file.get_slice(name).get_shape()),
            )


def _check_sizes(file: zipfile.ZipFile) -> None:
    """Refuse arrays that unpack to far more than the file, or that declare more than they hold."""
    for entry in file.infolist():
        with file.open(entry) as stream:
            _check_header(entry, stream)
        if entry.file_size > max(_SMALL_BYTES, _MOST_UNPACKED * entry.compress_size):
            raise _Wrong(
                f"{plain(entry.filename)} unpacks from {entry.compress_size:,} to "
                f"{entry.file_size:,} bytes, more than real weights do; save it with np.savez"
            )


def _check_header(entry: zipfile.ZipInfo, stream: Any) -> None:
    """Refuse an array that declares more than it holds; NumPy would allocate all of it first."""
    start = io.BytesIO(stream.read(_LARGEST_HEADER))
    if not start.getvalue().startswith(npy.MAGIC_PREFIX):
        return
    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(start)
    if version not in headers:
        raise _Wrong(
            f"{plain(entry.filename)} has npy version {version}, expected 1.0 or 2.0; save plain "
            "arrays with np.savez"
        )
    shape, _, dtype = headers[version](start)
    declared = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and declared > entry.file_size:
        raise _Wrong(
            f"{plain(entry.filename)} has {entry.file_size:,} bytes and declares {declared:,}: it "
            "was cut short; copy it again"
        )


def _get(file: Any, name: str) -> np.ndarray:
    try:
        array = file[name]
        if isinstance(array, np.ndarray):
            return array
        raise _Wrong(f"{plain(name)} is not an array; save plain arrays with np.savez")
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise _Wrong(
            f"{plain(name)} holds pickled Python objects, which are never read; save plain arrays, "
            "as in np.savez('model.npz', **params)"
        ) from None


def _check(name: str, tensor: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    if tensor.shape != shape:
        raise _Wrong(f"{name} has shape {tensor.shape}, expected {shape}")
    # NumPy's kind of bfloat16 is not that of floats.
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        raise _Wrong(f"{name} has type {tensor.dtype}, expected floats")
    with np.errstate(over="ignore"):
        tensor = tensor.astype(np.float32, copy=False)
    if not np.isfinite(tensor).all():
        raise _Wrong(f"{name} holds values that are NaN or infinite")
    return tensor
