import json
import shutil

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.data.coco import load_coco, training_captions, write_coco
from jaxcap.data.dataset import SplitArrays
from jaxcap.text.vocabulary import Vocabulary

CAPTIONS = "coco2014_captions.h5"
VOCABULARY = "coco2014_vocab.json"
TRAIN, VAL = "train2014_vgg16_fc7_pca.h5", "val2014_vgg16_fc7_pca.h5"
WORDS, LENGTH, FEATURES = 24, 17, 8
SIZES = {"train": (12, 60), "val": (5, 25)}


def random_split(rng, split):
    images, count = SIZES[split]
    captions = np.zeros((count, LENGTH), np.int32)
    for row in captions:
        words = rng.integers(4, WORDS, rng.integers(1, LENGTH - 1))
        row[: len(words) + 2] = [1, *words, 2]
    return SplitArrays(
        captions=captions,
        image_idxs=rng.integers(0, images, count, dtype=np.int32),
        features=rng.standard_normal((images, FEATURES), dtype=np.float32),
        # As long as the longest of the course's.
        urls=[f"http://example.org/{split}/{i:0{39 - len(split)}}.jpg" for i in range(images)],
    )


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.build(f"word{i}" for i in range(WORDS - 4))


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    return {split: random_split(rng, split) for split in SIZES}


@pytest.fixture(scope="module")
def written(tmp_path_factory, vocabulary, arrays):
    folder = tmp_path_factory.mktemp("coco")
    write_coco(folder, vocabulary, arrays, name="tiny")
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """A data folder to spoil."""
    return shutil.copytree(written, tmp_path / "data")


def replace(folder, file, name, value, **options):
    with h5py.File(folder / file, "r+") as opened:
        del opened[name]
        opened.create_dataset(name, data=value, **options)


def change(folder, file, name, at, value):
    with h5py.File(folder / file, "r+") as opened:
        opened[name][at] = value


def refuses(folder, kind, *parts, **options):
    """Loading raises one error of this kind, in one line, with all the parts in it."""
    with pytest.raises(kind) as caught:
        load_coco(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def test_files_have_the_names_and_types_of_the_course(written):
    assert sorted(path.name for path in written.iterdir()) == [
        "coco2014_captions.h5",
        "coco2014_vocab.json",
        "dataset.json",
        "train2014_urls.txt",
        "train2014_vgg16_fc7_pca.h5",
        "val2014_urls.txt",
        "val2014_vgg16_fc7_pca.h5",
    ]
    found = {}
    for file in (CAPTIONS, TRAIN, VAL):
        with h5py.File(written / file) as opened:
            found |= {(file, name): (d.shape, d.dtype.str) for name, d in opened.items()}
    assert found == {
        (CAPTIONS, "train_captions"): ((60, 17), "<i4"),
        (CAPTIONS, "train_image_idxs"): ((60,), "<i4"),
        (CAPTIONS, "val_captions"): ((25, 17), "<i4"),
        (CAPTIONS, "val_image_idxs"): ((25,), "<i4"),
        (TRAIN, "features"): ((12, 8), "<f4"),
        (VAL, "features"): ((5, 8), "<f4"),
    }


def test_what_is_written_is_loaded(written, vocabulary, arrays):
    data = load_coco(written)
    assert (data.name, data.folder, data.vocabulary) == ("tiny", written, vocabulary)
    assert (data.caption_length, data.feature_dim, data.pca_features) == (17, 8, True)
    assert data.train is data.splits["train"] and data.val is data.splits["val"]
    for split, expected in arrays.items():
        loaded = data.splits[split]
        for field in ("captions", "image_idxs", "features"):
            array = getattr(loaded, field)
            assert isinstance(array, jax.Array)
            assert array.dtype == getattr(expected, field).dtype
            np.testing.assert_array_equal(array, getattr(expected, field))
        assert loaded.urls.dtype == "S63"
        assert [url.decode() for url in loaded.urls] == expected.urls


def test_equal_data_give_equal_bytes(written, tmp_path, vocabulary, arrays):
    write_coco(tmp_path, vocabulary, dict(reversed(arrays.items())), name="tiny")
    for path in written.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_files_are_found_under_the_other_name_of_features(tmp_path, vocabulary, arrays):
    write_coco(tmp_path, vocabulary, arrays, name="tiny", pca_features=False)
    data = load_coco(tmp_path, pca_features=False)
    assert not data.pca_features and not data.identity["pca_features"]
    message = refuses(
        tmp_path, FileNotFoundError, TRAIN, "--nopca_features reads them", pca_features=True
    )
    assert "train2014_vgg16_fc7.h5 and val2014_vgg16_fc7.h5 are there" in message
    assert not load_coco(tmp_path).pca_features
    write_coco(tmp_path, vocabulary, arrays, name="tiny")
    assert load_coco(tmp_path).pca_features


def test_the_encoder_is_kept(tmp_path, vocabulary, arrays):
    encoder = {"name": "tiny", "version": "1", "preprocessing": {"mean": [1.0, 2.0]}}
    write_coco(tmp_path, vocabulary, arrays, name="tiny", encoder=encoder)
    data = load_coco(tmp_path)
    assert data.encoder == data.identity["encoder"] == encoder
    (tmp_path / "dataset.json").write_text('{"name": "tiny", "encoder": "x"}')
    refuses(tmp_path, ValueError, "dataset.json: encoder is 'x', expected an object")


def test_folders_of_the_course_have_no_dataset_file(folder):
    (folder / "dataset.json").unlink()
    assert load_coco(folder).name == "coco2014"


def test_urls_may_be_missing(folder, vocabulary, arrays):
    (folder / "train2014_urls.txt").unlink()
    data = load_coco(folder)
    assert data.train.urls.shape == (0,) and data.val.urls.shape == (5,)
    bare = {s: SplitArrays(a.captions, a.image_idxs, a.features) for s, a in arrays.items()}
    write_coco(folder, vocabulary, bare, name="tiny")
    assert load_coco(folder).val.urls.shape == (0,)


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_urls_end_as_they_like(folder, end):
    lines = [b"http://example.org/%d.jpg" % i for i in range(5)]
    (folder / "val2014_urls.txt").write_bytes(end.join(lines))
    assert load_coco(folder).val.urls.tolist() == lines


def test_identity_describes_the_files(written, vocabulary):
    identity = load_coco(written).identity
    assert json.loads(json.dumps(identity)) == {
        "name": "tiny",
        "counts": {
            "train": {"captions": 60, "images": 12},
            "val": {"captions": 25, "images": 5},
        },
        "caption_length": 17,
        "feature_dim": 8,
        "pca_features": True,
        "encoder": None,
        "pca": None,
        "vocabulary_size": WORDS,
        "vocabulary_digest": vocabulary.digest,
    }
    small = load_coco(written, max_train=3, key=jax.random.key(0), splits=("train",))
    assert small.identity == identity
    assert load_coco(written, splits=()).identity == identity


def test_a_split_not_loaded_says_so(written):
    data = load_coco(written, splits=("val",))
    assert list(data.splits) == ["val"]
    with pytest.raises(ValueError, match="split train was not loaded, only val"):
        _ = data.train
    with pytest.raises(ValueError, match="splits has test, expected some of"):
        load_coco(written, splits=("val", "test"))


@pytest.mark.parametrize("count", [1, 50, 200])
def test_max_train_draws_captions_with_replacement(written, arrays, count):
    key = jax.random.key(7)
    data = load_coco(written, max_train=count, key=key)
    rows = np.asarray(jax.random.randint(key, (count,), 0, 60, jnp.int32))
    np.testing.assert_array_equal(data.train.captions, arrays["train"].captions[rows])
    np.testing.assert_array_equal(data.train.image_idxs, arrays["train"].image_idxs[rows])
    np.testing.assert_array_equal(data.train.features, arrays["train"].features)
    np.testing.assert_array_equal(data.val.captions, arrays["val"].captions)


def test_training_captions_without_the_features(folder):
    val = load_coco(folder, splits=["val"])
    key = jax.random.key(3)
    some, every = {"max_train": 2, "key": key}, {}
    loaded = [load_coco(folder, **kept).train.captions for kept in (some, every)]
    for path in folder.glob("train*"):
        path.unlink()
    for kept, captions in zip((some, every), loaded, strict=True):
        expected = [val.vocabulary.decode(row) for row in np.asarray(captions)]
        assert training_captions(val, **kept) == list(dict.fromkeys(expected))
    change(folder, CAPTIONS, "train_captions", (3, 1), WORDS)
    with pytest.raises(ValueError, match=f"train_captions row 3 holds the id {WORDS}"):
        training_captions(val)


def test_max_train_draws_the_same_in_float64(written, x64):
    data = load_coco(written, max_train=50, key=jax.random.key(7))
    with jax.enable_x64(False):
        other = load_coco(written, max_train=50, key=jax.random.key(7))
    np.testing.assert_array_equal(data.train.captions, other.train.captions)
    assert data.train.features.dtype == jnp.float32


def test_max_train_needs_a_key_and_a_caption(written):
    refuses(written, ValueError, "max_train", "needs a key", max_train=5)
    refuses(written, ValueError, "max_train is 0, expected", max_train=0, key=jax.random.key(0))


@pytest.mark.parametrize("type_", ["<i8", ">i4", "<u2", "|i1"])
def test_captions_of_other_widths_become_int32(folder, arrays, type_):
    expected = arrays["train"]
    replace(folder, CAPTIONS, "train_captions", expected.captions.astype(type_))
    replace(folder, CAPTIONS, "train_image_idxs", expected.image_idxs.astype(type_))
    train = load_coco(folder).train
    assert train.captions.dtype == train.image_idxs.dtype == jnp.int32
    np.testing.assert_array_equal(train.captions, expected.captions)
    np.testing.assert_array_equal(train.image_idxs, expected.image_idxs)


@pytest.mark.parametrize("options", [{}, {"chunks": (5, 3), "compression": "gzip"}])
@pytest.mark.parametrize("type_", ["<f2", "<f8", ">f4"])
def test_features_of_other_widths_become_float32(folder, arrays, type_, options):
    features = arrays["train"].features.astype(type_)
    replace(folder, TRAIN, "features", features, **options)
    train = load_coco(folder).train
    assert train.features.dtype == jnp.float32
    np.testing.assert_array_equal(train.features, features.astype(np.float32))


# What is wrong with the folder.


def test_missing_folder(tmp_path):
    refuses(tmp_path / "none", FileNotFoundError, "none: no such folder", "--data_dir", CAPTIONS)
    (tmp_path / "file").touch()
    refuses(tmp_path / "file", FileNotFoundError, "file: is not a folder", "--data_dir")


@pytest.mark.parametrize("file", [CAPTIONS, VOCABULARY, TRAIN, VAL])
def test_missing_file(folder, file):
    (folder / file).unlink()
    message = refuses(folder, FileNotFoundError, f"{folder / file}: no such file")
    assert "the data folder needs" in message and "pca_features reads" not in message


def test_one_feature_file_of_the_other_kind_is_no_remedy(folder):
    (folder / TRAIN).rename(folder / "train2014_vgg16_fc7.h5")
    assert "nopca_features" not in refuses(folder, FileNotFoundError, TRAIN)


@pytest.mark.parametrize("file", [CAPTIONS, TRAIN])
@pytest.mark.parametrize(
    "raw, found",
    [
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "begins with b'<!DOCTYPE html>"),
        (b"", "is empty"),
        (b"\x89HDF", "begins with"),
    ],
)
def test_foreign_hdf5(folder, file, raw, found):
    (folder / file).write_bytes(raw)
    refuses(folder, ValueError, f"{folder / file}: not an HDF5 file", found, "download it again")


@pytest.mark.parametrize("file", [CAPTIONS, VAL])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_hdf5(folder, file, share):
    raw = (folder / file).read_bytes()
    (folder / file).write_bytes(raw[: int(share * len(raw))])
    refuses(folder, OSError, f"{folder / file}: cannot be read", "truncated", "download it again")


def test_broken_chunk(folder, arrays):
    features = arrays["train"].features
    replace(folder, TRAIN, "features", features, chunks=features.shape, compression="gzip")
    with h5py.File(folder / TRAIN) as file:
        offset = file["features"].id.get_chunk_info(0).byte_offset
    raw = bytearray((folder / TRAIN).read_bytes())
    raw[offset : offset + 40] = b"\0" * 40
    (folder / TRAIN).write_bytes(raw)
    refuses(folder, OSError, f"{folder / TRAIN}: features: cannot be read")


def test_vocabulary_with_a_byte_order_mark(folder):
    path = folder / VOCABULARY
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    refuses(folder, ValueError, f"{path}: begins with a byte-order mark", "save it as UTF-8")


def test_vocabulary_without_start(folder):
    path = folder / VOCABULARY
    path.write_text(path.read_text().replace("<START>", "<GO>"))
    refuses(folder, ValueError, f"{path}: <START> is missing")


def test_vocabulary_of_another_data_set_of_the_same_size(folder):
    words = [f"word{i}" for i in range(WORDS - 4)]
    Vocabulary.build(words[::-1]).save(folder / VOCABULARY)
    refuses(folder, ValueError, "dataset.json: vocabulary_digest is", VOCABULARY)


@pytest.mark.parametrize("text", ["{}", '{"name": ""}', '{"name": 3}'])
def test_data_set_without_a_name(folder, text):
    (folder / "dataset.json").write_text(text)
    refuses(folder, ValueError, "dataset.json: name is")


# What is wrong with a dataset.


@pytest.mark.parametrize(
    "file, name",
    [(CAPTIONS, "train_captions"), (CAPTIONS, "val_image_idxs"), (VAL, "features")],
)
class TestDatasets:
    def test_missing(self, folder, file, name):
        with h5py.File(folder / file, "r+") as opened:
            opened.move(name, "other")
        refuses(folder, ValueError, f"{folder / file}: {name} is missing", "other")

    def test_group(self, folder, file, name):
        with h5py.File(folder / file, "r+") as opened:
            del opened[name]
            opened.create_group(name)
        refuses(folder, ValueError, f"{folder / file}: {name} is a group, expected a dataset")

    @pytest.mark.parametrize("link", ["soft", "external", "dangling"])
    def test_link(self, folder, file, name, link):
        with h5py.File(folder / file, "r+") as opened:
            opened.move(name, "other")
            opened[name] = {
                "soft": h5py.SoftLink("/other"),
                "external": h5py.ExternalLink(file, "/other"),
                "dangling": h5py.ExternalLink("none.h5", "/other"),
            }[link]
        refuses(folder, ValueError, f"{folder / file}: {name} is a link, expected a dataset")

    def test_data_in_another_file(self, folder, file, name):
        with h5py.File(folder / file, "r+") as opened:
            shape, type_ = opened[name].shape, opened[name].dtype
            del opened[name]
            size = int(np.prod(shape)) * type_.itemsize
            (folder / "raw").write_bytes(bytes(size))
            external = [(str(folder / "raw"), 0, size)]
            opened.create_dataset(name, shape, type_, external=external)
        refuses(folder, ValueError, f"{folder / file}: {name} lies in another file")

    def test_virtual(self, folder, file, name):
        with h5py.File(folder / file, "r+") as opened:
            opened.move(name, "other")
            layout = h5py.VirtualLayout(opened["other"].shape, opened["other"].dtype)
            layout[...] = h5py.VirtualSource(opened["other"])
            opened.create_virtual_dataset(name, layout)
        refuses(folder, ValueError, f"{folder / file}: {name} lies in another file")

    @pytest.mark.parametrize("options", [{}, {"chunks": True}])
    def test_never_filled(self, folder, file, name, options):
        with h5py.File(folder / file, "r+") as opened:
            shape, type_ = opened[name].shape, opened[name].dtype
            del opened[name]
            opened.create_dataset(name, shape, type_, **options)
        refuses(folder, ValueError, f"{folder / file}: {name} was never filled")

    def test_other_rank(self, folder, file, name):
        with h5py.File(folder / file) as opened:
            value = opened[name][...][None]
        replace(folder, file, name, value)
        refuses(folder, ValueError, f"{folder / file}: {name} has shape (1, ", "expected", "dim")

    @pytest.mark.parametrize("type_", [bool, complex, "S4"])
    def test_other_type(self, folder, file, name, type_):
        with h5py.File(folder / file) as opened:
            value = np.ones(opened[name].shape).astype(type_)
        replace(folder, file, name, value)
        refuses(folder, ValueError, f"{folder / file}: {name} has type", "expected", "dimensions")

    def test_empty(self, folder, file, name):
        with h5py.File(folder / file) as opened:
            value = opened[name][:0]
        replace(folder, file, name, value)
        refuses(folder, ValueError, f"{folder / file}: {name} is empty, of shape (0,")


def test_captions_of_floats_and_features_of_integers(folder, arrays):
    replace(folder, TRAIN, "features", np.ones((12, 8), np.int32))
    refuses(folder, ValueError, f"{TRAIN}: features has type int32, expected 2", "floats")
    replace(folder, CAPTIONS, "train_captions", arrays["train"].captions.astype(np.float32))
    refuses(folder, ValueError, "train_captions has type float32, expected 2", "integers")


@pytest.mark.parametrize("split, row", [("train", 59), ("val", 0)])
@pytest.mark.parametrize("bad", [WORDS, -1, 2**31 - 1])
def test_ids_outside_the_vocabulary(folder, split, row, bad):
    change(folder, CAPTIONS, f"{split}_captions", (row, 3), bad)
    refuses(
        folder,
        ValueError,
        f"{folder / CAPTIONS}: {split}_captions row {row} holds the id {bad}, expected 0 to 23",
        f"{folder / VOCABULARY} has 24 words",
    )


def test_ids_too_large_for_int32_do_not_wrap(folder, arrays):
    captions = arrays["train"].captions.astype(np.uint64)
    captions[4, 5] = 2**32 + 4
    replace(folder, CAPTIONS, "train_captions", captions)
    refuses(folder, ValueError, f"row 4 holds the id {2**32 + 4}")


@pytest.mark.parametrize("bad", [5, -1])
def test_image_indexes_outside_the_features(folder, bad):
    change(folder, CAPTIONS, "val_image_idxs", 9, bad)
    refuses(
        folder,
        ValueError,
        f"{folder / CAPTIONS}: val_image_idxs row 9 is image {bad}, expected 0 to 4",
        f"{folder / VAL} has 5 images",
    )


def test_captions_and_image_indexes_of_different_lengths(folder, arrays):
    replace(folder, CAPTIONS, "train_image_idxs", arrays["train"].image_idxs[:-1])
    refuses(folder, ValueError, "train_image_idxs has 59 entries for 60 captions")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite(folder, bad):
    change(folder, TRAIN, "features", (7, 2), bad)
    refuses(folder, ValueError, f"{folder / TRAIN}: features row 7 ", f"{bad} in column 2")


def test_features_are_checked_in_every_chunk(folder, monkeypatch):
    monkeypatch.setattr("jaxcap.files.hdf5._CHUNK_BYTES", 2 * FEATURES * 4)
    change(folder, TRAIN, "features", (11, 7), np.nan)
    refuses(folder, ValueError, "features row 11 ", "nan in column 7")


def test_features_too_large_for_float32(folder):
    features = np.ones((5, FEATURES))
    features[3, 1] = 1e300
    replace(folder, VAL, "features", features)
    refuses(folder, ValueError, f"{folder / VAL}: features row 3 ", "inf in column 1")


def test_large_finite_features_are_kept(folder):
    features = np.full((5, FEATURES), np.finfo(np.float32).max, np.float32)
    replace(folder, VAL, "features", features)
    np.testing.assert_array_equal(load_coco(folder).val.features, features)


def test_splits_of_different_widths(folder, arrays):
    replace(folder, VAL, "features", np.ones((5, 9), np.float32))
    refuses(folder, ValueError, f"{TRAIN}: features has shape (12, 8)", "(5, 9), expected rows")
    replace(folder, CAPTIONS, "val_captions", arrays["val"].captions[:, :16])
    refuses(folder, ValueError, "train_captions has shape (60, 17)", "(25, 16), expected rows")


@pytest.mark.parametrize("text", ["", "http://example.org/0.jpg\n" * 6])
def test_another_number_of_urls(folder, text):
    (folder / "val2014_urls.txt").write_text(text)
    found = text.count("\n")
    refuses(folder, ValueError, f"val2014_urls.txt has {found} URLs, expected 5", VAL)


# Writing.


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("captions", np.full((25, 17), WORDS, np.int32), "val.captions row 0 holds the id 24"),
        ("features", np.ones((0, 8), np.float32), r"val.features has shape \(0, 8\)"),
        ("captions", np.zeros((25, 16), np.int32), r"\(25, 16\), expected rows of one length"),
        ("image_idxs", np.full(25, 5, np.int32), "val.image_idxs row 0 is image 5"),
        ("features", np.full((5, 8), np.nan, np.float32), "val.features row 0"),
        ("features", np.ones((5, 9), np.float32), r"\(5, 9\), expected rows of one length"),
        ("urls", ["u"] * 4, "val.urls has 4 URLs, expected 5"),
        ("urls", ["u"] * 4 + ["a b"], r"val.urls\[4\] is 'a b'"),
    ],
)
def test_write_refuses_what_could_not_be_loaded(
    tmp_path, vocabulary, arrays, field, value, message
):
    bad = SplitArrays(**(vars(arrays["val"]) | {field: value}))
    with pytest.raises(ValueError, match=message):
        write_coco(tmp_path / "new", vocabulary, arrays | {"val": bad}, name="tiny")
    assert not (tmp_path / "new").exists()


def test_write_needs_both_splits(tmp_path, vocabulary, arrays):
    with pytest.raises(ValueError, match="splits has train, expected"):
        write_coco(tmp_path, vocabulary, {"train": arrays["train"]}, name="tiny")


def test_write_needs_a_name(tmp_path, vocabulary, arrays):
    with pytest.raises(ValueError, match="name is empty"):
        write_coco(tmp_path, vocabulary, arrays, name="")
