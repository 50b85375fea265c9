"""Advice on a file follows from what it is and from what failed: kinds, JSON, HDF5, the system."""

import bz2
import errno
import gzip
import io
import json
import lzma
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z
from PIL import Image

from jaxcap.files.hdf5 import find_dataset, open_hdf5, read_floats
from jaxcap.files.json import parse_json, read_json_value
from jaxcap.files.text import decode, read_file, read_text
from jaxcap.vision.images import open_image


def made(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tar(file):
    with tarfile.open(fileobj=file, mode="w") as archive:
        about = tarfile.TarInfo("0001.txt")
        about.size = 5
        archive.addfile(about, io.BytesIO(b"a cat"))


def hdf5(file):
    with h5py.File(file, "w") as written:
        written["a"] = 1


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("captions.csv", "a.jpg,a cat")


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12ab\nsize 99\n"
KINDS = {
    "packed by gzip; unpack it with gunzip": gzip.compress(b"a.jpg\ta cat"),
    "packed by bzip2; unpack it with bunzip2": bz2.compress(b"a.jpg\ta cat"),
    "packed by xz; unpack it with unxz": lzma.compress(b"a.jpg\ta cat"),
    "a zip archive, as .xlsx and .npz files are; unpack it": made(zipped),
    "a tar archive; unpack it with tar -xf": made(tar),
    "a Parquet file; write it as a text file": b"PAR1\x15\x04\x15\x08PAR1",
    "an Arrow file; write it as a text file": b"ARROW1\0\0\xff\xff\xff\xff",
    "an HDF5 file; give the file that is expected here": made(hdf5),
    "a NumPy array; give": made(lambda file: np.save(file, np.ones(3))),
    "a Python pickle, which is not read since it may run code; write it": pickle.dumps([1]),
    "a PNG picture; give": made(lambda file: Image.new("L", (2, 2)).save(file, "PNG")),
    "a PDF; save": made(lambda file: Image.new("L", (2, 2)).save(file, "PDF")),
    "a web page; download the file itself": b"\n<!DOCTYPE HTML>\n<html><body>Not found</body>",
    "a pointer of Git LFS, not the file; fetch the file with git lfs pull": LFS,
    "filled with zeros, as if it was never written; copy": bytes(99),
    "text in UTF-16; save it as UTF-8": "a.jpg\tein Kätzchen".encode("utf-16"),
    "text in UTF-16; save it": "a.jpg\tein Kätzchen".encode("utf-16-le"),
    r"a binary file of an unknown kind: it begins with b'\x00\x01\xff'": b"\0\1\xff",
}


@pytest.mark.parametrize(("said", "data"), KINDS.items(), ids=list(KINDS))
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path, said, data):
    path = tmp_path / "captions.txt"
    path.write_bytes(data)
    for read in (read_text, lambda path: decode(path, path.read_bytes())):
        with pytest.raises(ValueError, match=f"^{path}: is {re.escape(said)}"):
            read(path)
    if "UTF-16" not in said:
        with pytest.raises(ValueError, match=f"^{path}: is {re.escape(said)}"):
            read_json_value(path)
    known = said.partition(";")[0]
    if "HDF5" not in said and "binary" not in said:
        with pytest.raises(ValueError, match=f"^{path}: not an HDF5 file: it is {known}"):
            next(open_hdf5(path).gen)
    if not re.search("PNG|binary", said):
        with pytest.raises(ValueError, match=f"^{path}: not an image that .* it is {known}"):
            open_image(path)


def test_text_that_begins_like_another_kind_is_text():
    for text in (
        "The wide street",
        "IIRS.jpg",
        "BZh",
        "PARTY",
        "PK",
        "version 1",
        "%",
        "MZ",
        "II*",
        "a.jpg#0\tx" * 99,
        "",
        "<a>",
    ):
        assert decode("a", text.encode()) == text
    with pytest.raises(ValueError, match=r"line 2 is not UTF-8 \(byte 0xe9\); save it as UTF-8"):
        decode("a", b"a\ncaf\xe9")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n{"a": 2}\n', "it is JSON Lines, one value on each line; give one value"),
        ("[1]\r\n\r\n[2]", "it is JSON Lines"),
        ("1\n2", "Extra data.* behind a whole value"),
        ('{"a": 1} {"a": 2}', "Extra data.* behind a whole value"),
        ('{\n"a": 1}\n{\n"a": 2}', "Extra data: line 3"),
        (" \n", "it is empty"),
        ("{'a': 1}", r".*char 1\), a single quotation mark; write it with Python's json.dump"),
        ('{"a": b}', r".*char 6\); mend it there"),
        ('{"a": 1,, "b": 2}', r".*char 8\); mend it there"),
    ],
)
def test_text_that_is_not_json_is_told_apart(text, said):
    with pytest.raises(ValueError, match=f"^a.json: not JSON: {said}") as error:
        parse_json("a.json", text)
    assert "cut short" not in str(error.value)


def test_json_is_cut_short_wherever_it_ends_early():
    text = '[{"a\\n": "\\u00e9\\"b"}, true, null, -1.5e-3, NaN, -Infinity, [[], {}], 12]'
    assert len(parse_json("a", text)) == 8
    for end in range(1, len(text)):
        with pytest.raises(ValueError, match="it is cut short: copy or download it again"):
            parse_json("a", text[:end])


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.EACCES, "check its permissions and those of its folder"),
        (errno.EIO, "check the disk or the network drive"),
        (errno.EAGAIN, "another program has locked it"),
        (errno.ENOLCK, "look into that and try again"),
    ],
)
def test_what_the_system_does_not_give_has_its_own_advice(tmp_path, monkeypatch, code, remedy):
    def fail(*args, **options):
        raise OSError(code, f"error {code}")

    path = tmp_path / "a.json"
    path.write_bytes(b"{}")
    for method in ("open", "exists"):
        with monkeypatch.context() as patch, pytest.raises(OSError) as error:
            patch.setattr(Path, method, fail)
            read_file(path)
        assert str(error.value).startswith(f"{path}: cannot be read: error {code}; {remedy}")
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match=f"^{path}: cannot be read: error {code}; {remedy}"):
        next(open_hdf5(path).gen)


WRITER = """
import sys, h5py
plain = h5py.File(sys.argv[1], "w")
followed = h5py.File(sys.argv[2], "w", libver="latest")
for file in (plain, followed):
    file["features"] = [[1.0]]
followed.swmr_mode = True
print(flush=True)
sys.stdin.read()
"""


def features(path):
    with open_hdf5(path) as file:
        return read_floats(find_dataset(file, "features", ndim=2, kind="floats"))


def test_hdf5_that_another_program_writes_is_not_called_broken(tmp_path):
    paths = [tmp_path / "plain.h5", tmp_path / "followed.h5"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", WRITER, *paths], **pipes) as writer:
        writer.stdout.readline()
        for path in paths:
            with pytest.raises(
                OSError, match=r"; another program has it open for writing"
            ) as error:
                features(path)
            assert str(error.value).startswith(f"{path}: ") and "again" not in str(error.value)
    for path in paths:
        assert features(path) == [[1.0]]
    paths[0].write_bytes(paths[0].read_bytes()[:-9])
    with pytest.raises(OSError, match="cut short, or another program is still writing it: copy"):
        features(paths[0])


def test_hdf5_of_a_compression_that_is_missing_is_not_called_broken(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        plan = h5p.create(h5p.DATASET_CREATE)
        plan.set_chunk((4, 4))
        plan.set_filter(32001, h5z.FLAG_OPTIONAL, (2, 2, 4, 64))
        space = h5s.create_simple((4, 4))
        h5d.create(file.id, b"features", h5t.NATIVE_FLOAT, space, plan).write_direct_chunk(
            (0, 0), bytes(64)
        )
    with pytest.raises(OSError, match=r"compressed in a way that h5py lacks: write it with gzip"):
        features(tmp_path / "a.h5")


def test_names_of_kinds_stand_in_json_too(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps({}).encode()))
    with pytest.raises(ValueError, match=r"a\.json\.gz: is packed by gzip; unpack it with gunzip$"):
        read_json_value(tmp_path / "a.json.gz")
