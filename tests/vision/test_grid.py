"""Grid features: what they tell apart, and what they must not see."""

import numpy as np
import pytest

from jaxcap.scenes import Group, Scene, sample_scene
from jaxcap.scenes.drawing import pixels
from jaxcap.vision.grid import FEATURES, grid_features

COLOUR, SHAPE = slice(0, 144), slice(144, 512)


def features_of(kind, colour, place="left", side=144):
    group = Group(kind, colour, 1, "large", place)
    return grid_features(pixels(Scene((group,), "wall", 7), side)[None])[0]


def distance(first, second, part=slice(None)):
    return float(np.linalg.norm(first[part] - second[part]))


def test_512_finite_numbers_of_about_unit_size_whatever_else_is_there():
    images = np.stack([pixels(sample_scene("train", index)) for index in range(130)])
    features = grid_features(images)
    assert features.shape == (130, FEATURES) and features.dtype == np.float32
    assert np.isfinite(features).all() and np.abs(features).max() < 12
    assert abs(features.mean()) < 0.2 and 0.7 < np.sqrt(features.var(0).mean()) < 1.3
    for index in (0, 129):
        np.testing.assert_array_equal(features[index], grid_features(images[index : index + 1])[0])
    for level in (0, 255):
        assert np.isfinite(grid_features(np.full((2, 24, 24, 3), level, np.uint8))).all()
    assert grid_features(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, FEATURES)


def test_shape_hardly_sees_colour_and_colour_hardly_sees_shape():
    star = features_of("star", "red")
    for kind in ("house", "fish", "flower"):
        here, recoloured = features_of(kind, "red"), features_of(kind, "blue")
        assert distance(here, recoloured, SHAPE) < 0.4 * distance(here, star, SHAPE)
        assert distance(here, star, COLOUR) < 0.5 * distance(here, recoloured, COLOUR)


def test_place_is_seen_and_size_is_not():
    left, right = features_of("cat", "red"), features_of("cat", "red", "right")
    assert distance(left, right, COLOUR) > 5 and distance(left, right, SHAPE) > 5
    large, other = features_of("cat", "red", side=288), features_of("tree", "pink", "right")
    assert distance(left, large) < 0.5 * distance(left, other)
    image = pixels(Scene((Group("cat", "red", 1, "large", "left"),), "sea", 3))
    plain, mirrored = grid_features(np.stack([image, image[:, ::-1]]))[:, COLOUR]
    back = mirrored.reshape(3, 3, 16)[:, ::-1].ravel()
    np.testing.assert_allclose(plain, back, atol=1.0)
    assert np.abs(plain - back).mean() < 0.05 < np.abs(plain - mirrored).mean()


def test_other_arrays_are_an_error():
    for shape, kind, message in (
        ((96, 96, 3), "u1", r"shape \(96, 96, 3\)"),
        ((1, 96, 90, 3), "u1", r"shape \(1, 96, 90, 3\)"),
        ((1, 96, 96, 3), "f4", "images are float32"),
        ((1, 20, 20, 3), "u1", "20 pixels a side"),
    ):
        with pytest.raises(ValueError, match=message):
            grid_features.__wrapped__(np.zeros(shape, kind))
