"""One interface over the networks, and the record that keeps their features apart."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import efficientnet, encoder, vgg16
from jaxcap.vision.encoder import Encoder, check_same_encoder, load_encoder
from jaxcap.vision.preprocessing import Preprocessing, check_pixels


@pytest.fixture(scope="module")
def lite():
    return load_encoder()


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]


def test_pictures_of_any_size_in_any_batch(lite):
    images = pictures((50, 80), (224, 224), (300, 100), (1, 1), (7, 900))
    before = encoder._encode._cache_size()
    together = lite.encode(images, batch_size=2)
    assert together.pooled.shape == (5, 1280) and together.grid is None
    assert isinstance(together.pooled, np.ndarray) and together.pooled.dtype == np.float32
    alone = lite.encode(images[2:3], grid=True, batch_size=2)
    np.testing.assert_array_equal(together.pooled[2:3], alone.pooled)
    assert alone.grid.shape == (1, 7 * 7, 1280) and lite.grid_cells == 7 * 7
    larger = load_encoder("efficientnet-lite0-288")
    pixels = jax.ShapeDtypeStruct((2, 288, 288, 3), np.float32)
    grid = jax.eval_shape(efficientnet.features, larger.params, pixels).grid
    assert (larger.preprocessing.size, larger.grid_cells) == (288, 81) == (288, grid.shape[1])
    np.testing.assert_allclose(alone.pooled, alone.grid.mean(1), rtol=1e-5, atol=1e-6)
    for num in (3, 4):
        lite.encode(images[:num], batch_size=2)
    assert encoder._encode._cache_size() <= before + 2
    for call, message in (
        (lambda: lite.encode([]), "no pictures"),
        (lambda: load_encoder("resnet"), "no encoder 'resnet'; the encoders are efficientnet"),
        (lambda: load_encoder("vgg16"), "vgg16 needs a weights file"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_difference_between_encoders_names_both(lite):
    used = lite.describe()
    assert json.loads(json.dumps(used)) == used and len(used["version"]) == 12
    check_same_encoder(json.loads(json.dumps(used)), used, "train.h5")
    cropped = replace(lite, preprocessing=replace(lite.preprocessing, fit="crop")).describe()
    for other, message in (
        (
            {**used, "version": "0123456789ab"},
            f"^model: its features were made by {lite.name} version 0123456789ab, but the encoder "
            f"in use is {lite.name} version {used['version']}; use the same",
        ),
        (cropped, r"\(fit crop\).*\(fit squeeze\)"),
        (None, "does not say which encoder"),
        ({}, "unnamed encoder version unknown"),
    ):
        with pytest.raises(ValueError, match=message):
            check_same_encoder(other, used, "model")


@pytest.mark.parametrize("name", ["vgg16", "vgg16-caffe"])
def test_vgg16(monkeypatch, name):
    stages, fc7 = ((4,), (5,)), vgg16.fc7
    rng = np.random.default_rng(0)
    shapes = vgg16.file_shapes(stages, hidden=6, size=8)
    params = vgg16.from_torchvision({k: rng.standard_normal(s, "f") for k, s in shapes.items()})
    monkeypatch.setattr(vgg16, "fc7", lambda params, images: fc7(params, images, stages))
    preprocessing = replace(encoder._VGG16[name], size=8)
    small = Encoder(name, "0" * 12, preprocessing, 6, 0, params)
    images = pictures((20, 30), (8, 8))
    resized = np.stack([preprocessing.resize(image) for image in images])
    expected = fc7(params, preprocessing.normalise(jnp.asarray(resized)), stages)
    np.testing.assert_allclose(small.encode(images, batch_size=2).pooled, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="no spatial grid"):
        small.encode(images, grid=True)


PLAIN = Preprocessing(8, "squeeze", "bilinear", "RGB", (0.0,) * 3, (1.0,) * 3)


def columns(height, width):
    """A picture whose columns count upwards."""
    return np.repeat(np.tile(np.arange(width, dtype=np.uint8), (height, 1))[..., None], 3, -1)


def test_pictures_are_squeezed_or_cropped():
    edges = columns(8, 16)
    edges[:, 0], edges[:, -1] = 0, 255
    assert (PLAIN.resize(edges)[:, -1] > 60).all()
    np.testing.assert_array_equal(PLAIN.resize(columns(8, 8)), columns(8, 8))
    crop = replace(PLAIN, fit="crop")
    np.testing.assert_array_equal(crop.resize(columns(8, 16)), columns(8, 16)[:, 4:12])
    half = replace(crop, crop_share=0.5).resize(columns(16, 32))
    np.testing.assert_array_equal(half, columns(16, 32)[4:12, 12:20])
    # Making smaller averages.
    checkered = np.repeat((np.indices((64, 64)).sum(0) % 2 * 255).astype("u1")[..., None], 3, -1)
    for kind in ("bilinear", "bicubic"):
        resized = replace(PLAIN, filter=kind).resize(checkered)
        np.testing.assert_allclose(resized[1:-1, 1:-1], 127.5, atol=4)
    kinds = {(8, 8, 3): "f4", (8, 8): "u1", (8, 8, 4): "u1", (3, 8, 8): "u1", (0, 8, 3): "u1"}
    for shape, kind in kinds.items():
        with pytest.raises(ValueError, match=r"expected uint8 of shape \(H, W, 3\)"):
            check_pixels(np.zeros(shape, kind))
