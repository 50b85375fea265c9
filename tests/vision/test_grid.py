"""Grid features: what they tell apart, and what they must not see."""

import numpy as np
import pytest

from jaxcap.scenes import Group, Scene, sample_scene
from jaxcap.scenes.drawing import pixels
from jaxcap.vision.grid import _WHOLE_MEANS, _WHOLE_SPREAD, FEATURES, grid_features

COLOUR = slice(0, 144)
SHAPE = slice(144, 512)


def features_of(*groups: Group, background: str = "wall", side: int = 144) -> np.ndarray:
    return grid_features(pixels(Scene(groups, background, 7), side)[None])[0]


def distance(first: np.ndarray, second: np.ndarray, part: slice) -> float:
    return float(np.linalg.norm(first[part] - second[part]))


def test_512_finite_numbers_of_about_unit_size():
    images = np.stack([pixels(sample_scene("train", index)) for index in range(60)])
    features = grid_features(images)
    assert features.shape == (60, FEATURES) and features.dtype == np.float32
    assert np.isfinite(features).all()
    assert abs(features.mean()) < 0.2
    assert 0.7 < np.sqrt(features.var(0).mean()) < 1.3
    assert np.abs(features).max() < 12


def test_the_features_of_a_picture_do_not_depend_on_the_others():
    images = np.stack([pixels(sample_scene("val", index)) for index in range(130)])
    together = grid_features(images)
    for index in (0, 64, 129):
        np.testing.assert_array_equal(together[index], grid_features(images[index : index + 1])[0])


def test_blank_pictures_and_no_pictures_have_features():
    for level in (0, 255):
        blank = grid_features(np.full((2, 24, 24, 3), level, np.uint8))
        assert np.isfinite(blank).all()
    assert grid_features(np.zeros((0, 96, 96, 3), np.uint8)).shape == (0, FEATURES)


@pytest.mark.parametrize("kind", ["house", "fish", "flower"])
def test_shape_hardly_sees_colour_and_colour_hardly_sees_shape(kind: str):
    here = features_of(Group(kind, "red", 1, "large", "left"))
    recoloured = features_of(Group(kind, "blue", 1, "large", "left"))
    reshaped = features_of(Group("star", "red", 1, "large", "left"))
    assert distance(here, recoloured, SHAPE) < 0.4 * distance(here, reshaped, SHAPE)
    assert distance(here, reshaped, COLOUR) < 0.5 * distance(here, recoloured, COLOUR)


def test_place_is_seen():
    left, right = (
        features_of(Group("cat", "red", 1, "large", place)) for place in ("left", "right")
    )
    assert distance(left, right, COLOUR) > 5
    assert distance(left, right, SHAPE) > 5


def test_a_mirrored_picture_has_the_colours_of_its_regions_mirrored():
    image = pixels(Scene((Group("cat", "red", 1, "large", "left"),), "sea", 3))
    plain, mirrored = grid_features(np.stack([image, image[:, ::-1]]))[:, COLOUR]
    mirrored_back = mirrored.reshape(3, 3, 16)[:, ::-1].ravel()
    np.testing.assert_allclose(plain, mirrored_back, atol=1.0)
    assert np.abs(plain - mirrored_back).mean() < 0.05 < np.abs(plain - mirrored).mean()


def test_a_picture_at_another_size_has_nearly_the_same_features():
    group = Group("boat", "green", 1, "large", "right")
    small, large = (features_of(group, side=side) for side in (144, 288))
    other = features_of(Group("tree", "pink", 1, "large", "left"))
    everything = slice(None)
    assert distance(small, large, everything) < 0.5 * distance(small, other, everything)


def test_a_plain_square_turns_only_at_its_corners():
    image = np.full((1, 96, 96, 3), 255, np.uint8)
    image[:, 30:66, 30:66] = 0
    turned = grid_features(image)[0, -8:] * np.array(_WHOLE_SPREAD) + np.array(_WHOLE_MEANS)
    straight, *bends = turned**2 / (turned**2).sum()
    assert straight > 0.9
    assert max(bends[2:]) < 1e-6 < max(bends[:2])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((96, 96, 3), np.uint8), r"shape \(96, 96, 3\)"),
        (np.zeros((1, 96, 90, 3), np.uint8), r"shape \(1, 96, 90, 3\)"),
        (np.zeros((1, 96, 96, 3), np.float32), "images are float32"),
        (np.zeros((1, 20, 20, 3), np.uint8), "20 pixels a side"),
    ],
)
def test_other_arrays_are_an_error(images: np.ndarray, message: str):
    with pytest.raises((ValueError, TypeError), match=message):
        grid_features.__wrapped__(images)
