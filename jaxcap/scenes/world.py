"""Scenes, their sampling, and the combinations held back for validation.

A scene has a background and one or two groups. A group is one to four things of one kind and one
colour at one place. Two groups are either side by side (left, right) or one over the other (top,
bottom), so exactly one relation holds between them. Two groups are never of the same kind.

Sampling uses only `random.Random.random`, seeded by a string. Python guarantees its numbers in
every version; NumPy gives no such guarantee for its generators.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

KINDS = (
    "house",
    "tree",
    "car",
    "boat",
    "fish",
    "cat",
    "star",
    "kite",
    "balloon",
    "flower",
    "mushroom",
    "umbrella",
)
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SIZES = ("small", "large")
COUNTS = (1, 2, 3, 4)
PLACES = ("left", "right", "top", "bottom", "middle")
RELATIONS = ("left of", "right of", "above", "below")
BACKGROUNDS = ("meadow", "sea", "night", "beach", "snow", "wall")
SPLITS = ("train", "val")

_INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_PAIRED_PLACES = (("left", "right"), ("top", "bottom"))
_COUNT_WEIGHTS = (0.46, 0.22, 0.18, 0.14)
_SHARE_OF_PAIRS = 0.6

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """`count` things of one kind and colour at one place.

    `size` is "small" or "large" for a single thing. It is None for several things, which are all
    drawn at one size and whose size no caption states.
    """

    kind: str
    colour: str
    count: int
    size: str | None
    place: str

    def __post_init__(self) -> None:
        _require(self.kind, KINDS, "kind")
        _require(self.colour, COLOURS, "colour")
        _require(self.count, COUNTS, "count")
        _require(self.place, PLACES, "place")
        _require(self.size, SIZES if self.count == 1 else (None,), "size")


@dataclass(frozen=True)
class Scene:
    """One or two groups on a background.

    The left or the upper of two groups comes first. `look` seeds everything that captions do not
    mention: small shifts, mirrored things, decorations, and the choice of captions.
    """

    groups: tuple[Group, ...]
    background: str
    look: int

    def __post_init__(self) -> None:
        _require(self.background, BACKGROUNDS, "background")
        _require(len(self.groups), (1, 2), "number of groups")
        if len(self.groups) == 2:
            first, second = self.groups
            _require((first.place, second.place), _PAIRED_PLACES, "places of two groups")
            if first.kind == second.kind:
                raise ValueError(
                    f"both groups of a scene are of kind {first.kind!r}, expected two kinds"
                )

    def relation(self, first: int, second: int) -> str:
        """Return the relation, one of `RELATIONS`, of group `first` to group `second`."""
        forward = "left of" if self.groups[0].place == "left" else "above"
        return forward if first < second else _INVERSE[forward]


def inverse(relation: str) -> str:
    """Return the relation of b to a, given that of a to b."""
    return _INVERSE[relation]


def is_held_back_colour(kind: str, colour: str) -> bool:
    """Say whether training never shows this kind in this colour; one colour of each kind."""
    return (5 * KINDS.index(kind) + 2) % len(COLOURS) == COLOURS.index(colour)


def is_held_back_relation(relation: str, first: str, second: str) -> bool:
    """Say whether training never shows kind `first` in `relation` to kind `second`.

    This is true of about a sixth of the ordered pairs. "a left of b" and "b right of a" are the
    same combination and are held back together.
    """
    if relation in ("right of", "below"):
        relation, first, second = _INVERSE[relation], second, first
    offset = 0 if relation == "left of" else 3
    return (KINDS.index(first) + 2 * KINDS.index(second) + offset) % 6 == 1


def held_back(scene: Scene) -> tuple[str, ...]:
    """List the combinations in a scene that training never shows.

    Every validation scene has at least one; no training scene has any.
    """
    names = [
        f"{group.colour} {group.kind}"
        for group in scene.groups
        if is_held_back_colour(group.kind, group.colour)
    ]
    if len(scene.groups) == 2:
        first, second = (group.kind for group in scene.groups)
        relation = scene.relation(0, 1)
        if is_held_back_relation(relation, first, second):
            names.append(f"{first} {relation} {second}")
    return tuple(names)


def sample_scene(split: str, index: int, seed: int = 0) -> Scene:
    """Return scene `index` of a split, always the same for the same arguments.

    Args:
        split: "train" or "val".
        index: number of the scene in its split, from 0.
        seed: seed of the set; another seed gives other scenes by the same rules.

    Raises:
        ValueError: the split is unknown or the index is negative.
    """
    _require(split, SPLITS, "split")
    if index < 0:
        raise ValueError(f"`index` is {index}, expected 0 or more")
    chance = random.Random(f"scenes {seed} {split} {index}")
    while True:
        scene = _draw_scene(chance)
        if bool(held_back(scene)) == (split == "val"):
            return scene


def pick(chance: random.Random, options: Sequence[T], weights: Sequence[float] = ()) -> T:
    """Choose one of the options, by weights that sum to 1 or else uniformly."""
    point = chance.random()
    if not weights:
        return options[int(point * len(options))]
    for option, weight in zip(options, weights, strict=True):
        point -= weight
        if point < 0:
            return option
    return options[-1]


def _draw_scene(chance: random.Random) -> Scene:
    places = (pick(chance, PLACES),)
    if chance.random() < _SHARE_OF_PAIRS:
        places = pick(chance, _PAIRED_PLACES)
    kinds: list[str] = []
    groups = []
    for place in places:
        kinds.append(pick(chance, [kind for kind in KINDS if kind not in kinds]))
        count = pick(chance, COUNTS, _COUNT_WEIGHTS)
        size = pick(chance, SIZES)
        groups.append(
            Group(kinds[-1], pick(chance, COLOURS), count, size if count == 1 else None, place)
        )
    return Scene(tuple(groups), pick(chance, BACKGROUNDS), int(chance.random() * 2**31))


def _require(value: object, allowed: Sequence[object], what: str) -> None:
    if value not in allowed:
        raise ValueError(f"{what} of a scene is {value!r}, expected one of {list(allowed)}")
