"""Grids of images: prepared, resumed, reduced, and loaded into memory or read from their files."""

import json
import warnings
from dataclasses import replace

import h5py
import jax
import numpy as np
import pytest
from photo_files import TinyEncoder, draw_all, write_karpathy

from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.grids import Grids
from jaxcap.data.projection import Projection
from jaxcap.datasets import Placement, load_data
from jaxcap.preparing import prepare as preparing
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.vision.images import open_image

GRID_FILES = {f"{split}2014_grid.h5" for split in ("train", "val")}


def prepare(config, encoder=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return preparing.prepare(config, encoder or TinyEncoder())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def load(folder, splits=("train", "val"), memory=4 << 30, **options):
    return load_data(folder, placement=Placement(splits, grids=True, grid_memory=memory), **options)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    captions = draw_all(folder / "images", 12)
    (folder / "images" / "003.png").write_bytes(b"")
    split_of = lambda place: "val" if place % 4 == 0 else "train"  # noqa: E731
    return folder / "images", write_karpathy(folder / "captions.json", captions, split_of)


@pytest.fixture
def config(photos, tmp_path):
    """Eight training pictures, one of them unreadable, and three of val; batches of four."""
    images, captions = photos
    options = {"min_count": 1, "batch_size": 4, "grid": True}
    return PreparationConfig(images, captions, tmp_path / "data", **options)


def test_grids_stand_beside_the_features(config):
    prepare(config)
    encoder, data = TinyEncoder(), load(config.output)
    assert data.grid_dim == 6 and data.grid == {"places": 4, "width": 6, "pca": None}
    assert json.loads((config.output / "report.json").read_text())["grid"] == data.grid
    for split, arrays in data.splits.items():
        path = config.output / f"{split}2014_grid.h5"
        with h5py.File(path) as file:
            assert file["grid"].chunks == (1, 4, 6) and file["grid"].dtype == np.float16
        assert arrays.images.grid.dtype == np.float16 and arrays.grids is None
        with Grids(path) as grids:
            rows = np.arange(arrays.num_images)
            np.testing.assert_array_equal(arrays.images.grid, grids.read(rows))
        for row, url in enumerate(arrays.urls.tolist()):
            picture = open_image(config.images / url.decode().rpartition("/")[2])
            alone = encoder.encode_prepared(encoder.prepare(picture)[None], grid=True)
            np.testing.assert_array_equal(arrays.images.grid[row], np.float16(alone.grid[0]))
    # Without them it is the same data, and another preparation in its place leaves none.
    without = load_coco(config.output)
    assert without.train.images.grid is None and without.grid_dim == 0
    assert replace(data.identity, grid=None) == without.identity
    prepare(replace(config, grid=False, overwrite=True))
    assert not GRID_FILES & set(contents(config.output))


@pytest.mark.parametrize("pca", [None, 3])
def test_stopped_and_run_again_equals_undisturbed(config, tmp_path, pca):
    whole = replace(config, output=tmp_path / "whole" / "data", grid_pca=pca)
    cut = replace(whole, output=tmp_path / "cut" / "data")
    prepare(whole)
    with pytest.raises(RuntimeError, match="lights"):
        prepare(cut, TinyEncoder(fails_at=2))
    again = TinyEncoder()
    prepare(cut, again)
    assert again.batches == [4] and contents(cut.output) == contents(whole.output)


def test_reduced_grids_take_the_place_of_the_whole_ones(config, tmp_path):
    done = prepare(replace(config, grid_pca=3))
    full = replace(config, output=tmp_path / "full")
    prepare(full)
    reduced, full = load(config.output), load(full.output)
    projection = Projection.load(config.output / "grid_pca.h5")
    assert reduced.grid == {"places": 4, "width": 3, "pca": projection.describe()}
    places = np.asarray(full.train.images.grid, np.float64).reshape(-1, 6)
    np.testing.assert_allclose(projection.mean, places.mean(0), rtol=1e-5)
    _, values, _ = np.linalg.svd(places - places.mean(0))
    assert done.grid_variance == pytest.approx((values[:3] ** 2).sum() / (values**2).sum())
    for split in ("train", "val"):
        grid = np.asarray(full.splits[split].images.grid, np.float32)
        expected = projection.apply(grid.reshape(-1, 6)).reshape(len(grid), 4, 3)
        np.testing.assert_allclose(reduced.splits[split].images.grid, expected, atol=2e-3)
    with pytest.raises(ValueError, match="`grid_pca` is 7, expected 1 to 6, .* 36 training places"):
        prepare(replace(config, grid_pca=7, overwrite=True))


def test_what_has_no_grid_is_refused_at_once(config):
    for changes, message in (
        ({"encoder": "vgg16"}, "`encoder` vgg16 has no spatial grid; use efficientnet-lite0 or"),
        ({"grid": False, "grid_pca": 3}, "`grid_pca` reduces the grids, which `grid` writes"),
    ):
        with pytest.raises(ValueError, match=message):
            plan_preparation(replace(config, **changes))
    encoder = TinyEncoder(grid_cells=0)
    with pytest.raises(ValueError, match="tiny has no spatial grid; use efficientnet-lite0 or"):
        prepare(config, encoder)
    assert not encoder.batches


def test_values_beyond_half_precision(config):
    prepare(config, TinyEncoder(scale=1e6))
    grid = np.asarray(load(config.output).train.images.grid)
    assert np.isfinite(grid).all() and grid.max() == np.finfo(np.float16).max
    with pytest.raises(ValueError, match=r"001\.png: the encoder gives it a grid of .* NaN or inf"):
        prepare(replace(config, overwrite=True), TinyEncoder(scale=np.inf))


def test_grids_that_are_too_large_are_read_from_their_files(config):
    prepare(config)
    held, rows = load(config.output), np.array([2, 0, 2])
    sizes = {split: arrays.images.grid.nbytes for split, arrays in held.splits.items()}
    for memory, in_memory in ((0, []), (sizes["val"], ["val"]), (sizes["train"], ["train"])):
        data = load(config.output, memory=memory)
        assert [s for s, arrays in data.splits.items() if arrays.grids is None] == in_memory
        assert data.grid_dim == 6 and data.identity == held.identity
        for split, arrays in data.splits.items():
            assert (arrays.images.grid is None) == (arrays.grids is not None)
            found, expected = arrays.image(rows), held.splits[split].image(rows)
            jax.tree.map(np.testing.assert_array_equal, found, expected)
    data = load(config.output, ["train"], max_train=5, key=jax.random.key(0))
    assert data.train.num_captions == 5 and len(data.train.images.grid) == 8
    data = load(config.output, ["val"], memory=0)
    assert data.val.grids.shape == (3, 4, 6)


def test_grids_of_other_data_are_refused(config, tmp_path):
    prepare(config)
    train, val, about = (config.output / n for n in (*sorted(GRID_FILES), "dataset.json"))
    whole = contents(config.output)

    def write(path, shape):
        with h5py.File(path, "w") as file:
            file["grid"] = np.ones(shape, np.float16)

    def describe(**grid):
        value = json.loads(whole["dataset.json"])
        about.write_text(json.dumps({**value, "grid": {**value["grid"], **grid}}))

    for spoil, message in (
        (lambda: write(val, (4, 4, 6)), r"val2014_grid\.h5: grid has the grids of 4 images and"),
        (lambda: write(train, (8, 5, 6)), "grid has 5 places of width 6, and .* says 4 of 6"),
        (lambda: describe(width=5), "train2014_grid.h5: grid has 4 .*dataset.json says 4 of 5"),
        (lambda: describe(x=5), "dataset.json: grid is .* expected places, width and pca"),
        (val.unlink, r"data: lacks val2014_grid\.h5; .* jaxcap.prepare writes with `grid`"),
    ):
        spoil()
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            load(config.output)
        for name, content in whole.items():
            (config.output / name).write_bytes(content)
    # Those of a folder that was not prepared here say what they are themselves.
    about.unlink()
    assert load(config.output).grid == {"places": 4, "width": 6, "pca": None}
    data = load_coco(config.output)
    write_coco(config.output, data.vocabulary, _arrays(config.output), name="other")
    with pytest.raises(FileNotFoundError, match="data: holds no grids; a captioner that attends"):
        load(config.output)


def _arrays(folder):
    from jaxcap.data.coco import load_arrays

    return load_arrays(folder)[1]
