"""Files of named tensors: safetensors or npz, of a stated layout, checked before use.

Neither format can carry code. A PyTorch pickle can, so it is refused, with the way to convert it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import safe_open

_CONVERT = (
    "convert it once, where PyTorch is installed: safetensors.torch.save_file("
    "torch.load('model.pth', weights_only=True), 'model.safetensors')"
)


def read_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Read the tensors of a network from a file; others in the file are not looked at.

    Args:
        path: a `.safetensors` or `.npz` file.
        shapes: the tensors to read, each with the shape that it must have.

    Returns:
        The tensors by name, float32, converted from half or double precision where need be.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or a tensor is missing, of another shape or type,
            or holds a value that is NaN or infinite; the message names it.
        OSError: the file is cut short or broken.
    """
    with _reading(path) as (names, get):
        for name, shape in shapes.items():
            if name not in names:
                some = ", ".join(sorted(names)[:4]) or "nothing"
                raise _Wrong(
                    f"{name} is missing, expected shape {shape}; the file holds {some}, ..."
                )
        return {name: _check(name, get(name), shapes[name]) for name in shapes}


def read_all_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of a file by its name, of whatever shape and type it is.

    Args:
        path: a `.safetensors` or `.npz` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is of another kind, or holds pickled objects.
        OSError: the file is cut short or broken.
    """
    with _reading(path) as (names, get):
        return {name: get(name) for name in sorted(names)}


def digest(path: Path) -> str:
    """Name a file by its contents: the first 12 hexadecimal digits of its SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


class _Wrong(Exception):
    """A tensor that is not what was expected."""


_Tensors = tuple[set[str], Callable[[str], np.ndarray]]


@contextmanager
def _reading(path: Path) -> Iterator[_Tensors]:
    """Open a file; what is raised about it names it."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix not in (".safetensors", ".npz"):
        raise ValueError(f"{path}: expected a .safetensors or .npz file; {_CONVERT}")
    with _naming(path), _open(path) as tensors:
        yield tensors


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in what is raised about it."""
    try:
        yield
    except _Wrong as error:
        raise ValueError(f"{path}: {error}") from None
    # A broken file shows in errors of many kinds: zlib's, zipfile's, safetensors' own.
    except Exception as error:
        detail = " ".join(str(error).split())
        raise OSError(f"{path}: broken or cut short: {detail}; copy it again") from error


@contextmanager
def _open(path: Path) -> Iterator[_Tensors]:
    if path.suffix == ".npz":
        # np.load leaves a file that it opened itself open when it finds it broken.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            yield set(file.files), partial(_get, file)
    else:
        with safe_open(path, framework="numpy") as file:
            yield set(file.keys()), file.get_tensor


def _get(file: Any, name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise _Wrong(
            f"{name} holds pickled Python objects, which are never read: save plain arrays, as in "
            "np.savez('model.npz', **params)"
        ) from None


def _check(name: str, tensor: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "..."]:
    if tensor.shape != shape:
        raise _Wrong(f"{name} has shape {tensor.shape}, expected {shape}")
    if tensor.dtype.kind != "f":
        raise _Wrong(f"{name} has type {tensor.dtype}, expected floats")
    tensor = tensor.astype(np.float32, copy=False)
    if not np.isfinite(tensor).all():
        raise _Wrong(f"{name} holds values that are NaN or infinite")
    return tensor
