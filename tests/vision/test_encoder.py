"""The encoders: EfficientNet against features that PyTorch computed, VGG16 against plain NumPy."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import clip, efficientnet, encoder, vgg16
from jaxcap.vision.efficientnet import WEIGHTS
from jaxcap.vision.encoder import Encoder, check_same_encoder, load_encoder
from jaxcap.vision.eye import Encoded, Eye, Widths
from jaxcap.vision.preprocessing import Preprocessing, check_pixels

GOLDEN = Path(__file__).parents[1] / "golden" / "efficientnet_lite0.npz"


@pytest.fixture(scope="module")
def lite():
    return load_encoder(weights=str(WEIGHTS))


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]


def assert_relative(found, expected, tolerance):
    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < tolerance, error.max()


def test_golden_features(lite):
    """The wide picture is resized on the way, so the filter is pinned as well."""
    with np.load(GOLDEN) as file:
        golden = dict(file)
    images = [golden["square"], golden["wide"]]
    pooled, grid = lite.encode(images, grid=True, batch_size=2)
    assert pooled.dtype == grid.dtype == np.float32 and grid.shape == (2, 7 * 7, 1280)
    assert_relative(pooled, golden["shipped_pooled"], 1e-4)
    assert_relative(grid[:, golden["cells"]], golden["shipped_cells"], 1e-4)
    np.testing.assert_allclose(np.linalg.norm(grid, axis=2), golden["shipped_norms"], rtol=1e-4)
    # The published network in single precision, batch norm not folded.
    assert_relative(pooled, golden["published_pooled"], 1e-2)
    np.testing.assert_allclose(pooled, grid.mean(1), rtol=1e-5, atol=1e-6)
    alone = lite.encode(images[1:], grid=True, batch_size=2)
    np.testing.assert_array_equal(alone.grid, grid[1:])
    np.testing.assert_array_equal(alone.pooled, pooled[1:])
    # What other devices compute.
    pixels = lite.eyes[0].preprocessing.normalise(jnp.asarray(lite.prepare(images[0]))[None])
    by_others = jax.jit(efficientnet._grid, static_argnames=("network", "depthwise"))(
        lite.eyes[0].params,
        pixels,
        network=efficientnet.LITE0,
        depthwise=efficientnet._depthwise_grouped,
    )
    assert_relative(by_others, grid[:1], 1e-4)


def test_the_weights_that_ship(lite):
    shapes = efficientnet.parameter_shapes()
    assert {name: x.shape for name, x in lite.eyes[0].params.items()} == shapes
    assert sum(map(np.prod, shapes.values())) == 3_350_000 and WEIGHTS.stat().st_size < 8e6
    assert (WEIGHTS.parent / "NOTICE").exists() and (WEIGHTS.parent / "LICENSE-APACHE-2.0").exists()
    # They are not compiled in.
    assert not jax.make_jaxpr(efficientnet.features)(
        lite.eyes[0].params, jnp.zeros((1, 224, 224, 3))
    ).consts
    larger = load_encoder("efficientnet-lite0-288")
    pixels = jax.ShapeDtypeStruct((2, 288, 288, 3), np.float32)
    grid = jax.eval_shape(efficientnet.features, larger.eyes[0].params, pixels).grid
    assert (
        (larger.eyes[0].preprocessing.size, larger.grid_cells) == (288, 81) == (288, grid.shape[1])
    )


def test_pictures_of_any_size_in_two_programs(lite):
    before, images = encoder._encode._cache_size(), pictures((50, 80), (224, 224), (9, 900), (1, 1))
    pooled, grid = lite.encode(images, batch_size=2)
    assert pooled.shape == (4, 1280) and grid is None
    assert isinstance(pooled, np.ndarray) and pooled.dtype == np.float32
    for num in (1, 3):
        lite.encode(images[:num], batch_size=2)
    assert encoder._encode._cache_size() <= before + 2
    for call, message in (
        (lambda: lite.encode([]), "`images` is empty"),
        (lambda: load_encoder("resnet"), "no encoder 'resnet'; the encoders are efficientnet"),
        (lambda: load_encoder("clip+resnet"), "no encoder 'resnet'"),
        (lambda: load_encoder("clip"), "clip needs a weights file.*Hugging Face's CLIPModel"),
        (lambda: load_encoder("vgg16"), "vgg16 needs a weights file"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_difference_between_encoders_names_both(lite):
    used = lite.describe()
    assert json.loads(json.dumps(used)) == used and len(used["version"]) == 12
    check_same_encoder(json.loads(json.dumps(used)), used, "train.h5")
    (eye,) = lite.eyes
    cropped = replace(eye, preprocessing=replace(eye.preprocessing, fit="crop")).describe()
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


STAGES = ((4, 5), (6,))
PREPROCESSING = {
    "efficientnet-lite0": efficientnet.PREPROCESSING,
    "vgg16": vgg16.TORCHVISION,
    "vgg16-caffe": vgg16.CAFFE,
    "clip": clip.PREPROCESSING,
}


def plain_fc7(tensors, image):
    """The network in PyTorch's layout, one picture (H, W, 3), no library."""
    x = image.transpose(2, 0, 1)
    for names in vgg16.convolution_names(STAGES):
        for name in names:
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
            x = np.einsum("chwij,ocij->ohw", windows, tensors[f"{name}.weight"])
            x = np.maximum(x + tensors[f"{name}.bias"][:, None, None], 0)
        channels, height, width = x.shape
        x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
    x = x.reshape(-1)
    for name in ("classifier.0", "classifier.3"):
        x = np.maximum(tensors[f"{name}.weight"] @ x + tensors[f"{name}.bias"], 0)
    return x


@pytest.mark.parametrize(
    ("name", "black", "white", "channel_of_red"),
    [
        (
            "vgg16",
            [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
            [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225],
            0,
        ),
        ("vgg16-caffe", [-103.939, -116.779, -123.68], [151.061, 138.221, 131.32], 2),
        ("efficientnet-lite0", [-127 / 128] * 3, [1.0] * 3, 0),
        ("clip", [-1.7922626, -1.7520971, -1.4802198], [1.9303361, 2.0748837, 2.1458970], 0),
    ],
)
def test_pixels_reach_a_network_in_its_range_and_order(name, black, white, channel_of_red):
    preprocessing = PREPROCESSING[name]
    colours = np.uint8([[0, 0, 0], [255, 255, 255], [255, 0, 0]])[:, None, None]
    found = preprocessing.normalise(jnp.asarray(colours))[:, 0, 0]
    np.testing.assert_allclose(found[:2], [black, white], rtol=1e-5)
    assert found[2].argmax() == channel_of_red
    if not name.startswith("vgg16"):
        return
    rng, shapes = np.random.default_rng(0), vgg16.file_shapes(STAGES, hidden=7, size=8)
    tensors = {
        name: rng.standard_normal(shape, np.float32) / np.float32(np.prod(shape[1:]) / 2) ** 0.5
        for name, shape in shapes.items()
    }
    preprocessing = replace(preprocessing, size=8)
    params = vgg16.from_torchvision(tensors)
    network = lambda params, images: Encoded(vgg16.fc7(params, images, STAGES))  # noqa: E731
    small = Encoder((Eye(name, "0" * 12, preprocessing, Widths(7), network, params),))
    images = pictures((20, 30), (8, 8))
    pixels = preprocessing.normalise(jnp.stack([preprocessing.resize(image) for image in images]))
    expected = np.stack([plain_fc7(tensors, np.asarray(image)) for image in pixels])
    assert (expected > 0).any()
    found = small.encode(images, batch_size=2).pooled
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="no spatial grid"):
        small.encode(images, grid=True)


def test_names_of_vgg16_are_torchvisions():
    names = [name for stage in vgg16.convolution_names() for name in stage]
    indices = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    assert names == [f"features.{index}" for index in indices]
    shapes = vgg16.file_shapes()
    assert shapes["features.28.weight"] == (512, 512, 3, 3) and len(shapes) == 2 * 15
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.3.weight"] == (4096, 4096)


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
