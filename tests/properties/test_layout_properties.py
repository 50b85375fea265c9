"""Data folders written at random load as written; one fault is one error with its place."""

import json

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoiling import FAULTS, put

from jaxcap.data.coco import load_coco
from jaxcap.data.projection import Projection
from jaxcap.text.vocabulary import Vocabulary

WORDS = 9
CAPTIONS = "coco2014_captions.h5"
STORAGE = {
    "contiguous": {},
    "chunked": {"chunks": True},
    "gzip": {"chunks": True, "compression": "gzip"},
    "shuffle": {"chunks": True, "compression": "lzf", "shuffle": True},
    "checked": {"chunks": True, "fletcher32": True},
    "growing": {"chunks": True, "maxshape": True},
}


def stored(file, name, values, storage):
    options = dict(STORAGE[storage])
    if options.get("maxshape"):
        options["maxshape"] = (None,) * values.ndim
    file.create_dataset(name, data=values, **options)


@st.composite
def folders(draw):
    """Arrays of both splits, and how they are to be stored."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length, width = draw(st.integers(2, 6)), draw(st.integers(1, 5))
    integers = draw(st.sampled_from(["<i4", "<i8", ">i4", "<u2", "|i1", "|u1"]))
    floats = draw(st.sampled_from(["<f4", "<f2", "<f8", ">f4"]))
    splits = {}
    for split in ("train", "val"):
        images, count = draw(st.integers(1, 4)), draw(st.integers(1, 6))
        splits[split] = {
            "captions": rng.integers(0, WORDS, (count, length)).astype(integers),
            "image_idxs": rng.integers(0, images, count).astype(integers),
            "features": rng.standard_normal((images, width)).astype(floats),
        }
    return {
        "splits": splits,
        "storage": draw(st.sampled_from(sorted(STORAGE))),
        "pca": draw(st.booleans()),
        "urls": draw(st.booleans()),
        "about": draw(st.booleans()),
    }


def features_name(split, drawn):
    return f"{split}2014_vgg16_fc7{'_pca' if drawn['pca'] else ''}.h5"


def write(folder, drawn):
    vocabulary = Vocabulary.build([f"word{i}" for i in range(WORDS - 4)])
    vocabulary.save(folder / "coco2014_vocab.json")
    with h5py.File(folder / CAPTIONS, "w") as file:
        for split, arrays in drawn["splits"].items():
            stored(file, f"{split}_captions", arrays["captions"], drawn["storage"])
            stored(file, f"{split}_image_idxs", arrays["image_idxs"], drawn["storage"])
    for split, arrays in drawn["splits"].items():
        with h5py.File(folder / features_name(split, drawn), "w") as file:
            stored(file, "features", arrays["features"], drawn["storage"])
        if drawn["urls"]:
            lines = "".join(f"http://example.org/{i}\n" for i in range(len(arrays["features"])))
            (folder / f"{split}2014_urls.txt").write_text(lines)
    if drawn["about"]:
        about = {"name": "drawn", "vocabulary_digest": vocabulary.digest}
        (folder / "dataset.json").write_text(json.dumps(about))


@given(folders())
def test_what_is_written_is_loaded(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("layout")
    write(folder, drawn)
    data = load_coco(folder)
    assert data.name == ("drawn" if drawn["about"] else "coco2014")
    assert data.pca_features == drawn["pca"]
    for split, arrays in drawn["splits"].items():
        loaded = data.splits[split]
        for field, values in arrays.items():
            kind = np.float32 if field == "features" else np.int32
            np.testing.assert_array_equal(getattr(loaded, field), values.astype(kind))
        assert len(loaded.urls) == (loaded.num_images if drawn["urls"] else 0)


VALUES = {
    "captions": [-1, WORDS, 2**40],
    "image_idxs": [-1, 4, 2**40],
    "features": [np.nan, np.inf],
}


@given(folders(), st.sampled_from(["train", "val"]), st.sampled_from(sorted(VALUES)), st.data())
def test_one_fault_is_one_error_with_file_and_dataset(tmp_path_factory, drawn, split, field, data):
    folder = tmp_path_factory.mktemp("layout")
    for arrays in drawn["splits"].values():
        for name in ("captions", "image_idxs"):
            arrays[name] = arrays[name].astype(np.int64)
    write(folder, drawn)
    path = folder / (features_name(split, drawn) if field == "features" else CAPTIONS)
    name = field if field == "features" else f"{split}_{field}"
    fault = data.draw(st.sampled_from([*FAULTS, *VALUES[field]]))
    with h5py.File(path, "r+") as file:
        if isinstance(fault, str):
            FAULTS[fault][0](file, name)
        else:
            values = file[name][...]
            values[tuple(data.draw(st.integers(0, size - 1)) for size in values.shape)] = fault
            put(file, name, values)
    assert name in refusal(folder, path)


def refusal(folder, path):
    with pytest.raises((ValueError, OSError)) as error:
        load_coco(folder)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


@given(folders(), st.data())
def test_a_file_cut_anywhere_is_one_error_with_its_name(tmp_path_factory, drawn, data):
    folder = tmp_path_factory.mktemp("layout")
    write(folder, drawn)
    files = [CAPTIONS, features_name("train", drawn), features_name("val", drawn)]
    path = folder / data.draw(st.sampled_from(files))
    raw = path.read_bytes()
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
    refusal(folder, path)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_projections_to_files_and_back(tmp_path_factory, width, components, seed):
    rng = np.random.default_rng(seed)
    projection = Projection(
        rng.standard_normal(width).astype(np.float32),
        rng.standard_normal((components, width)).astype(np.float32),
    )
    path = tmp_path_factory.mktemp("pca") / "pca.h5"
    projection.save(path)
    assert Projection.load(path).describe() == projection.describe()
