"""The world and its drawing: what is sampled, what is held back, what the pictures show."""

import itertools

import numpy as np
import pytest

from jaxcap.scenes import Group, Scene, held_back, picture, sample_scene
from jaxcap.scenes.drawing import SIDE, draw, pixels, spots
from jaxcap.scenes.things import thing
from jaxcap.scenes.world import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    KINDS,
    PLACES,
    RELATIONS,
    is_held_back_colour,
    is_held_back_relation,
)

MARGIN = 2
"""The pixels that stay free around each thing within its own square."""


def combinations(scene: Scene) -> set[tuple[str, ...]]:
    """The colours of kinds and the relations of kinds in a scene, the latter in both directions."""
    found: set[tuple[str, ...]] = {(group.colour, group.kind) for group in scene.groups}
    if len(scene.groups) == 2:
        first, second = (group.kind for group in scene.groups)
        found |= {
            (first, scene.relation(0, 1), second),
            (second, scene.relation(1, 0), first),
        }
    return found


@pytest.fixture(scope="module")
def train() -> list[Scene]:
    return [sample_scene("train", index) for index in range(4000)]


@pytest.fixture(scope="module")
def val() -> list[Scene]:
    return [sample_scene("val", index) for index in range(500)]


def test_scenes_are_the_same_for_the_same_arguments_and_differ_otherwise():
    assert sample_scene("train", 3) == sample_scene("train", 3)
    others = [sample_scene("train", 4), sample_scene("val", 3), sample_scene("train", 3, seed=1)]
    assert all(sample_scene("train", 3) != other for other in others)


def test_the_first_scenes_are_those_of_every_earlier_run():
    kite = Group("kite", "blue", 1, "large", "right")
    assert sample_scene("train", 0) == Scene((kite,), "wall", 159504824)


def test_validation_shows_what_training_never_does(train: list[Scene], val: list[Scene]):
    assert not any(held_back(scene) for scene in train)
    assert all(held_back(scene) for scene in val)
    seen = set().union(*map(combinations, train))
    assert all(combinations(scene) - seen for scene in val)


def test_training_shows_every_single_word_and_every_combination_not_held_back(train: list[Scene]):
    groups = [group for scene in train for group in scene.groups]
    for field, values in (
        ("kind", KINDS),
        ("colour", COLOURS),
        ("count", COUNTS),
        ("place", PLACES),
        ("size", ("small", "large", None)),
    ):
        assert {getattr(group, field) for group in groups} == set(values)
    assert {scene.background for scene in train} == set(BACKGROUNDS)

    seen = set().union(*map(combinations, train))
    for kind, colour in itertools.product(KINDS, COLOURS):
        assert ((colour, kind) in seen) != is_held_back_colour(kind, colour)
    for first, second in itertools.permutations(KINDS, 2):
        for relation in RELATIONS:
            held = is_held_back_relation(relation, first, second)
            assert ((first, relation, second) in seen) != held


def test_every_kind_and_every_relation_has_something_held_back():
    for kind in KINDS:
        assert sum(is_held_back_colour(kind, colour) for colour in COLOURS) == 1
    for relation in RELATIONS:
        held = sum(is_held_back_relation(relation, *p) for p in itertools.permutations(KINDS, 2))
        assert 15 <= held <= 30


def test_a_colour_or_relation_read_backwards_is_the_same_combination():
    for first, second in itertools.permutations(KINDS, 2):
        assert is_held_back_relation("left of", first, second) == is_held_back_relation(
            "right of", second, first
        )
        assert is_held_back_relation("above", first, second) == is_held_back_relation(
            "below", second, first
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "dog"}, "kind of a scene is 'dog'"),
        ({"colour": "grey"}, "colour of a scene is 'grey'"),
        ({"count": 5}, "count of a scene is 5"),
        ({"size": None}, "size of a scene is None"),
        ({"count": 2}, "size of a scene is 'small', expected one of \\[None\\]"),
        ({"place": "corner"}, "place of a scene is 'corner'"),
    ],
)
def test_a_group_out_of_this_world_is_an_error(change: dict, message: str):
    fields = {"kind": "cat", "colour": "red", "count": 1, "size": "small", "place": "left"}
    with pytest.raises(ValueError, match=message):
        Group(**(fields | change))


def test_a_scene_out_of_this_world_is_an_error():
    cat = Group("cat", "red", 1, "small", "left")
    with pytest.raises(ValueError, match="places of two groups"):
        Scene((cat, Group("tree", "red", 1, "small", "top")), "sea", 0)
    with pytest.raises(ValueError, match="two groups of one kind"):
        Scene((cat, Group("cat", "blue", 1, "small", "right")), "sea", 0)
    with pytest.raises(ValueError, match="background of a scene is 'moon'"):
        Scene((cat,), "moon", 0)
    with pytest.raises(ValueError, match="split of a scene is 'test'"):
        sample_scene("test", 0)
    with pytest.raises(ValueError, match="must not be negative"):
        sample_scene("val", -1)


def test_a_picture_is_the_same_every_time_and_has_the_side_asked_for():
    scene = sample_scene("val", 0)
    np.testing.assert_array_equal(pixels(scene), pixels(scene))
    assert pixels(scene).shape == (SIDE, SIDE, 3)
    assert pixels(scene).dtype == np.uint8
    assert picture(scene, 200).size == (200, 200)
    with pytest.raises(ValueError, match="96 pixels or more, not at 95"):
        draw(scene, 95)


@pytest.mark.parametrize("place", PLACES)
def test_a_thing_stands_where_its_scene_says(place: str):
    red, blue = (
        pixels(Scene((Group("star", colour, 1, "large", place),), "wall", 5)).astype(int)
        for colour in ("red", "blue")
    )
    rows, columns = np.nonzero((red != blue).any(-1))
    x, y = columns.mean() / SIDE - 0.5, rows.mean() / SIDE - 0.5
    expected = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}.get(
        place, (0, 0)
    )
    assert (abs(x) > 0.15, abs(y) > 0.15) == (expected[0] != 0, expected[1] != 0)
    assert x * expected[0] >= 0 and y * expected[1] >= 0


def test_no_thing_touches_another_or_leaves_the_picture(train: list[Scene], val: list[Scene]):
    for scene in (*train[:1000], *val):
        found = spots(scene)
        assert len(found) == sum(group.count for group in scene.groups)
        for spot in found:
            assert spot.x >= 0 and spot.y >= 0
            assert max(spot.x, spot.y) + spot.span <= SIDE
        for a, b in itertools.combinations(found, 2):
            left, right = sorted((a, b), key=lambda spot: spot.x)
            upper, lower = sorted((a, b), key=lambda spot: spot.y)
            gaps = right.x - left.x - left.span, lower.y - upper.y - upper.span
            assert max(gaps) >= -MARGIN


@pytest.mark.parametrize("kind", KINDS)
def test_a_thing_is_antialiased_and_mostly_of_its_colour(kind: str):
    alpha = np.asarray(thing(kind, "red", 48))[..., 3]
    assert alpha[0, 0] == 0
    assert ((alpha > 0) & (alpha < 255)).sum() > 40
    red, blue = (np.asarray(thing(kind, colour, 48))[..., :3] for colour in ("red", "blue"))
    assert (red != blue).any(-1).sum() > 0.3 * (alpha > 0).sum()
