"""Pixels reach the network in the size, order and range that it was trained on."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import efficientnet, vgg16
from jaxcap.vision.preprocessing import Preprocessing

PLAIN = Preprocessing(
    size=8,
    fit="squeeze",
    filter="bilinear",
    channels="RGB",
    mean=(0.0, 0.0, 0.0),
    scale=(1.0, 1.0, 1.0),
)


def columns(height, width):
    """A picture whose columns count upwards."""
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))
    return np.ascontiguousarray(ramp)


def test_squeeze_keeps_the_edges():
    image = columns(8, 16)
    image[:, 0], image[:, -1] = 0, 255
    resized = PLAIN.resize(image)
    assert resized.shape == (8, 8, 3)
    assert (resized[:, -1] > 60).all()


def test_crop_takes_the_middle():
    crop = dataclasses.replace(PLAIN, fit="crop", crop_share=1.0)
    np.testing.assert_array_equal(crop.resize(columns(8, 16)), columns(8, 16)[:, 4:12])
    wide = dataclasses.replace(crop, crop_share=0.5)
    resized = wide.resize(columns(16, 32))
    np.testing.assert_array_equal(resized, columns(16, 32)[4:12, 12:20])


def test_right_size_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(PLAIN.resize(image), image)


def test_making_smaller_averages():
    rows, cols = np.mgrid[:64, :64]
    checkered = np.repeat(((rows + cols) % 2 * 255).astype(np.uint8)[..., None], 3, -1)
    for kind in ("bilinear", "bicubic"):
        resized = dataclasses.replace(PLAIN, filter=kind).resize(checkered)
        np.testing.assert_allclose(resized[1:-1, 1:-1], 127.5, atol=4)


@pytest.mark.parametrize(
    ("preprocessing", "black", "white"),
    [
        (efficientnet.PREPROCESSING, [-127 / 128] * 3, [1.0] * 3),
        (
            vgg16.TORCHVISION,
            [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
            [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        ),
        (vgg16.CAFFE, [-103.939, -116.779, -123.68], [151.061, 138.221, 131.32]),
    ],
)
def test_ranges(preprocessing, black, white):
    images = jnp.stack([jnp.zeros((2, 2, 3), jnp.uint8), jnp.full((2, 2, 3), 255, jnp.uint8)])
    found = preprocessing.normalise(images)
    np.testing.assert_allclose(found[0, 0, 0], black, rtol=1e-5)
    np.testing.assert_allclose(found[1, 1, 1], white, rtol=1e-5)


def test_order_of_channels():
    red = jnp.zeros((1, 1, 1, 3), jnp.uint8).at[..., 0].set(255)
    assert vgg16.TORCHVISION.normalise(red).argmax() == 0
    assert vgg16.CAFFE.normalise(red).argmax() == 2


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image):
    from jaxcap.vision.preprocessing import check_pixels

    with pytest.raises(ValueError, match=r"expected uint8 of shape \(H, W, 3\)"):
        check_pixels(image)
