"""EfficientNet against features that PyTorch computed, VGG16 against plain NumPy."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import efficientnet, vgg16
from jaxcap.vision.efficientnet import PREPROCESSING, WEIGHTS, features
from jaxcap.vision.vgg16 import convolution_names, fc7, file_shapes, from_torchvision

ROOT = Path(__file__).parents[2]
SMALL = ((4, 5), (6,))


@pytest.fixture(scope="module")
def params():
    return efficientnet.load_params(str(WEIGHTS))


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests/golden/efficientnet_lite0.npz") as file:
        return dict(file)


def prepare(*pictures):
    return PREPROCESSING.normalise(jnp.stack([PREPROCESSING.resize(image) for image in pictures]))


@pytest.fixture(scope="module")
def encoded(params, golden):
    return features(params, prepare(golden["square"], golden["wide"]))


def assert_relative(found, expected, tolerance):
    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < tolerance, error.max()


def test_golden_features(encoded, golden):
    """The wide picture is resized on the way, so the filter is pinned as well."""
    assert encoded.pooled.dtype == encoded.grid.dtype == jnp.float32
    assert_relative(encoded.pooled, golden["shipped_pooled"], 1e-4)
    assert_relative(encoded.grid[:, golden["cells"]], golden["shipped_cells"], 1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(encoded.grid, axis=2), golden["shipped_norms"], rtol=1e-4
    )
    # The published network in single precision, batch norm not folded.
    assert_relative(encoded.pooled, golden["published_pooled"], 1e-2)
    np.testing.assert_allclose(encoded.pooled, encoded.grid.mean(1), rtol=1e-6, atol=1e-7)


def test_a_picture_alone_and_by_what_other_devices_compute(params, golden, encoded):
    alone = features(params, prepare(golden["wide"]))
    np.testing.assert_array_equal(alone.grid[0], encoded.grid[1])
    np.testing.assert_array_equal(alone.pooled[0], encoded.pooled[1])
    grid = jax.jit(efficientnet._grid, static_argnames="depthwise")(
        params, prepare(golden["square"]), depthwise=efficientnet._depthwise_grouped
    )
    assert_relative(grid, encoded.grid[:1], 1e-4)


def test_the_weights_that_ship(params):
    shapes = efficientnet.parameter_shapes()
    assert {name: x.shape for name, x in params.items()} == shapes
    assert sum(map(np.prod, shapes.values())) == 3_350_000 and WEIGHTS.stat().st_size < 8e6
    assert (WEIGHTS.parent / "NOTICE").exists() and (WEIGHTS.parent / "LICENSE-APACHE-2.0").exists()
    # They are not compiled in.
    assert not jax.make_jaxpr(features)(params, jnp.zeros((1, 224, 224, 3))).consts


def random_tensors(shapes, seed=0):
    """Weights as torchvision stores them, of a size that keeps activations near one."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]) / 2)).astype("f")
        for name, shape in shapes.items()
    }


def plain_fc7(tensors, image, stages):
    """The network in PyTorch's layout, one picture (H, W, 3), no library."""
    x = image.transpose(2, 0, 1)
    for names in convolution_names(stages):
        for name in names:
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2)
            )
            x = np.einsum("chwij,ocij->ohw", windows, tensors[f"{name}.weight"])
            x = np.maximum(x + tensors[f"{name}.bias"][:, None, None], 0)
        channels, height, width = x.shape
        x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
    x = x.reshape(-1)
    for name in ("classifier.0", "classifier.3"):
        x = np.maximum(tensors[f"{name}.weight"] @ x + tensors[f"{name}.bias"], 0)
    return x


def test_vgg16_against_numpy():
    tensors = random_tensors(file_shapes(SMALL, hidden=7, size=8))
    images = np.random.default_rng(1).standard_normal((3, 8, 8, 3)).astype(np.float32)
    found = fc7(from_torchvision(tensors), jnp.asarray(images), SMALL)
    expected = np.stack([plain_fc7(tensors, image, SMALL) for image in images])
    assert found.shape == (3, 7) and (found > 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    indices = [int(name.split(".")[1]) for names in convolution_names() for name in names]
    assert indices == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    shapes = file_shapes()
    assert shapes["features.28.weight"] == (512, 512, 3, 3) and len(shapes) == 2 * 15
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.3.weight"] == (4096, 4096)


@pytest.mark.parametrize(
    ("preprocessing", "black", "white", "channel_of_red"),
    [
        (PREPROCESSING, [-127 / 128] * 3, [1.0] * 3, 0),
        (
            vgg16.TORCHVISION,
            [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
            [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225],
            0,
        ),
        (vgg16.CAFFE, [-103.939, -116.779, -123.68], [151.061, 138.221, 131.32], 2),
    ],
)
def test_pixels_reach_a_network_in_its_range_and_order(preprocessing, black, white, channel_of_red):
    colours = np.uint8([[0, 0, 0], [255, 255, 255], [255, 0, 0]])[:, None, None]
    found = preprocessing.normalise(jnp.asarray(colours))[:, 0, 0]
    np.testing.assert_allclose(found[:2], [black, white], rtol=1e-5)
    assert found[2].argmax() == channel_of_red
