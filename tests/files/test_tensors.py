"""Weights files are checked before use, and nothing in them is executed."""

import hashlib
import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxcap.files.tensors import digest, read_all_tensors, read_tensors

SHAPES = {"a.weight": (2, 3), "a.bias": (3,)}


def tensors(**changes):
    return {
        "a.weight": np.arange(6, dtype=np.float16).reshape(2, 3),
        "a.bias": np.ones(3),
        "other": np.zeros(2, np.int32),
        **changes,
    }


def write(path, arrays):
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        save_file(arrays, path)
    return path


@pytest.fixture(params=["a.safetensors", "a.npz"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_half_and_double_become_single(path):
    found = read_tensors(write(path, tensors()), SHAPES)
    assert sorted(found) == sorted(SHAPES)
    assert all(tensor.dtype == np.float32 for tensor in found.values())
    np.testing.assert_array_equal(found["a.weight"], [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a.bias": np.ones(4)}, r"a\.bias has shape \(4,\), expected \(3,\)"),
        ({"a.bias": np.ones(3, np.int32)}, r"a\.bias has type int32, expected floats"),
        ({"a.bias": np.array([0, np.nan, 0])}, r"a\.bias holds values that are NaN"),
        ({"a.weight": np.full((2, 3), np.inf)}, r"a\.weight holds values that are NaN or infinite"),
    ],
)
def test_wrong_tensors_are_named(path, changes, message):
    with pytest.raises(ValueError, match=f"{path.name}: {message}"):
        read_tensors(write(path, tensors(**changes)), SHAPES)


def test_missing_tensor_is_named(path):
    arrays = tensors()
    del arrays["a.bias"]
    with pytest.raises(ValueError, match=r"a\.bias is missing, expected shape \(3,\).*a\.weight"):
        read_tensors(write(path, arrays), SHAPES)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_cut_short(path, share):
    write(path, tensors())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(OSError, match=f"{path.name}: broken or cut short"):
        read_tensors(path, SHAPES)


def test_missing_file_and_other_kinds(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_tensors(tmp_path / "a.npz", SHAPES)
    path = tmp_path / "vgg16.pth"
    path.write_bytes(pickle.dumps({}))
    with pytest.raises(ValueError, match=r"expected a \.safetensors or \.npz file; convert it"):
        read_tensors(path, SHAPES)


def test_pickled_arrays_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **tensors(**{"a.bias": np.array([{}, {}, {}], dtype=object)}))
    with pytest.raises(
        ValueError, match=r"a\.npz: a\.bias holds pickled Python objects.*np\.savez"
    ):
        read_tensors(path, SHAPES)


def test_all_tensors_come_as_they_are_stored(path):
    found = read_all_tensors(write(path, tensors()))
    assert {name: (x.shape, x.dtype.name) for name, x in found.items()} == {
        "a.bias": ((3,), "float64"),
        "a.weight": ((2, 3), "float16"),
        "other": ((2,), "int32"),
    }


def test_digest(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest(path) == hashlib.sha256(b"abc").hexdigest()[:12]
