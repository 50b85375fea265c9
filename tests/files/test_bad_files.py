"""A file that is not what it should be is one error of one line, in bounded time and memory.

The line begins with the file's path. Nothing is unpickled or run, and nothing outside the file or
folder that was named is read.
"""

import codecs
import io
import json
import os
import pickle
import resource
import shutil
import struct
import subprocess
import time
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager
from itertools import product

import h5py
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save
from spoiling import FAULTS, put

from jaxcap.convert import from_numpy, from_torch
from jaxcap.data.coco import load_coco
from jaxcap.data.grid_writing import write_grids
from jaxcap.data.projection import Projection
from jaxcap.datasets import Placement, load_data
from jaxcap.files import tensors, text
from jaxcap.files.json import read_json_value
from jaxcap.files.tensors import read_all_tensors, read_tensors
from jaxcap.formats.read import read_caption_file
from jaxcap.learning.metrics import METRICS_FILE, read_metrics
from jaxcap.preparing.splits import SplitChoice, assign_splits
from jaxcap.preparing.store import FeatureStore
from jaxcap.scoring.results import read_references, read_results
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.words import split_words
from jaxcap.vision.formats import REFUSED_FORMATS
from jaxcap.vision.images import open_image

SHAPES = {"a": (1,), "b": (2, 3)}
FOLDERS = ("data", "grids")
"""Those that read a whole folder."""
READERS = {
    "data": lambda path: load_coco(path.parent),
    "grids": lambda path: load_data(path.parent, placement=Placement(grids=True)),
    "json": read_json_value,
    "words": Vocabulary.load,
    "results": read_results,
    "references": read_references,
    "captions": read_caption_file,
    "list": lambda path: assign_splits([], SplitChoice(train_list=path, val_list=path)),
    "tensors": lambda path: read_tensors(path, SHAPES),
    "all": read_all_tensors,
    "numpy": from_numpy,
    "torch": from_torch,
    "pca": Projection.load,
    "image": open_image,
}
JSON = ("json", "words", "results", "references", "captions")
TENSORS = ("tensors", "all", "numpy")
# Generous beside the milliseconds and the few MB that a refusal takes.
SECONDS, BYTES = 20, 200 << 20


@contextmanager
def bounded(nbytes=BYTES):
    """Fails where what is within takes long, or much memory from Python, NumPy or the system."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tracemalloc.start()
    # Of this process, since others may be at work.
    begin = time.process_time()
    try:
        yield
        assert time.process_time() - begin < SECONDS
        assert tracemalloc.get_traced_memory()[1] < nbytes
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < 2 * nbytes


def refused(reader, path, *parts, nbytes=BYTES, kind=(ValueError, OSError)):
    with bounded(nbytes), pytest.raises(kind) as error:
        READERS[reader](path)
    message = str(error.value)
    assert message.startswith(str(path)), message
    assert "\n" not in message and len(message) < 1000, message
    assert not [part for part in parts if part not in message], message


def h5(fault, *arguments):
    def spoil(path):
        with h5py.File(path, "r+") as file:
            fault(file, *arguments)

    return spoil


def other(name, value):
    """Other values for a dataset."""
    return h5(put, name, np.asarray(value))


def at(name, place, value):
    return h5(lambda file: file[name].__setitem__(place, value))


def cut(share):
    return lambda path: path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def broken_chunk(path):
    with h5py.File(path, "r+") as file:
        put(file, "features", file["features"][...], chunks=(10, 6), compression="gzip")
        offset = file["features"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(40))


def many_names(file):
    file.move("features", "two\nlines")
    file[b"\xff"] = [1.0]
    for i in range(2000):
        file.create_group(f"group{i}")


def bomb(path):
    """Zeros that gzip packs a thousand times: the file declares 5 GB and has as many chunks."""
    shape, chunk = (1 << 20, 1200), (1 << 14, 1200)
    packed = zlib.compress(bytes(4 * chunk[0] * chunk[1]))
    with h5py.File(path, "w") as file:
        options = {"chunks": chunk, "compression": "gzip"}
        features = file.create_dataset("features", shape, np.float32, **options)
        for start in range(0, shape[0], chunk[0]):
            features.id.write_direct_chunk((start, 0), packed)


def words(*found, **changes):
    ids = {word: i for i, word in enumerate(found)} | changes
    return {"idx_to_word": found, "word_to_idx": ids}


def other_words(path):
    found = Vocabulary.load(path.with_name(WORDS)).idx_to_word[4:]
    Vocabulary.build(found[::-1]).save(path.with_name(WORDS))


def karpathy(**fields):
    return {"images": [{"filename": "a", "sentences": []} | fields]}


def coco(annotation=None, *, images=({"id": 7, "file_name": "a.jpg"},)):
    return {"images": images, "annotations": [{"image_id": 7, "caption": "x"} | (annotation or {})]}


def tensor(**changes):
    return save({"a": np.ones(1), "b": np.ones((2, 3)), **changes})


def safetensors(kind, shape, place):
    head = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": place}}).encode()
    return struct.pack("<Q", len(head)) + head + bytes(64)


def picture(format):
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(file, format)
    return file.getvalue()


CAP, TRAIN, VAL = "coco2014_captions.h5", *(f"{s}2014_vgg16_fc7_pca.h5" for s in ("train", "val"))
GRID = "val2014_grid.h5"
WORDS, ABOUT, URLS = "coco2014_vocab.json", "dataset.json", "val2014_urls.txt"
SPECIAL = ("<NULL>", "<START>", "<END>")
HTML, LONG, BIG = b"<!DOCTYPE html>\n<html>404</html>", "x" * (8 << 20), 2**32 + 4
GONE = (os.unlink, "no such file; the data folder needs")
# By reader and file: what is written to the file or spoils it, and part of the message.
TABLE = {
    ("data", CAP): [
        GONE,
        (HTML, "not an HDF5 file: it is a web page; download the file itself"),
        (b"404 not found", "not an HDF5 file: it begins with b'404 not found'"),
        (b"", "not an HDF5 file: it is empty"),
        *((cut(share), "cannot be read: ") for share in (0.3, 0.6, 0.99)),
        (other("val_captions", np.ones((9, 6))), "val_captions has type float64, expected 2"),
        (
            other("val_captions", np.ones((12, 8), int)),
            "val_captions has shape (12, 8), expected row",
        ),
        (
            at("train_captions", (39, 3), 12),
            "train_captions row 39 holds the id 12, expected 0 to 11",
        ),
        (at("train_captions", (0, 0), -1), "row 0 holds the id -1, expected 0 to 11"),
        (at("val_captions", (11, 8), 2**31 - 1), f"id {2**31 - 1}, expected 0 to 11"),
        (other("val_captions", np.full((12, 9), BIG)), f"row 0 holds the id {BIG}, expected 0"),
        (other("val_image_idxs", [BIG] * 12), f"row 0 is image {BIG}, expected 0 to 9"),
        (at("val_image_idxs", 9, -1), "val_image_idxs row 9 is image -1, expected 0 to 9"),
        (other("val_image_idxs", [0] * 9), "val_image_idxs has 9 entries for 12 captions"),
    ],
    ("data", TRAIN): [
        GONE,
        (lambda path: path.rename(path.with_name("train2014_vgg16_fc7.h5")), GONE[1]),
        (broken_chunk, "features: cannot be read"),
        (h5(many_names), r"features is missing; the file holds b'\xff', group0, group1, group10,"),
        (bomb, "to 5,033,164,800 bytes, more than real data"),
        (other("features", np.ones((9, 6), int)), "features has type int64, expected 2"),
        (other("features", np.ones((10, 5))), "features has shape (10, 5) and "),
        (at("features", (7, 2), np.nan), "features row 7 (one image) holds nan in column 2"),
    ],
    ("data", VAL): [
        GONE,
        (cut(0.9), "cannot be read: "),
        (at("features", (0, 5), -np.inf), "features row 0 (one image) holds -inf in column 5"),
        (other("features", np.full((10, 6), 1e300)), "row 0 (one image) holds inf in column 0"),
    ],
    ("data", WORDS): [GONE, (codecs.BOM_UTF8 + b"{}", "byte-order mark of UTF-8; save it")],
    ("data", URLS): [
        *(("x\n" * n, f" has {n} URLs, expected 10") for n in (0, 11)),
        (b"x" * 10**7 + b"\nx" * 9, "line 1 has 10,000,000 characters"),
    ],
    ("data", ABOUT): [
        (other_words, f"but that of {WORDS} is"),
        *(({"name": name}, f"name is {name!r}") for name in (None, "", 3)),
        ({"name": "x", "encoder": "x"}, "encoder is 'x', expected an object"),
        ({"name": "x", "encoder": {}}, "encoder is {}, expected an object with a name"),
        ('{"encoder":' * 500 + "1" + "}" * 500, "nested in more than 100 levels"),
    ],
    ("grids", GRID): [
        (HTML, "not an HDF5 file: it is a web page; download the file itself"),
        (cut(0.9), "cannot be read: "),
        (other("grid", np.ones((9, 4, 3))), "grid has the grids of 9 images and the features of"),
        (other("grid", np.full((10, 4, 3), 1e300)), "row 0 (one image) holds inf in column 0"),
        (at("grid", (7, 1, 2), np.nan), "grid row 7 (one image) holds nan in column 2"),
    ],
    ("grids", ABOUT): [
        ({"name": "x", "grid": 7}, "grid is 7, expected places, width and pca"),
        ({"name": "x", "grid": {"places": 4}}, "grid is {'places': 4}, expected"),
    ],
    ("words", "a.json"): [
        (words(), "<NULL> is missing from idx_to_word (0 words)"),
        (words("<NULL>", "<END>", "a"), "<START> is missing"),
        (words("<NULL>", "<START>", "a"), "<END> is missing"),
        (words("<START>", "<NULL>", "<END>"), "<NULL> has id 1, expected 0"),
        (words(*SPECIAL, "a", "a"), "the word 'a' is repeated, as ids 3 and 4"),
        (words(*SPECIAL, 7), "idx_to_word[3] is 7, expected a string"),
        (words(*SPECIAL, " "), "idx_to_word[3] is ' ', expected a word"),
        (words(*SPECIAL, "cat", cat=5), "'cat' has id 3 in idx_to_word but 5 in word_to_idx"),
        (words(*SPECIAL, dog=8), "'dog' has id None in idx_to_word but 8 in"),
        (words(*SPECIAL, "cat", cat=None), "'cat' has id 3 in idx_to_word but None in"),
        ({"idx_to_word": []}, "has no word_to_idx, only ['idx_to_word']"),
        ({"idx_to_word": {}, "word_to_idx": {}}, "idx_to_word is a dict, expected"),
        ("[]", "holds a list, expected a JSON object"),
        ({"x" * 10**6: 1}, "has no idx_to_word"),
    ],
    (JSON, "a.json"): [
        ("[" * 10**5 + "]" * 10**5, "nested in more than 100 levels"),
        ('{"a":' * 900 + "1" + "}" * 900, "nested in more than 100 levels"),
        ("[" * 10**6, "nested in more than 100 levels"),
        ('{"a": ' + "9" * 10**6 + "}", "holds a number of more than"),
        ('{"a": "\\ud83d"}', r"\ud83d without its other half"),
        ('{"a": ' + "1" * 3000, "not JSON"),
        (b'{"a":\n"\xe9"}', "line 2 is not UTF-8 (byte 0xe9); save it as UTF-8"),
    ],
    ("json", "a.json"): [('{"a": 1}'.encode("utf-16"), "byte-order mark of UTF-16")],
    ("results", "a.json"): [
        ('[{"image_id": NaN, "caption": "a"}]', "image_id nan"),
        ('[{"image_id": 1e400, "caption": "a"}]', "image_id inf"),
        ([{"image_id": "9" * 10**6, "caption": "a"}], "image_id '999"),
        ([{"image_id": 1, "caption": [["x" * 10**5] * 9] * 9}], "has caption"),
    ],
    ("references", "a.json"): [('{"annotations": -Infinity}', "annotations is a float")],
    ("list", "a.txt"): [(b"a.jpg\ncaf\xe9.jpg", "line 2 is not UTF-8")],
    ("captions", "a"): [
        ("", "is empty, expected captions"),
        ("just some words\n", "no known format: its first line is 'just some words'"),
        (b"a.jpg\tA caf\xe9\n", "line 1 is not UTF-8 (byte 0xe9)"),
        ('{"images": [', "not JSON"),
        ("[1]", "[0] is 1, expected the form"),
        ([{"image": 7.5, "caption": "a cat"}], "[0] has image 7.5, expected the name of a file"),
        ([{"image": "a.jpg", "caption": 7}], "[0].caption holds 7, expected a caption"),
        ([{"picture_of": "a.jpg", "caption": "x"}], "[0] has no image or no caption, only the f"),
        ([{"url": "http://a/1.jpg", "caption": "x"}], "holds the URLs of pictures"),
        ({"a.jpg": ["a cat", 7]}, "'a.jpg' holds 7, expected a caption"),
        ('{"image": "a.jpg", "caption": "x"}\n{"image"\n', "line 2: not JSON"),
        ({"photos": []}, "has no list 'images' (found ['photos'])"),
        (coco(images=[{"id": 7}]), "images[0] has no 'file_name': {'id': 7}; expected the form"),
        (coco(images=[{"id": float("nan"), "file_name": "a"}]), "images[0] has id nan"),
        (coco(images=[{"id": 7, "file_name": "a"}] * 2), "images[1] repeats the id 7 of a"),
        ({**coco(), "annotations": 3}, "annotations is not a list"),
        (coco({"image_id": 8}), "annotations[0] has image_id 8, which is not in images"),
        (coco({"caption": 3}), "annotations[0] has caption 3; expected the form"),
        (karpathy(split="dev2"), "images[0] has the split 'dev2', expected one of train, "),
        (karpathy(split=[1]), "has the split [1]"),
        (karpathy(filepath={"a": 1}), "has filepath {'a': 1}"),
        ("a.jpg\tx\ttrain\na.jpg\ty\tval\n", "a.jpg is in the splits train and val"),
        ("a.jpg\tx\nno tab here\n", "line 2 is 'no tab here', expected an image, a tab"),
        ("name of it\tcaption of it\na.jpg\tx\nb.jpg\ty\n", "if it is a header, name its columns"),
        ("a cat\thttp://a/1.jpg\na dog\thttps://a/2.jpg\n", "holds the URLs of pictures"),
        ("caption,url\na cat,http://a/1.jpg\n", "holds the URLs of pictures and not their files"),
        ("image,caption_1,caption_2\na.jpg,x,y,z\n", "line 2 has 4 cells and the header 3"),
        ("image,caption,split\na.jpg,x,trian\n", "line 2 has the split 'trian', expected one of"),
        (f"a.jpg\t{'x' * 5001}\n", "'a.jpg' has a caption of 5,001 characters"),
        (f"a.jpg\t{LONG}", "8,388,608 characters, expected at most"),
        (LONG, "has no known format"),
        (f"image,caption\na.jpg,{LONG}", "look for a missing line end"),
    ],
    ("all", "a.pth"): [(pickle.dumps({}), "expected a .safetensors or .npz file; convert it")],
    ("tensors", "a.safetensors"): [
        (tensor(b=np.ones(3)), "b has shape (3,), expected (2, 3)"),
        (tensor(a=np.ones(1, int)), "a has type int64, expected floats"),
        (tensor(a=np.array([np.nan])), "a holds values that are NaN or infinite"),
        (tensor(a=np.array([1e300])), "a holds values that are NaN or infinite"),
        (save({"a": np.ones(1)}), "b is missing, expected shape (2, 3); the file holds a"),
    ],
    ((*TENSORS, "torch"), "a.safetensors"): [
        (content, "broken or cut short")
        for content in (
            struct.pack("<Q", 2**63) + b"{}",
            struct.pack("<Q", 10**8 + 1) + b"{" * 100,
            struct.pack("<Q", 2) + b"{}" + b"x" * 9,
            struct.pack("<Q", 10**5) + b"[" * 10**5,
            safetensors("F32", [10**15], [0, 64]),
            safetensors("F32", [2**62, 2**62], [0, 64]),
            safetensors("F32", [16], [0, 10**15]),
            safetensors("F32", [16], [64, 0]),
            safetensors("OBJ", [16], [0, 64]),
        )
    ],
    ("image", "a.jpg"): [
        (b"", "empty, 0 bytes"),
        (HTML, "not an image that can be read: it is a web page; download the file itself"),
        (b"\x89PNG", "not an image"),
        (b"\0\0\0\1Bud1\0", "not an image"),
        *(
            (data[: int(share * len(data))], "broken or cut short")
            for data in map(picture, ("jpeg", "png", "bmp", "gif", "tiff", "webp"))
            for share in (0.5, 0.9)
        ),
    ],
}
for place, (fault, said) in product(
    [(CAP, "train_captions"), (CAP, "val_image_idxs"), (VAL, "features")], FAULTS.values()
):
    TABLE["data", place[0]].append((h5(fault, place[1]), f": {place[1]} {said}"))
TABLE["grids", GRID] += [(h5(f, "grid"), f": grid {said}") for f, said in FAULTS.values()]
ROWS = [
    pytest.param(reader, name, *row, id=f"{reader}-{row[1]:.50}")
    for (readers, name), rows in TABLE.items()
    for reader in ([readers] if isinstance(readers, str) else readers)
    for row in rows
]


@pytest.fixture
def folder(tiny_dir, tmp_path):
    """A data folder to spoil."""
    folder = shutil.copytree(tiny_dir, tmp_path / "data")
    for split in ("train", "val"):
        grid = np.ones((10, 4, 3), np.float16)
        write_grids(folder / f"{split}2014_grid.h5", grid.shape, [grid[:3], grid[3:]])
    return folder


@pytest.mark.parametrize(("reader", "name", "spoil", "part"), ROWS)
def test_a_bad_file_is_one_sentence_with_its_place(request, tmp_path, reader, name, spoil, part):
    folder = request.getfixturevalue("folder") if reader in FOLDERS else tmp_path
    if callable(spoil):
        spoil(folder / name)
    elif isinstance(spoil, bytes):
        (folder / name).write_bytes(spoil)
    else:
        (folder / name).write_text(spoil if isinstance(spoil, str) else json.dumps(spoil))
    refused(reader, folder / name, part)


def test_what_is_no_file_or_far_too_large(tmp_path, monkeypatch):
    """A pipe would be waited for, for ever; a sparse file takes no room on disk."""
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    for reader in READERS:
        if reader not in FOLDERS:
            refused(reader, tmp_path / "none.npz", "no such file", kind=FileNotFoundError)
            refused(reader, tmp_path / "pipe.npz", "is not a regular file")
            refused(reader, tmp_path / "folder.npz", "is a folder")
    for reader in (*JSON, "list", "image"):
        refused(
            reader,
            tmp_path / "large",
            "1,099,511,627,776 bytes, more than the limit of 1,073,741,824",
        )
    monkeypatch.setattr(text, "LARGEST_FILE", 10)
    (tmp_path / "large").write_text("a.jpg\ta cat")
    refused("captions", tmp_path / "large", "has 11 bytes, more than the limit of 10")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_pickle_is_read(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "works")))
    assert (tmp_path / "works").exists()
    trap = Trap(tmp_path / "sprung")
    np.savez(tmp_path / "object.npz", a=np.array([trap], dtype=object), b=np.ones((2, 3)))
    for reader in TENSORS:
        refused(reader, tmp_path / "object.npz", "holds pickled Python objects", "np.savez")
    for reader, name in product(READERS, ("a.pth", "a.npz", "a.safetensors", "a.h5", METRICS_FILE)):
        if reader not in (*FOLDERS, "list"):
            (tmp_path / name).write_bytes(pickle.dumps(trap))
            refused(reader, tmp_path / name)
    assert read_metrics(tmp_path) == []
    images = [("a.jpg", 1), ("b.jpg", 2)]
    FeatureStore(tmp_path / "store", images, 1, 1, {}).write(0, np.ones((1, 1), np.float32), {})
    np.save(tmp_path / "store" / "features.npy", np.array([trap, trap], dtype=object))
    assert FeatureStore(tmp_path / "store", images, 1, 1, {}).num_done == 0
    assert not (tmp_path / "sprung").exists()


def npy(shape, kind="<f4"):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


def test_npz_files_declare_no_more_than_they_hold(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    for shape in ((10**15,), (2**62, 4), (1 << 32,), (-1,), ((1,),)):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.npy", npy(shape) + bytes(64))
        for reader in TENSORS:
            refused(reader, path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../a.txt", b"x")
    refused("all", path, "../../a.txt is not an array")
    assert not (tmp_path.parent.parent / "a.txt").exists()
    monkeypatch.setattr(tensors, "_SMALL_BYTES", 1 << 20)
    np.savez_compressed(path, a=np.zeros(1 << 24, np.float32))
    for reader in TENSORS:
        refused(reader, path, "a.npy unpacks", "67,108,992", nbytes=1 << 24)


def test_no_program_is_started_for_a_picture_and_no_text_unpacked(tmp_path, monkeypatch):
    """EPS is drawn by Ghostscript, and IPTC may hold an EPS; text in a PNG may be a bomb."""

    def started(*args, **options):
        raise AssertionError(f"started {args}")

    monkeypatch.setattr(subprocess, "Popen", started)
    assert {"EPS", "IPTC"} <= REFUSED_FORMATS
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(a) run\n"
    fields = {(3, 60): b"\x01\x01", (3, 65): b"\x01", (3, 20): b"\0\x09", (3, 30): b"\0\x09"}
    iptc = b"".join(
        b"\x1c" + bytes(tag) + struct.pack(">H", len(value)) + value
        for tag, value in [*fields.items(), ((3, 120), b"\1"), ((8, 10), eps)]
    )
    path = tmp_path / "a.jpg"
    for data in (eps, iptc):
        path.write_bytes(data)
        refused("image", path, "not an image that can be read")

    def png(width, height, *chunks):
        head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        pixels = zlib.compress(bytes(height * (3 * width + 1))) if width < 99 else b"x"
        body = [(b"IHDR", head), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in body
        )

    path.write_bytes(png(4, 4, *[(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 25)))] * 8))
    with bounded():
        assert open_image(path).shape == (4, 4, 3)
    # Twice the number from which on Pillow warns.
    for side in (14_000, 60_000):
        path.write_bytes(png(side, side))
        refused("image", path, "000 pixels, more than the limit of 178,956,970; make it smaller")


def test_what_only_looks_odd_is_read(folder):
    """Names in a file lead nowhere, of two equal keys the last counts, a bad line ends a log."""
    (folder.parent / "secret").write_text("x")
    (folder / ABOUT).write_text('{"name": "../secret", "encoder": {"name": "../secret"}}')
    assert load_coco(folder).encoder == {"name": "../secret"}
    ids = '"word_to_idx": {"<NULL>": 0, "<START>": 1, "<END>": 2, "a": 4, "a": 3}'
    twice = '"idx_to_word": [], "idx_to_word": ["<NULL>", "<START>", "<END>", "a"]'
    (folder / "a.json").write_text(f"{{{twice}, {ids}}}")
    assert len(Vocabulary.load(folder / "a.json")) == 4
    first, images = b'{"iteration": 1, "loss": 2.5}\n', [("a.jpg", 1), ("b.jpg", 2)]
    for line in (b"[" * 10**5, b'{"iteration": 1e999, "loss": 1}', b"\xff", b"[1]", b"9" * 10**5):
        (folder / METRICS_FILE).write_bytes(first + line + b"\n" + first)
        with bounded():
            assert read_metrics(folder) == [{"iteration": 1, "loss": 2.5}]
    store = FeatureStore(folder / "store", images, 1, 1, {})
    store.write(1, np.ones((1, 1), np.float32), {})
    for line in ("{}", "[]", "1", '{"batch": -1, "images": "x"}', '{"batch": 9}'):
        with (folder / "store" / "done.jsonl").open("a") as file:
            file.write(line + "\n")
        again = FeatureStore(folder / "store", images, 1, 1, {})
        assert (again.num_done, again.begun_again) == (1, False)


def test_long_captions_and_many_are_read_soon(tmp_path):
    """The longest caption is split into words in time, and many take it in proportion."""
    path = tmp_path / "captions"
    pieces = ("a@", "<a ", "\u00e9'", '"', "1-")
    texts = [(piece * text.LONGEST_CAPTION)[: text.LONGEST_CAPTION] for piece in pieces]
    lines = [*texts, *(f"caption {i}" for i in range(30_000))]
    path.write_text("".join(f"a.jpg\t{line}\n" for line in lines))
    begin = time.process_time()
    (image,) = read_caption_file(path).images
    for caption in image.captions[: len(texts)]:
        split_words(caption, "ptb")
    assert time.process_time() - begin < SECONDS and len(image.captions) == len(lines)
