"""Data folders written at random load as written; one fault is one error with its place."""

import json

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiling import FAULTS, put

from jaxcap.data.coco import load_coco
from jaxcap.text.vocabulary import Vocabulary

WORDS = 9
VOCABULARY = Vocabulary.build([f"word{i}" for i in range(WORDS - 4)])
CAPTIONS = "coco2014_captions.h5"
STORAGE = [
    {},
    {"chunks": True},
    {"chunks": True, "compression": "gzip"},
    {"chunks": True, "compression": "lzf", "shuffle": True},
    {"chunks": True, "fletcher32": True},
]
VALUES = {"captions": [-1, WORDS, 2**40], "image_idxs": [-1, 4, 2**40], "features": [np.nan]}


@st.composite
def folders(draw, integers=("<i4", "<i8", ">i4", "<u2", "|i1", "|u1")):
    """The arrays of both splits by file and name, how they are stored, and other files."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length, width = draw(st.integers(2, 6)), draw(st.integers(1, 5))
    kind, floats = (
        draw(st.sampled_from(integers)),
        draw(st.sampled_from(["<f4", "<f2", "<f8", ">f4"])),
    )
    pca, arrays, texts = draw(st.booleans()), {}, {}
    for split in ("train", "val"):
        images, count = draw(st.integers(1, 4)), draw(st.integers(1, 6))
        captions, image_idxs = (
            rng.integers(0, WORDS, (count, length)),
            rng.integers(0, images, count),
        )
        arrays[CAPTIONS, f"{split}_captions"] = captions.astype(kind)
        arrays[CAPTIONS, f"{split}_image_idxs"] = image_idxs.astype(kind)
        file = f"{split}2014_vgg16_fc7{'_pca' if pca else ''}.h5"
        arrays[file, "features"] = rng.standard_normal((images, width)).astype(floats)
        if draw(st.booleans()):
            lines = [f"http://example.org/{i}\n" for i in range(images)]
            texts[f"{split}2014_urls.txt"] = "".join(lines)
    if draw(st.booleans()):
        about = {"name": "drawn", "vocabulary_digest": VOCABULARY.digest}
        texts["dataset.json"] = json.dumps(about)
    return arrays, draw(st.sampled_from(STORAGE)), texts


def write(folder, arrays, storage, texts):
    VOCABULARY.save(folder / "coco2014_vocab.json")
    for (name, dataset), values in arrays.items():
        with h5py.File(folder / name, "a") as file:
            file.create_dataset(dataset, data=values, **storage)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


@given(folders())
def test_what_is_written_is_loaded(tmp_path_factory, drawn):
    arrays, _, texts = drawn
    data = load_coco(write(tmp_path_factory.mktemp("layout"), *drawn))
    assert data.name == ("drawn" if "dataset.json" in texts else "coco2014")
    for (file, name), values in arrays.items():
        split, field = name.split("_", 1) if file == CAPTIONS else (file.partition("2")[0], name)
        kind = np.float32 if field == "features" else np.int32
        np.testing.assert_array_equal(getattr(data.splits[split], field), values.astype(kind))
    for split, loaded in data.splits.items():
        assert len(loaded.urls) == (loaded.num_images if f"{split}2014_urls.txt" in texts else 0)


def refusal(folder, path):
    with pytest.raises((ValueError, OSError)) as error:
        load_coco(folder)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


@given(folders(integers=["<i8"]), st.data())
def test_one_fault_is_one_error_with_file_and_dataset(tmp_path_factory, drawn, data):
    folder = write(tmp_path_factory.mktemp("layout"), *drawn)
    file, name = data.draw(st.sampled_from(sorted(drawn[0])))
    values = next(values for field, values in VALUES.items() if name.endswith(field))
    fault = data.draw(st.sampled_from([*FAULTS, *values]))
    with h5py.File(folder / file, "r+") as opened:
        if isinstance(fault, str):
            FAULTS[fault][0](opened, name)
        else:
            spoiled = opened[name][...]
            spoiled[tuple(data.draw(st.integers(0, size - 1)) for size in spoiled.shape)] = fault
            put(opened, name, spoiled)
    assert name in refusal(folder, folder / file)


@given(folders(), st.data())
def test_a_file_cut_anywhere_is_one_error_with_its_name(tmp_path_factory, drawn, data):
    folder = write(tmp_path_factory.mktemp("layout"), *drawn)
    path = folder / data.draw(st.sampled_from(sorted({file for file, _ in drawn[0]})))
    raw = path.read_bytes()
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    refusal(folder, path)
