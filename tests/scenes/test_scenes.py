"""The world and its drawing: what is sampled, what is held back, what the pictures show."""

import itertools

import numpy as np
import pytest

from jaxcap.scenes import Group, Scene, held_back, picture, sample_scene
from jaxcap.scenes.drawing import SIDE, draw, pixels, spots
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
PAIRS = list(itertools.permutations(KINDS, 2))


def combinations(scene):
    """The colours of kinds and the relations of kinds in a scene, the latter in both directions."""
    found = {(group.colour, group.kind) for group in scene.groups}
    if len(scene.groups) == 2:
        first, second = (group.kind for group in scene.groups)
        found |= {(first, scene.relation(0, 1), second), (second, scene.relation(1, 0), first)}
    return found


@pytest.fixture(scope="module")
def scenes():
    counts = {"train": 4000, "val": 200}
    return {split: [sample_scene(split, i) for i in range(n)] for split, n in counts.items()}


def test_scenes_are_those_of_every_earlier_run():
    kite = Group("kite", "blue", 1, "large", "right")
    assert sample_scene("train", 0) == Scene((kite,), "wall", 159504824)
    others = [sample_scene("train", 4), sample_scene("val", 3), sample_scene("train", 3, seed=1)]
    assert sample_scene("train", 3) == sample_scene("train", 3) not in others


def test_validation_shows_what_training_never_does(scenes):
    train, val = scenes["train"], scenes["val"]
    assert all(map(held_back, val)) and not any(map(held_back, train))
    seen = set().union(*map(combinations, train))
    assert all(combinations(scene) - seen for scene in val)
    # Training shows every single word, and every combination that is not held back.
    fields = {"kind": KINDS, "colour": COLOURS, "count": COUNTS, "place": PLACES}
    for field, values in {**fields, "size": ("small", "large", None)}.items():
        assert {getattr(g, field) for scene in train for g in scene.groups} == set(values)
    assert {scene.background for scene in train} == set(BACKGROUNDS)
    for kind, colour in itertools.product(KINDS, COLOURS):
        assert ((colour, kind) in seen) != is_held_back_colour(kind, colour)
    for (first, second), relation in itertools.product(PAIRS, RELATIONS):
        assert ((first, relation, second) in seen) != is_held_back_relation(relation, first, second)


def test_every_kind_and_every_relation_has_something_held_back():
    for kind in KINDS:
        assert sum(is_held_back_colour(kind, colour) for colour in COLOURS) == 1
    for relation, inverse in (("left of", "right of"), ("above", "below")):
        held = [is_held_back_relation(relation, *pair) for pair in PAIRS]
        assert 15 <= sum(held) <= 30
        # Read backwards it is the same combination.
        assert held == [is_held_back_relation(inverse, *pair[::-1]) for pair in PAIRS]


def test_what_is_out_of_this_world_is_an_error():
    cat = {"kind": "cat", "colour": "red", "count": 1, "size": "small", "place": "left"}
    for change, message in (
        ({"kind": "dog"}, "kind of a scene is 'dog'"),
        ({"colour": "grey"}, "colour of a scene is 'grey'"),
        ({"count": 5}, "count of a scene is 5"),
        ({"size": None}, "size of a scene is None"),
        ({"count": 2}, r"is 'small', expected one of \[None\]"),
        ({"place": "corner"}, "place of a scene is 'corner'"),
        ({"kind": "tree", "place": "top"}, "places of two groups"),
        ({"place": "right"}, "expected two kinds"),
    ):
        with pytest.raises(ValueError, match=message):
            Scene((Group(**cat), Group(**cat | change)), "sea", 0)
    for make, message in (
        (lambda: Scene((Group(**cat),), "moon", 0), "background of a scene is 'moon'"),
        (lambda: sample_scene("test", 0), "split of a scene is 'test'"),
        (lambda: sample_scene("val", -1), "`index` is -1, expected 0"),
        (lambda: draw(sample_scene("val", 0), 95), "`side` is 95, expected 96"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_a_picture_is_the_same_every_time_and_has_the_side_asked_for():
    scene = sample_scene("val", 0)
    np.testing.assert_array_equal(pixels(scene), pixels(scene))
    assert pixels(scene).shape == (SIDE, SIDE, 3) and pixels(scene).dtype == np.uint8
    assert picture(scene, 200).size == (200, 200)


def test_a_thing_stands_where_its_scene_says():
    for place in PLACES:
        red, blue = (
            pixels(Scene((Group("star", colour, 1, "large", place),), "wall", 5)).astype(int)
            for colour in ("red", "blue")
        )
        rows, columns = np.nonzero((red != blue).any(-1))
        found = columns.mean() / SIDE - 0.5, rows.mean() / SIDE - 0.5
        sides = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
        expected = sides.get(place, (0, 0))
        assert [abs(x) > 0.15 for x in found] == [side != 0 for side in expected]
        assert all(x * side >= 0 for x, side in zip(found, expected, strict=True))


def test_no_thing_touches_another_or_leaves_the_picture(scenes):
    for scene in (*scenes["train"][:500], *scenes["val"]):
        found = spots(scene)
        assert len(found) == sum(group.count for group in scene.groups)
        for spot in found:
            assert min(spot.x, spot.y) >= 0 and max(spot.x, spot.y) + spot.span <= SIDE
        for pair in itertools.combinations(found, 2):
            left, right = sorted(pair, key=lambda spot: spot.x)
            upper, lower = sorted(pair, key=lambda spot: spot.y)
            gaps = right.x - left.x - left.span, lower.y - upper.y - upper.span
            assert max(gaps) >= -MARGIN
