"""HDF5 files, read defensively: each fault is one error that names the file and the dataset.

A dataset must be stored in the file itself. Links, external storage and virtual datasets are
refused, so reading a folder reads nothing outside it. A dataset must be filled to its declared
shape. One that unpacks to much more than the file is refused, so the size of a file bounds the
memory that it takes.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager

import h5py
import numpy as np
from h5py import h5l  # pyright: ignore[reportAttributeAccessIssue]  (a compiled module)
from jaxtyping import Float, Integer, Shaped
from numpy.typing import DTypeLike

from jaxcap.files import AnyPath
from jaxcap.files.kinds import kind_of
from jaxcap.files.text import check_file, list_names, one_line, unreadable

_CHUNK_BYTES = 16 << 20
_SMALL_BYTES = 1 << 30
# Compression ratio far above that of any real features or captions.
_MOST_UNPACKED = 200
_NAMED = 12
# By what HDF5 says.
_REMEDIES = {
    "unable to lock file": "another program has it open for writing: close that program, or wait "
    "until it ends",
    "already open for write": "another program has it open for writing, or was stopped before it "
    "closed the file: close that program; if there is none, run h5clear -s on a copy of the file",
    "truncated file": "it is cut short, or another program is still writing it: copy or download "
    "it again, or wait until that program closes it",
    "Input/output error": "check the disk or the network drive, or read a copy from elsewhere",
    **dict.fromkeys(
        ("not registered", "/plugin"),
        "it is compressed in a way that h5py lacks: write it with gzip, or without compression",
    ),
}
# XLA on the CPU uses memory of this alignment in place and copies any other.
_XLA_ALIGNMENT = 64


@contextmanager
def open_hdf5(path: AnyPath, *, rdcc_nbytes: int | None = None) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading; `rdcc_nbytes` are those of HDF5's cache of chunks.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not HDF5.
        OSError: the file is cut short, broken, unreadable, or another program is writing it.
    """
    path = check_file(path, expected="an HDF5 file")
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise unreadable(path, error) from error
    if not h5py.is_hdf5(path):
        found, remedy = "is empty", "copy or download it again"
        if kind := kind_of(head):
            found, remedy = f"is {kind.name}", kind.remedy
        elif head:
            found = f"begins with {head[:16]!r}"
        raise ValueError(f"{path}: not an HDF5 file: it {found}; {remedy}")
    with naming(str(path)):
        file = h5py.File(path, "r", locking="best-effort", rdcc_nbytes=rdcc_nbytes)
    with file:
        yield file


def find_dataset(file: h5py.File, name: str, *, ndim: int, kind: str) -> h5py.Dataset:
    """Look up a dataset and check its rank and its type, without reading it.

    Args:
        file: an open file.
        name: the dataset's name at the file's root.
        ndim: the rank expected.
        kind: "integers" or "floats".

    Raises:
        ValueError: the dataset is missing, empty, of another rank or type, never filled, or not
            stored in the file itself.
        OSError: the file is broken.
    """
    where = f"{file.filename}: {name}"
    with naming(where):
        if not file.id.links.exists(name.encode()):
            # h5py gives names that are not UTF-8 as bytes.
            found = [name if isinstance(name, str) else repr(name) for name in file]
            raise ValueError(f"{where} is missing; the file holds {list_names(found, most=_NAMED)}")
        if file.id.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise ValueError(f"{where} is a link, expected a dataset; copy the data into the file")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise ValueError(f"{where} is a group, expected a dataset; write the file again")
        if dataset.is_virtual or dataset.external:
            raise ValueError(f"{where} is stored in another file; copy the data into this one")
        expected = f"expected {ndim} dimensions of {kind}"
        if dataset.shape is None or dataset.ndim != ndim:
            raise ValueError(f"{where} has shape {dataset.shape}, {expected}")
        if dataset.dtype.kind not in {"integers": "iu", "floats": "f"}[kind]:
            raise ValueError(f"{where} has type {dataset.dtype}, {expected}")
        if dataset.size == 0:
            raise ValueError(f"{where} is empty, of shape {dataset.shape}; {expected}")
        _check_storage(dataset, where)
    return dataset


def _check_storage(dataset: h5py.Dataset, where: str) -> None:
    stored, filled = dataset.id.get_storage_size(), math.prod(dataset.shape)
    expected = filled
    size = os.path.getsize(dataset.file.filename)
    unpacked = dataset.nbytes
    if dataset.chunks is None:
        filled = stored // dataset.dtype.itemsize
    elif stored:
        # HDF5 unpacks whole chunks, even where the dataset covers only part of one.
        chunk = math.prod(dataset.chunks)
        unpacked = max(unpacked, chunk * dataset.dtype.itemsize)
        filled = dataset.id.get_num_chunks() * chunk
    # HDF5 reads unwritten values as zeros.
    if stored == 0 or filled < expected:
        raise ValueError(
            f"{where} was never filled: {stored} of {dataset.nbytes} bytes; write it again"
        )
    if stored > size:
        raise ValueError(
            f"{where} claims {stored:,} bytes in a file of {size:,}; copy or download it again"
        )
    if unpacked > max(_SMALL_BYTES, _MOST_UNPACKED * stored):
        raise ValueError(
            f"{where} unpacks from {stored:,} to {unpacked:,} bytes, more than real data do; if "
            "that is intended, write it without compression"
        )


def place(dataset: h5py.Dataset) -> str:
    """Name a dataset for a message: its file, then its name in the file."""
    return f"{dataset.file.filename}: {(dataset.name or '').lstrip('/')}"


def read_integers(
    dataset: h5py.Dataset, first: int = 0, last: int | None = None
) -> Integer[np.ndarray, "..."]:
    """Read integers in their stored type, rows `first` to `last` (exclusive), by default all."""
    with naming(place(dataset)):
        return dataset[first:last]


def read_floats(
    dataset: h5py.Dataset,
    first: int = 0,
    last: int | None = None,
    *,
    dtype: DTypeLike = np.float32,
) -> Float[np.ndarray, "K ..."]:
    """Read floats as `dtype` into host memory, rows `first` to `last` (exclusive), by default all.

    Raises:
        ValueError: a value is NaN or infinite (in `dtype`); the message names its row.
        OSError: the file is broken.
    """
    last = len(dataset) if last is None else last
    buffer = aligned((last - first, *dataset.shape[1:]), np.dtype(dtype))
    rows = max(1, _CHUNK_BYTES // max(1, buffer[:1].nbytes))
    if dataset.chunks:
        # A chunk that is read in two parts is decompressed twice.
        rows = -(-rows // dataset.chunks[0]) * dataset.chunks[0]
    for start in range(0, len(buffer), rows):
        part = buffer[start : start + rows]
        with naming(place(dataset)):
            dataset.read_direct(part, np.s_[first + start : first + start + len(part)])
        check_finite(part, place(dataset), first + start)
    return buffer


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> Shaped[np.ndarray, "..."]:
    """Allocate an array that XLA on the CPU can use in place."""
    nbytes = int(np.prod(shape)) * dtype.itemsize
    memory = np.empty(nbytes + _XLA_ALIGNMENT, np.uint8)
    skip = -memory.ctypes.data % _XLA_ALIGNMENT
    return memory[skip : skip + nbytes].view(dtype).reshape(shape)


def check_finite(features: Float[np.ndarray, "K ..."], where: str, first_row: int = 0) -> None:
    """Refuse features or grids that are NaN or infinite.

    Args:
        features: (K, D) or (K, L, D) floats.
        where: their file and dataset, for the message.
        first_row: number of their first row in the dataset.

    Raises:
        ValueError: a feature is NaN or infinite; the message names its row and column.
    """
    # The sum is finite only if every term is, and costs no temporary array.
    with np.errstate(all="ignore"):
        if np.isfinite(features.sum(dtype=np.result_type(features, np.float32))):
            return
    bad = np.argwhere(~np.isfinite(features))
    # The sum of finite terms may overflow.
    if len(bad):
        row, *_, column = place = bad[0].tolist()
        raise ValueError(
            f"{where} row {first_row + row} (one image) holds {features[tuple(place)]} in column "
            f"{column}, expected finite numbers; compute the features of that image again"
        )


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Turn h5py's errors about a file into one OSError with the place and advice by the cause."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, ValueError) and str(error).startswith(where):
            raise
        # KeyErrors come in quotation marks.
        detail = one_line(str(error).strip("'"))
        remedies = (remedy for said, remedy in _REMEDIES.items() if said in detail)
        remedy = next(remedies, "copy or download it again")
        raise OSError(f"{where}: cannot be read: {detail}; {remedy}") from error
