"""Drawing of scenes: the background, and on it the things, none touching another."""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxcap.scenes.backdrops import VARIANTS, backdrop
from jaxcap.scenes.things import thing
from jaxcap.scenes.world import Group, Scene, pick

SIDE = 144
_LEAST_SIDE = 96

_CENTRES = {
    "left": (0.26, 0.5),
    "right": (0.74, 0.5),
    "top": (0.5, 0.26),
    "bottom": (0.5, 0.74),
    "middle": (0.5, 0.5),
}
_WIDTHS = {1: 0.0, 2: 0.25, 3: 0.22, 4: 0.2}
_SINGLE_WIDTHS = {"small": 0.25, "large": 0.44}
# Offsets in multiples of the things' width: two and four in a row, three in a triangle, so groups
# of different counts also differ in outline.
_ACROSS = {
    1: ((0.0, 0.0),),
    2: ((-0.62, 0.0), (0.62, 0.0)),
    3: ((0.0, -0.52), (-0.56, 0.52), (0.56, 0.52)),
    4: ((-1.62, 0.12), (-0.54, -0.12), (0.54, 0.12), (1.62, -0.12)),
}
_UPRIGHT = {
    1: _ACROSS[1],
    2: tuple((y, x) for x, y in _ACROSS[2]),
    3: _ACROSS[3],
    4: tuple((y, x) for x, y in _ACROSS[4]),
}
_LAYOUTS = {
    "left": _UPRIGHT,
    "right": _UPRIGHT,
    "top": _ACROSS,
    "bottom": _ACROSS,
    "middle": _ACROSS,
}


class Spot(NamedTuple):
    """One thing of a group: upper left corner, width and height in pixels, and mirroring."""

    group: Group
    x: int
    y: int
    span: int
    mirrored: bool


def draw(scene: Scene, side: int = SIDE) -> Image.Image:
    """Return the picture of a scene, always the same for the same scene and side.

    Args:
        scene: what to draw.
        side: width and height in pixels, 96 or more. Pictures of different sides show the same
            things in the same places.

    Returns:
        An RGB picture of `side` by `side` pixels.

    Raises:
        ValueError: the side is under 96 pixels.
    """
    if side < _LEAST_SIDE:
        raise ValueError(f"`side` is {side}, expected {_LEAST_SIDE} pixels or more")
    chance = random.Random(f"look {scene.look}")
    picture = backdrop(scene.background, pick(chance, range(VARIANTS)), side).copy()
    for spot in spots(scene, side):
        figure = thing(spot.group.kind, spot.group.colour, spot.span, spot.mirrored)
        picture.paste(figure, (spot.x, spot.y), figure)
    return picture


def pixels(scene: Scene, side: int = SIDE) -> np.ndarray:
    """Return the picture of a scene as an array, (side, side, 3) uint8."""
    return np.asarray(draw(scene, side))


def spots(scene: Scene, side: int = SIDE) -> tuple[Spot, ...]:
    """Return the spot of each thing of a scene."""
    chance = random.Random(f"spots {scene.look}")
    return tuple(spot for group in scene.groups for spot in _group_spots(group, side, chance))


def _group_spots(group: Group, side: int, chance: random.Random) -> Iterator[Spot]:
    width = _SINGLE_WIDTHS[group.size] if group.size else _WIDTHS[group.count]
    width *= 1 - 0.08 * chance.random()
    mirrored = chance.random() < 0.5
    x, y = (centre + _shift(chance, 0.025) for centre in _CENTRES[group.place])
    span = round(width * side)
    for dx, dy in _LAYOUTS[group.place][group.count]:
        left = x + (dx - 0.5) * width + _shift(chance, 0.008)
        top = y + (dy - 0.5) * width + _shift(chance, 0.008)
        yield Spot(group, round(left * side), round(top * side), span, mirrored)


def _shift(chance: random.Random, most: float) -> float:
    return most * (2 * chance.random() - 1)
