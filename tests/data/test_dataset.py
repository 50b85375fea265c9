"""Data sets: from files in the course's layout, from arrays, and what is recorded of them."""

import json
import re
import shutil
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_data import tiny_splits

from jaxcap.data.coco import load_coco, training_captions, write_coco
from jaxcap.data.coco_writing import write_features
from jaxcap.data.dataset import (
    Counts,
    DataIdentity,
    Dataset,
    DataSource,
    choose_images,
    references_of,
)
from jaxcap.data.image import Image
from jaxcap.data.seeds import split_seed
from jaxcap.data.sharded import read_features
from jaxcap.datasets import Placement, load_data
from jaxcap.files import hdf5

VOCABULARY, ARRAYS = tiny_splits()
FIELDS = ("captions", "image_idxs", "features")


@pytest.fixture
def folder(tiny_dir, tmp_path):
    """A data folder to change."""
    return shutil.copytree(tiny_dir, tmp_path / "data")


def assert_holds(data, splits=ARRAYS):
    for split, expected in splits.items():
        for field in FIELDS:
            array = getattr(data.splits[split], field)
            assert isinstance(array, jax.Array) and array.dtype in (jnp.int32, jnp.float32)
            np.testing.assert_array_equal(array, getattr(expected, field))


def test_files_are_the_courses_and_the_same_each_time(tiny_dir, tmp_path):
    found = {}
    for path in tiny_dir.glob("*.h5"):
        with h5py.File(path) as file:
            found[path.name] = {name: (d.shape, d.dtype.str) for name, d in file.items()}
    names, features = ("captions", "image_idxs"), {"features": ((10, 6), "<f4")}
    assert found == {
        "coco2014_captions.h5": {
            **{f"train_{name}": ((40, 9)[: 2 - i], "<i4") for i, name in enumerate(names)},
            **{f"val_{name}": ((12, 9)[: 2 - i], "<i4") for i, name in enumerate(names)},
        },
        "train2014_vgg16_fc7_pca.h5": features,
        "val2014_vgg16_fc7_pca.h5": features,
    }
    write_coco(str(tmp_path), VOCABULARY, dict(reversed(ARRAYS.items())), name="tiny")
    contents = [{p.name: p.read_bytes() for p in path.iterdir()} for path in (tiny_dir, tmp_path)]
    assert contents[0] == contents[1]
    others = {"coco2014_vocab.json", "dataset.json", "train2014_urls.txt", "val2014_urls.txt"}
    assert set(contents[0]) == set(found) | others


def test_what_is_written_is_loaded(tiny_dir):
    data = load_coco(str(tiny_dir))
    assert (data.name, data.folder, data.vocabulary) == ("tiny", tiny_dir, VOCABULARY)
    assert data.train is data.splits["train"] and data.val is data.splits["val"]
    assert_holds(data)
    assert [url.decode() for url in data.val.urls] == ARRAYS["val"].urls
    data = load_coco(tiny_dir, splits=("val",))
    with pytest.raises(ValueError, match="split train was not loaded, only val; name it in `spl"):
        _ = data.train
    with pytest.raises(ValueError, match="`splits` has test, expected some of"):
        load_coco(tiny_dir, splits=("val", "test"))


def test_files_of_the_course_lack_ours_and_may_have_other_names(folder):
    (folder / "dataset.json").unlink()
    (folder / "train2014_urls.txt").unlink()
    (folder / "val2014_urls.txt").write_bytes(b"\r\n".join(b"u%d" % i for i in range(10)))
    data = load_coco(folder)
    assert data.name == "coco2014" and data.train.urls.shape == (0,)
    assert data.val.urls.tolist() == [b"u%d" % i for i in range(10)]
    for split in ("train", "val"):
        (folder / f"{split}2014_vgg16_fc7_pca.h5").rename(folder / f"{split}2014_vgg16_fc7.h5")
    assert not load_coco(folder).pca_features
    message = "train2014_vgg16_fc7.h5 and .* are there, and `pca_features=False` reads them"
    with pytest.raises(FileNotFoundError, match=message):
        load_coco(folder, pca_features=True)
    bare = {split: replace(arrays, urls=()) for split, arrays in ARRAYS.items()}
    write_coco(folder, VOCABULARY, bare, name="tiny", encoder={"name": "net"})
    data = load_coco(folder)
    assert data.val.urls.shape == (0,) and data.pca_features and data.encoder == {"name": "net"}
    with pytest.raises(FileNotFoundError, match="none: no such folder; `data_dir` names"):
        load_coco(folder / "none")


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other devices have their own memory")
def test_features_are_read_in_chunks_into_the_array_itself(tmp_path, monkeypatch):
    features = np.random.default_rng(0).standard_normal((100, 33), np.float32)
    features[0, 0] = np.finfo(np.float32).max
    write_features(tmp_path / "a.h5", (100, 33), [features[:50], features[50:]])
    buffers, aligned = [], hdf5.aligned
    keep = lambda *kind: buffers.append(aligned(*kind)) or buffers[-1]  # noqa: E731
    monkeypatch.setattr(hdf5, "aligned", keep)
    with hdf5.open_hdf5(tmp_path / "a.h5") as file:
        dataset = hdf5.find_dataset(file, "features", ndim=2, kind="floats")
        for rows in (1, 7, 99, 100, 500):
            monkeypatch.setattr(hdf5, "_CHUNK_BYTES", rows * 33 * 4)
            found = read_features(dataset)
            assert found.unsafe_buffer_pointer() == buffers[-1].ctypes.data
            np.testing.assert_array_equal(found, features)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["features"][99, 32] = np.nan
    monkeypatch.setattr(hdf5, "_CHUNK_BYTES", 2 * 33 * 4)
    with hdf5.open_hdf5(tmp_path / "a.h5") as file, pytest.raises(ValueError, match="row 99 .*32"):
        read_features(file["features"])


def test_max_train_draws_captions_with_replacement(tiny_dir, folder):
    key, _ = keys = split_seed(7)
    assert all(a == b for a, b in zip(keys, jax.random.split(jax.random.key(7)), strict=True))
    some = {"max_train": 50, "key": key}
    data = load_coco(tiny_dir, **some)
    rows = np.asarray(jax.random.randint(key, (50,), 0, 40, jnp.int32))
    train = ARRAYS["train"]
    drawn = replace(train, captions=train.captions[rows], image_idxs=train.image_idxs[rows])
    assert_holds(data, {**ARRAYS, "train": drawn})
    with jax.enable_x64(True):
        assert_holds(load_coco(tiny_dir, **some), {"train": drawn})
    for bad, message in (({"max_train": 5}, "give a `key`"), ({"max_train": 0}, "is 0, expected")):
        with pytest.raises(ValueError, match=f"`max_train` .*{message}"):
            load_coco(tiny_dir, **bad)
    # The sentences are read without the features.
    val = load_coco(folder, splits=["val"])
    for path in folder.glob("train*"):
        path.unlink()
    for kept, captions in ((some, drawn.captions), ({}, train.captions)):
        sentences = list(dict.fromkeys(map(VOCABULARY.decode, captions)))
        assert training_captions(val, **kept) == sentences
        arrays = Dataset.from_arrays(*(getattr(train, name) for name in FIELDS), VOCABULARY)
        assert training_captions(arrays, **kept) == sentences


IDENTITY = {
    "name": "tiny",
    "counts": {"train": {"captions": 40, "images": 10}, "val": {"captions": 12, "images": 10}},
    "caption_length": 9,
    "feature_dim": 6,
    "pca_features": True,
    "encoder": None,
    "pca": None,
    "vocabulary_size": 12,
    "vocabulary_digest": VOCABULARY.digest,
    "grid": None,
}


def test_identity_and_source_as_they_stand_in_checkpoints(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny_dir.parent)
    some = {"max_train": 3, "key": jax.random.key(0), "placement": Placement(("train",))}
    data = load_data(tiny_dir.name, **some)
    assert json.dumps(data.identity.to_json()) == json.dumps(IDENTITY)
    assert DataIdentity.from_json(IDENTITY) == data.identity == load_coco(tiny_dir).identity
    assert list(data.splits) == ["train"] and data.counts["val"] == Counts(12, 10)
    source = {"dataset": None, "data_dir": str(tiny_dir), "pca_features": True, "max_train": 3}
    assert json.dumps(data.source.to_json()) == json.dumps({**source, "folder": tiny_dir.name})
    assert DataSource.from_json(data.source.to_json()) == data.source
    for kind, value, message in (
        (DataIdentity, {**IDENTITY, "new": 1}, "DataIdentity has the unknown field 'new'"),
        (DataIdentity, {"name": "x"}, "DataIdentity lacks the field 'counts'"),
        (DataSource, {"x": 1}, "DataSource has the unknown field 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            kind.from_json(value)
    for options, message in (
        ({"dataset": "coco"}, '`dataset="coco"` needs `data_dir`'),
        ({"dataset": "flickr"}, "`dataset` is flickr, expected one of scenes, coco"),
        ({"dataset": "arrays"}, "the data were arrays, which were saved in no file; give a `data"),
    ):
        with pytest.raises(ValueError, match=message):
            load_data(**options)


def given(split="train", **changes):
    return [changes.get(name, getattr(ARRAYS[split], name)) for name in FIELDS]


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
@pytest.mark.parametrize("words", [VOCABULARY, list(VOCABULARY.idx_to_word), "spaces"])
def test_arrays_make_a_data_set(as_array, words):
    words = " ".join(VOCABULARY.idx_to_word) if words == "spaces" else words
    wide = given(features=ARRAYS["train"].features.astype(np.float16))
    val = tuple(map(as_array, given("val")))
    data = Dataset.from_arrays(*map(as_array, wide), words, val=val, name="tiny")
    half = replace(ARRAYS["train"], features=wide[2].astype(np.float32))
    assert_holds(data, {**ARRAYS, "train": half})
    assert data.identity.to_json() == {**IDENTITY, "pca_features": False}
    assert (data.folder, data.where, data.source.dataset) == (None, "tiny", "arrays")
    with pytest.raises(ValueError, match="arrays: the split val was not loaded, only train; give"):
        _ = Dataset.from_arrays(*given(), VOCABULARY).val


BAD = [
    (
        "captions",
        np.full((40, 9), 12),
        "row 0 holds the id 12, expected 0 to 11, since `words`",
    ),
    ("captions", np.zeros((40, 9)), "has type float64, expected integers"),
    ("captions", np.zeros(40, int), "has shape (40,), expected 2 dimensions, none empty"),
    ("image_idxs", np.full(40, 10), "row 0 is image 10, expected 0 to 9, since `features`"),
    ("image_idxs", np.zeros(39, int), "has 39 entries for 40 captions"),
    ("features", np.full((10, 6), np.nan, np.float32), "row 0 (one image) holds nan"),
    ("features", np.full((10, 6), 1e300), "row 0 (one image) holds inf"),
    ("features", np.ones((10, 5), np.float32), "has shape (10, 5) and `val[2]` has shape (10, 6)"),
    ("features", np.ones((0, 6), np.float32), "has shape (0, 6), expected 2 dimensions, none"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD)
def test_bad_arrays_are_refused_by_the_arguments_name(field, value, message):
    with pytest.raises(ValueError, match=re.escape(f"`{field}` {message}")):
        Dataset.from_arrays(*given(**{field: value}), VOCABULARY, val=tuple(given("val")))


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        (np.ones((10, 4, 3)), None, "`features` has a grid of width 3 and `val[2]` has no grid"),
        (np.ones((10, 4, 3)), np.ones((10, 4, 5)), "and `val[2]` has a grid of width 5, expected"),
        (np.full((10, 4, 3), 1e300), np.ones((10, 4, 3)), "`features`.grid holds values that are"),
    ],
)
def test_grids_of_arrays_are_finite_in_float32_and_of_one_width(train, val, message):
    images = {
        split: Image(ARRAYS[split].features, grid)
        for split, grid in (("train", train), ("val", val))
    }
    given_val = tuple(given("val", features=images["val"]))
    with pytest.raises(ValueError, match=re.escape(message)):
        Dataset.from_arrays(*given(features=images["train"]), VOCABULARY, val=given_val)


def test_what_could_not_be_loaded_is_not_written(tmp_path):
    for field, value, message in (
        ("captions", np.full((12, 9), 12), "val.captions row 0 holds the id 12"),
        ("captions", np.zeros((12, 8), int), "(12, 8), expected rows of one length"),
        ("urls", ["u"] * 4, "val.urls has 4 URLs, expected 10"),
        ("urls", ["u"] * 9 + ["a b"], "val.urls[9] is 'a b', expected text without spaces"),
    ):
        bad = replace(ARRAYS["val"], **{field: value})
        with pytest.raises(ValueError, match=re.escape(message)):
            write_coco(tmp_path / "new", VOCABULARY, ARRAYS | {"val": bad}, name="tiny")
    with pytest.raises(ValueError, match=r"`val\[1\]` has 11 entries for 12 captions"):
        val = given("val", image_idxs=np.zeros(11, int))
        Dataset.from_arrays(*given(), VOCABULARY, val=tuple(val))
    for splits, name, message in (
        ({"train": ARRAYS["train"]}, "x", "`splits` has train, expected"),
        (ARRAYS, "", "`name` is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            write_coco(tmp_path / "new", VOCABULARY, splits, name=name)
    assert not (tmp_path / "new").exists()
    write_coco(tmp_path / "data", VOCABULARY, ARRAYS, name="../../up")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_references_are_all_of_an_images_captions(tiny):
    images = choose_images(tiny.train, 4, jax.random.key(0))
    assert len(set(images.tolist())) == 4
    assert choose_images(tiny.train, 99, jax.random.key(0)).tolist() == list(range(10))
    assert not np.array_equal(images, choose_images(tiny.train, 4, jax.random.key(1)))
    found = references_of(tiny.train, np.array([7, 2, 99]), VOCABULARY)
    train = ARRAYS["train"]
    for image, sentences in zip((7, 2, 99), found, strict=True):
        rows = train.captions[train.image_idxs == image]
        assert sentences == [VOCABULARY.decode(row) for row in rows]
