"""Files made to do harm: refused in one sentence, within bounds of time and memory.

Nothing is unpickled or run, and nothing outside the file or folder named is read.
"""

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

import h5py
import numpy as np
import pytest
from tiny_data import tiny_splits

from jaxcap.convert import from_numpy, from_torch
from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.projection import Projection
from jaxcap.files import tensors
from jaxcap.files import text as plain_files
from jaxcap.files.json import DEEPEST, read_json_value
from jaxcap.files.tensors import read_all_tensors, read_tensors
from jaxcap.files.text import LARGEST_FILE, LONGEST_CAPTION
from jaxcap.learning.metrics import METRICS_FILE, read_metrics
from jaxcap.preparing.caption_files import read_caption_file
from jaxcap.preparing.splits import SplitChoice, assign_splits
from jaxcap.preparing.store import FeatureStore
from jaxcap.scoring.results import read_references, read_results
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.words import split_words
from jaxcap.vision import images
from jaxcap.vision.images import open_image

FEATURES = "train2014_vgg16_fc7_pca.h5"
# Generous beside the milliseconds and the few MB that a refusal takes.
SECONDS, BYTES = 20, 200 << 20


@contextmanager
def bounded(seconds=SECONDS, nbytes=BYTES):
    """Fails where what is within takes long, or much memory from Python, NumPy or the system."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    tracemalloc.start()
    # Of this process, since others may be at work.
    begin = time.process_time()
    try:
        yield
        assert time.process_time() - begin < seconds
        assert tracemalloc.get_traced_memory()[1] < nbytes
    finally:
        tracemalloc.stop()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < 2 * nbytes


def refused(read, path, *parts, kind=ValueError, **bounds):
    """Reading is one error of this kind that begins with the path, in one short line."""
    with bounded(**bounds), pytest.raises(kind) as error:
        read(path)
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 1000
    for part in parts:
        assert part in message


# HDF5.


@pytest.fixture
def folder(tiny_dir, tmp_path):
    """A data folder to spoil."""
    return shutil.copytree(tiny_dir, tmp_path / "data")


def spoiled(folder, fault):
    """`fault` replaces the features of the training split."""
    with h5py.File(folder / FEATURES, "r+") as file:
        values = file["features"][...]
        del file["features"]
        fault(file, values)
    return folder / FEATURES


def secret(folder):
    """Features that lie outside the folder, and would load."""
    path = folder.parent / "secret.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.ones((10, 6), np.float32)
    return path


def refuses_folder(folder, *parts, **bounds):
    with bounded(**bounds), pytest.raises(ValueError) as error:
        load_coco(folder)
    message = str(error.value)
    assert message.startswith(f"{folder / FEATURES}: features") and "\n" not in message
    for part in parts:
        assert part in message


def test_external_link(folder):
    there = secret(folder)

    def fault(file, values):
        file["features"] = h5py.ExternalLink(there, "/features")

    spoiled(folder, fault)
    refuses_folder(folder, "is a link, expected a dataset")


def test_soft_links_in_a_circle(folder):
    def fault(file, values):
        file["features"] = h5py.SoftLink("/other")
        file["other"] = h5py.SoftLink("/features")

    spoiled(folder, fault)
    refuses_folder(folder, "is a link, expected a dataset")


def test_storage_in_another_file(folder):
    raw = folder.parent / "raw"
    raw.write_bytes(np.ones((10, 6), np.float32).tobytes())

    def fault(file, values):
        external = [(str(raw), 0, values.nbytes)]
        file.create_dataset("features", values.shape, values.dtype, external=external)

    spoiled(folder, fault)
    refuses_folder(folder, "lies in another file")


def test_a_virtual_dataset(folder):
    there = secret(folder)

    def fault(file, values):
        layout = h5py.VirtualLayout(values.shape, values.dtype)
        layout[...] = h5py.VirtualSource(there, "features", values.shape)
        file.create_virtual_dataset("features", layout)

    spoiled(folder, fault)
    refuses_folder(folder, "lies in another file")


@pytest.mark.parametrize("chunks", [None, (1, 6)])
@pytest.mark.parametrize("filled", [False, True])
def test_a_huge_shape_with_hardly_any_data(folder, chunks, filled):
    def fault(file, values):
        if chunks is None and filled:
            pytest.skip("what is not in chunks is allocated as a whole")
        features = file.create_dataset("features", (10**15, 6), np.float32, chunks=chunks)
        if filled:
            features[0] = 1

    spoiled(folder, fault)
    refuses_folder(folder, "was never filled")


def test_a_bomb(folder):
    """Zeros that gzip packs a thousand times; the file declares 5 GB and has as many chunks."""

    def fault(file, values):
        shape, chunk = (1 << 20, 1200), (1 << 16, 1200)
        features = file.create_dataset(
            "features", shape, np.float32, chunks=chunk, compression="gzip", compression_opts=9
        )
        packed = None
        for start in range(0, shape[0], chunk[0]):
            if packed is None:
                features[: chunk[0]] = 0
                packed = features.id.read_direct_chunk((0, 0))[1]
            else:
                features.id.write_direct_chunk((start, 0), packed)

    spoiled(folder, fault)
    refuses_folder(folder, "unpacks", "5,033,164,800")


def test_a_chunk_far_larger_than_its_dataset(folder):
    def fault(file, values):
        shape, chunk = values.shape, (1 << 20, 1000)
        features = file.create_dataset(
            "features", shape, np.float32, maxshape=(None, None), chunks=chunk, compression="gzip"
        )
        # Packed zeros, without ever making the four gigabytes.
        features.id.write_direct_chunk((0, 0), b"\x78\x9c\x03\x00\x00\x00\x00\x01")

    spoiled(folder, fault)
    refuses_folder(folder, "unpacks", "4,194,304,000")


def test_many_other_datasets_are_not_all_named(folder):
    def fault(file, values):
        for i in range(2000):
            file.create_group(f"group{i}")

    path = spoiled(folder, fault)
    with pytest.raises(ValueError, match="features is missing") as error:
        load_coco(folder)
    assert len(str(error.value)) < 300 + len(str(path))


# JSON.

JSON_READERS = {
    "any": read_json_value,
    "vocabulary": Vocabulary.load,
    "results": read_results,
    "references": read_references,
    "captions": read_caption_file,
}


@pytest.mark.parametrize("read", JSON_READERS.values(), ids=JSON_READERS)
@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[" * 10**5 + "]" * 10**5, f"nested in more than {DEEPEST} levels"),
        ('{"a":' * 10**5 + "1" + "}" * 10**5, f"nested in more than {DEEPEST} levels"),
        ("[" * 900 + "]" * 900, f"nested in more than {DEEPEST} levels"),
        ("[" * 10**6, f"nested in more than {DEEPEST} levels"),
        ('{"a": ' + "9" * 10**6 + "}", "a number in it has more than"),
        ('{"a": "\\ud83d"}', r"\ud83d without its other half"),
        ('{"a": ' + "1" * 3000, "not JSON"),
    ],
    ids=["lists", "objects", "less_deep", "open", "digits", "half", "cut"],
)
def test_hostile_json(tmp_path, read, text, part):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(read, path, part)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_results, '[{"image_id": NaN, "caption": "a"}]'),
        (read_results, '[{"image_id": 1e400, "caption": "a"}]'),
        (read_results, '[{"image_id": "%s", "caption": "a"}]' % ("9" * 10**6)),
        (read_results, json.dumps([{"image_id": 1, "caption": [["x" * 10**5] * 9] * 9}])),
        (read_references, '{"annotations": -Infinity}'),
        (read_caption_file, '{"images": [{"id": NaN, "file_name": "a"}], "annotations": []}'),
        (read_caption_file, '{"images": [{"filename": "a", "split": [1], "sentences": []}]}'),
        (
            read_caption_file,
            '{"images": [{"filename": "a", "filepath": {"a": 1}, "sentences": []}]}',
        ),
        (Vocabulary.load, '{"idx_to_word": ["%s", 1], "word_to_idx": {}}' % ("x" * 10**6)),
        (Vocabulary.load, '{"%s": 1}' % ("x" * 10**6)),
    ],
)
def test_values_that_are_not_what_they_should_be(tmp_path, read, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(read, path)


def test_the_last_of_two_equal_keys_counts(tmp_path):
    path = tmp_path / "a.json"
    words = '"idx_to_word": [], "idx_to_word": ["<NULL>", "<START>", "<END>", "a"]'
    ids = '"word_to_idx": {"<NULL>": 0, "<START>": 1, "<END>": 2, "a": 4, "a": 3}'
    path.write_text(f"{{{words}, {ids}}}")
    assert len(Vocabulary.load(path)) == 4
    path.write_text(f'{{{words}, {ids[:-1]}, "a": 4}}}}')
    refused(Vocabulary.load, path, "'a' has id 3 in idx_to_word but 4")


def test_a_deep_encoder_is_refused_and_so_is_one_without_a_name(folder):
    path = folder / "dataset.json"
    for encoder, part in (('{"a":' * 500 + "1" + "}" * 500, "nested"), ("{}", "with a name")):
        path.write_text(f'{{"name": "x", "encoder": {encoder}}}')
        refused(lambda path: load_coco(path.parent), path, part)


def test_names_in_dataset_json_lead_nowhere(folder):
    """They are names; no file is opened by them."""
    (folder.parent / "secret").write_text("x")
    (folder / "dataset.json").write_text('{"name": "../secret", "encoder": {"name": "../secret"}}')
    data = load_coco(folder)
    assert (data.name, data.encoder) == ("../secret", {"name": "../secret"})


# Text.


def sparse(path, nbytes):
    """A file that takes no room on disk."""
    with path.open("wb") as file:
        file.truncate(nbytes)
    return path


@pytest.mark.parametrize(
    "read",
    [
        *JSON_READERS.values(),
        lambda path: assign_splits([], SplitChoice(train_list=path, val_list=path)),
        open_image,
    ],
)
def test_a_file_of_a_terabyte_is_not_read(tmp_path, read):
    refused(read, sparse(tmp_path / "a", 1 << 40), "1,099,511,627,776 bytes, more than the")


def test_a_line_of_a_gigabyte(tmp_path, monkeypatch):
    """Just over what is read; just under it, the line costs a few times its own size."""
    refused(read_caption_file, sparse(tmp_path / "a", LARGEST_FILE + 1), "take a part of it")
    length = 8 << 20
    path = tmp_path / "b"
    path.write_text("a.jpg\t" + "x" * length)
    refused(read_caption_file, path, f"{length:,} characters, expected at most", nbytes=8 * length)
    path.write_text("x" * length)
    refused(read_caption_file, path, "of no known format", nbytes=8 * length)
    path.write_text("image,caption\na.jpg," + "x" * length)
    refused(read_caption_file, path, "is no CSV", nbytes=8 * length)
    monkeypatch.setattr(plain_files, "LARGEST_FILE", 10)
    path.write_text("a.jpg\ta cat")
    refused(read_caption_file, path, "has 11 bytes, more than the 10")


@pytest.mark.parametrize("character", ["a", "a@", "<a ", "\u00e9'", '"', "1-"])
def test_the_longest_caption_is_split_into_words_soon(tmp_path, character):
    path = tmp_path / "captions"
    caption = (character * LONGEST_CAPTION)[:LONGEST_CAPTION]
    path.write_text(f"a.jpg\t{caption}\n")
    with bounded():
        (image,) = read_caption_file(path).images
        split_words(image.captions[0], "ptb")
    path.write_text(f"a.jpg\t{caption}x\n")
    refused(read_caption_file, path, "'a.jpg' has a caption of 5,001 characters")


def test_many_captions_of_one_image_take_time_in_proportion(tmp_path):
    path = tmp_path / "captions"
    path.write_text("".join(f"a.jpg\tcaption {i}\n" for i in range(60_000)))
    begin = time.process_time()
    (image,) = read_caption_file(path).images
    assert time.process_time() - begin < SECONDS / 2
    assert len(image.captions) == 60_000


@pytest.mark.parametrize("read", [*JSON_READERS.values(), read_all_tensors, open_image])
def test_a_pipe_is_not_waited_for(tmp_path, read):
    path = tmp_path / "a.npz"
    os.mkfifo(path)
    refused(read, path)


def test_one_long_url_does_not_widen_all(folder):
    path = folder / "train2014_urls.txt"
    path.write_bytes(b"x" * 10**7 + b"\nhttp://example.org" * 9)
    refused(lambda path: load_coco(path.parent), path, "line 1 has 10,000,000 characters")


def test_metrics_that_no_run_wrote_are_left_out(tmp_path):
    first = b'{"iteration": 1, "loss": 2.5}\n'
    lines = [b"[" * 10**5, b'{"iteration": 1e999, "loss": 1}', b"\xff\xfe", b"[1]", b"9" * 10**5]
    for line in lines:
        (tmp_path / METRICS_FILE).write_bytes(first + line + b"\n" + first)
        with bounded():
            assert read_metrics(tmp_path) == [{"iteration": 1, "loss": 2.5}]


# Tensors and pickles.


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def trap(tmp_path):
    """A pickle that leaves a folder behind when it is read."""
    sprung = tmp_path / "sprung"
    yield Trap(sprung)
    assert not sprung.exists()


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "x")))
    assert (tmp_path / "x").exists()


READ_TENSORS = [read_all_tensors, from_numpy, lambda path: read_tensors(path, {"a": (1,)})]


@pytest.mark.parametrize("read", READ_TENSORS)
def test_pickles_in_an_npz_are_not_read(tmp_path, trap, read):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([trap], dtype=object))
    refused(read, path, "holds pickled Python objects")


@pytest.mark.parametrize("read", [*READ_TENSORS, from_torch, Projection.load, open_image])
@pytest.mark.parametrize("name", ["a.pth", "a.npz", "a.safetensors", "a.h5"])
def test_a_pickle_by_any_name_is_not_read(tmp_path, trap, read, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps(trap))
    refused(read, path, kind=(ValueError, OSError))


@pytest.mark.parametrize("read", [*JSON_READERS.values(), read_metrics])
def test_a_pickle_in_place_of_text_is_not_read(tmp_path, trap, read):
    path = tmp_path / (METRICS_FILE if read is read_metrics else "a.json")
    path.write_bytes(pickle.dumps(trap))
    if read is read_metrics:
        assert read(tmp_path) == []
    else:
        refused(read, path)


def test_a_pickle_in_a_feature_store_is_not_read(tmp_path, trap):
    images = [("a.jpg", 1), ("b.jpg", 2)]
    store = FeatureStore(tmp_path / "store", images, 1, 1, {})
    store.write(0, np.ones((1, 1), np.float32), {})
    store.close()
    np.save(tmp_path / "store" / "features.npy", np.array([trap, trap], dtype=object))
    again = FeatureStore(tmp_path / "store", images, 1, 1, {})
    assert again.num_done == 0
    again.close()


@pytest.mark.parametrize("line", ["{}", "[]", "1", '{"batch": -1, "images": "x"}', '{"batch": 9}'])
def test_a_line_of_a_feature_store_that_no_store_wrote_is_passed_over(tmp_path, line):
    images = [("a.jpg", 1), ("b.jpg", 2)]
    store = FeatureStore(tmp_path / "store", images, 1, 1, {})
    store.write(1, np.ones((1, 1), np.float32), {})
    store.close()
    with (tmp_path / "store" / "done.jsonl").open("a") as file:
        file.write(line + "\n")
    again = FeatureStore(tmp_path / "store", images, 1, 1, {})
    assert (again.num_done, again.begun_again) == (1, False)
    again.close()


def header(shape, kind="<f4"):
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize("shape", [(10**15,), (2**62, 4), (1 << 32,), (-1,), ((1,),)])
@pytest.mark.parametrize("read", READ_TENSORS)
def test_an_npz_of_a_huge_shape(tmp_path, shape, read):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", header(shape) + bytes(64))
    refused(read, path, kind=(ValueError, OSError))


def test_an_npz_bomb(tmp_path, monkeypatch):
    monkeypatch.setattr(tensors, "_SMALL_BYTES", 1 << 20)
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(1 << 24, np.float32))
    for read in READ_TENSORS:
        refused(read, path, "a.npy unpacks", "67,108,992", nbytes=1 << 24)


def test_an_npz_with_something_else_in_it(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../a.txt", b"x")
    refused(read_all_tensors, path, "../../a.txt is no array")
    assert not (tmp_path.parent.parent / "a.txt").exists()


@pytest.mark.parametrize(
    "raw",
    [
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**8 + 1) + b"{" * 100,
        struct.pack("<Q", 2) + b"{}" + b"x" * 9,
        *(
            struct.pack("<Q", len(text)) + text + bytes(64)
            for tensor in (
                {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 64]},
                {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 64]},
                {"dtype": "F32", "shape": [16], "data_offsets": [0, 10**15]},
                {"dtype": "F32", "shape": [16], "data_offsets": [64, 0]},
                {"dtype": "OBJ", "shape": [16], "data_offsets": [0, 64]},
            )
            for text in [json.dumps({"a": tensor}).encode()]
        ),
        struct.pack("<Q", 10**5) + b"[" * 10**5,
    ],
    ids=range(9),
)
def test_hostile_safetensors(tmp_path, raw):
    path = tmp_path / "a.safetensors"
    path.write_bytes(raw)
    for read in (*READ_TENSORS, from_torch):
        refused(read, path, kind=OSError)


# Images.


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    """EPS is drawn by Ghostscript, and IPTC may hold an EPS."""

    def started(*args, **options):
        raise AssertionError(f"started {args}")

    monkeypatch.setattr(subprocess, "Popen", started)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(a) run\n"
    assert {"EPS", "IPTC"} <= images.REFUSED_FORMATS
    fields = {(3, 60): b"\x01\x01", (3, 65): b"\x01", (3, 20): b"\0\x09", (3, 30): b"\0\x09"}
    iptc = b"".join(
        b"\x1c" + bytes(tag) + struct.pack(">H", len(value)) + value
        for tag, value in [*fields.items(), ((3, 120), b"\1"), ((8, 10), eps)]
    )
    for number, data in enumerate((eps, iptc)):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        refused(open_image, path, "not an image that can be read")


def test_text_in_a_picture_does_not_unpack_without_end(tmp_path):
    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    size = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1 << 25)))
    pixels = chunk(b"IDAT", zlib.compress(bytes(4 * 13)))
    body = chunk(b"IHDR", size) + text * 8 + pixels + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    refused(open_image, path, "broken or cut short", kind=OSError)


def test_writing_leaves_the_folder_alone_but_for_its_own_names(tmp_path):
    vocabulary, splits = tiny_splits()
    write_coco(tmp_path / "data", vocabulary, splits, name="../../up")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
