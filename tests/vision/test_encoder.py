"""One interface over the networks, and the record that keeps their features apart."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import efficientnet, encoder, vgg16
from jaxcap.vision.encoder import Encoder, check_same_encoder, load_encoder


@pytest.fixture(
    scope="module",
    params=["efficientnet-lite0", pytest.param("efficientnet-lite0-288", marks=pytest.mark.slow)],
)
def lite(request):
    return load_encoder(request.param)


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]


def test_pictures_of_any_size(lite):
    images = pictures((50, 80), (224, 224), (300, 100), (1, 1), (7, 900))
    encoded = lite.encode(images, batch_size=2)
    assert encoded.pooled.shape == (5, lite.feature_dim) and encoded.grid is None
    assert isinstance(encoded.pooled, np.ndarray) and encoded.pooled.dtype == np.float32


def test_batches_do_not_matter(lite):
    images = pictures((50, 80), (60, 60), (300, 100))
    together = lite.encode(images, batch_size=2)
    alone = np.concatenate([lite.encode([image], batch_size=2).pooled for image in images])
    np.testing.assert_array_equal(together.pooled, alone)


def test_grid(lite):
    encoded = lite.encode(pictures((40, 40)), grid=True)
    places = {"efficientnet-lite0": 7 * 7, "efficientnet-lite0-288": 9 * 9}[lite.name]
    assert encoded.grid.shape == (1, places, lite.feature_dim)
    assert lite.grid_cells == places
    np.testing.assert_allclose(encoded.pooled, encoded.grid.mean(1), rtol=1e-5, atol=1e-6)


def test_two_shapes_are_all_that_is_compiled(lite):
    before = encoder._encode._cache_size()
    for num in (1, 2, 3, 4, 7, 9):
        lite.encode(pictures(*[(30, 30)] * num), batch_size=2)
    assert encoder._encode._cache_size() <= before + 2


def test_inputs_that_are_refused(lite):
    with pytest.raises(ValueError, match="no pictures"):
        lite.encode([])
    with pytest.raises(ValueError, match="no encoder 'resnet'; the encoders are efficientnet"):
        load_encoder("resnet")
    with pytest.raises(ValueError, match="vgg16 needs a weights file"):
        load_encoder("vgg16")


def test_description_survives_json(lite):
    description = lite.describe()
    assert json.loads(json.dumps(description)) == description
    assert description["name"] == lite.name and len(description["version"]) == 12
    assert description["preprocessing"]["filter"] == "bicubic"
    check_same_encoder(json.loads(json.dumps(description)), lite.describe(), "train.h5")


def test_a_difference_names_both(lite):
    used = lite.describe()
    other = {**used, "version": "0123456789ab"}
    with pytest.raises(ValueError) as error:
        check_same_encoder(other, used, "model")
    made = f"model: its features were made by {lite.name} version 0123456789ab"
    assert made in str(error.value)
    assert f"in use is {lite.name} version {used['version']}" in str(error.value)
    cropped = dataclasses.replace(lite.preprocessing, fit="crop")
    other = dataclasses.replace(lite, preprocessing=cropped).describe()
    with pytest.raises(ValueError, match=r"\(fit crop\).*\(fit squeeze\)"):
        check_same_encoder(other, used, "model")
    with pytest.raises(ValueError, match="does not say which encoder"):
        check_same_encoder(None, used, "model")
    with pytest.raises(ValueError, match="unnamed encoder version unknown"):
        check_same_encoder({}, used, "model")


@pytest.mark.parametrize("name", ["vgg16", "vgg16-caffe"])
def test_vgg16(monkeypatch, name):
    """The small network of test_vgg16.py, behind the interface."""
    stages = ((4,), (5,))
    shapes = vgg16.file_shapes(stages, hidden=6, size=8)
    rng = np.random.default_rng(0)
    tensors = {key: rng.standard_normal(shape, np.float32) for key, shape in shapes.items()}
    params = vgg16.from_torchvision(tensors)
    monkeypatch.setattr(vgg16, "fc7", lambda params, images: _fc7(params, images, stages))
    preprocessing = dataclasses.replace(encoder._VGG16[name], size=8)
    small = Encoder(name, "0" * 12, preprocessing, 6, 0, params)
    images = pictures((20, 30), (8, 8))
    resized = np.stack([preprocessing.resize(image) for image in images])
    expected = _fc7(params, preprocessing.normalise(jnp.asarray(resized)), stages)
    found = small.encode(images, batch_size=2)
    np.testing.assert_allclose(found.pooled, expected, rtol=1e-5)
    assert found.grid is None
    with pytest.raises(ValueError, match="no spatial grid"):
        small.encode(images, grid=True)


_fc7 = vgg16.fc7


def test_weights_are_not_compiled_in(lite):
    jaxpr = jax.make_jaxpr(efficientnet.features)(lite.params, jnp.zeros((1, 224, 224, 3)))
    assert not jaxpr.consts
