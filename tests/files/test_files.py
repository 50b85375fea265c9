"""Files are replaced whole, tensors checked and kept as they are, and messages name the place."""

import errno
import hashlib

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxcap.commands.messages import in_flags
from jaxcap.files.tensors import digest, read_all_tensors, read_tensors
from jaxcap.files.text import decode, list_names, one_line, plain, quote
from jaxcap.files.whole import check_room, replacing, writing


def test_a_file_is_replaced_whole_or_stays_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        with replacing(str(path)) as partial:
            partial.write_text("new")
            assert path.read_text() == "old"
        # Whoever has the old one open keeps it, since a file is renamed and never written over.
        assert reader.read() == "old"
    for error, message in (
        (OSError("full"), "full"),
        (OSError(28, "No space"), r"No space.*a\.txt"),
    ):
        with pytest.raises(OSError, match=message), replacing(path) as partial:
            partial.write_text("half")
            raise error
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_a_disk_that_cannot_be_written_is_one_sentence(tmp_path):
    for error, reason in (
        (OSError(errno.ENOSPC, "x"), "No space left on device"),
        (OSError("HDF5\nis  full"), "HDF5 is full"),
        (RuntimeError("HDF5"), "HDF5"),
    ):
        with pytest.raises(OSError, match=rf"^a/b: cannot be written \({reason}\): make room$"):
            with writing("a/b", "make room", RuntimeError):
                raise error
    with pytest.raises(KeyError), writing("a", "b"):
        raise KeyError
    check_room(tmp_path, 1)
    with pytest.raises(OSError, match="MB are free, 1000000000000.0 MB are needed"):
        check_room(tmp_path, 10**18)


def test_what_is_quoted_fits_a_line():
    assert plain("poupée") == "poupée" and plain("a\nb") == r"'a\nb'" and len(plain("x" * 999)) < 99
    assert len(quote([["x" * 10**5] * 99] * 99)) <= 203 and one_line("a\n  b ") == "a b"
    assert list_names(["b", "a\n", "c"], 2) == r"'a\n', b, ..." and list_names([], 2) == "nothing"
    assert decode("f", b"\xef\xbb\xbfa", "utf-8-sig") == "a"
    for raw in (b"\xef\xbb\xbfa\nb\xff", b"a\nb\xff"):
        with pytest.raises(ValueError, match=r"f: line 2 is not UTF-8 \(byte 0xff\)"):
            decode("f", raw, "utf-8-sig")


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz"])
def test_tensors_are_kept_or_become_single_precision(tmp_path, name):
    weight, bias = np.arange(6, dtype=np.float16).reshape(2, 3), np.ones(3)
    arrays, path = {"a": weight, "b": bias, "other": np.zeros(2, np.int32)}, tmp_path / name
    np.savez_compressed(path, **arrays) if name == "a.npz" else save_file(arrays, path)
    found = read_tensors(str(path), {"a": (2, 3), "b": (3,)})
    assert {name: tensor.dtype for name, tensor in found.items()} == dict.fromkeys("ab", np.float32)
    np.testing.assert_array_equal(found["a"], weight)
    kinds = {name: (tensor.shape, tensor.dtype) for name, tensor in read_all_tensors(path).items()}
    assert kinds == {name: (array.shape, array.dtype) for name, array in arrays.items()}
    assert digest(str(path)) == hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    raw = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(raw[: int(len(raw) * share)])
        with pytest.raises(OSError, match=f"{name}: broken or cut short"):
            read_all_tensors(path)


FLAGS = {"batch_size": False, "resume": True, "pca_features": True, "dataset": False}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("give `batch_size`", "give --batch_size"),
        ("`batch_size=32` or `batch_size=64`", "--batch_size=32 or --batch_size=64"),
        ("by `resume` or `resume=True`", "by --resume or --resume"),
        ("`pca_features=False` reads them", "--nopca_features reads them"),
        ('`dataset="coco"` needs `data_dir`', "--dataset=coco needs `data_dir`"),
        ("`val[0]` and `features` and `x y`", "`val[0]` and `features` and `x y`"),
        (
            "a caption ``batch_size'' with --batch_size",
            "a caption ``batch_size'' with --batch_size",
        ),
    ],
)
def test_a_command_writes_arguments_as_its_flags(message, said):
    assert in_flags(message, FLAGS) == said
