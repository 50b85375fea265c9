"""The twelve kinds of things, as small pictures on a transparent ground.

Each kind is a function that paints into the unit square, x to the right and y down. Shapes have no
outline. One dark outline is added around the whole silhouette, so that every kind is recognisable
in every colour on every background.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jaxcap.scenes.world import KINDS

Point = tuple[float, float]
Colour = tuple[int, int, int]

PAINT: dict[str, Colour] = {
    "red": (222, 43, 48),
    "orange": (250, 133, 20),
    "yellow": (255, 220, 40),
    "green": (34, 172, 72),
    "blue": (38, 92, 226),
    "purple": (136, 54, 190),
    "pink": (255, 122, 186),
    "white": (252, 252, 250),
}
INK: Colour = (38, 30, 48)
WOOD: Colour = (126, 86, 58)
CREAM: Colour = (246, 234, 208)
GLASS: Colour = (206, 232, 244)
LEAF: Colour = (86, 140, 74)

_OVERSAMPLING = 4
_MARGIN = 0.06
_OUTLINE = 0.032


class Brush:
    """Painter of shapes, given in unit coordinates, on a picture of `side` pixels."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.picture = Image.new("RGBA", (side, side), (*INK, 0))
        self._draw = ImageDraw.Draw(self.picture)

    def _scale(self, points: Sequence[Point]) -> list[Point]:
        span = self.side * (1 - 2 * _MARGIN)
        return [(self.side * _MARGIN + span * x, self.side * _MARGIN + span * y) for x, y in points]

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon(self._scale(points), fill=(*colour, 255))

    def oval(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Paint an ellipse around (x, y)."""
        low, high = self._scale([(x - rx, y - ry), (x + rx, y + ry)])
        self._draw.ellipse((*low, *high), fill=(*colour, 255))

    def box(
        self, x0: float, y0: float, x1: float, y1: float, colour: Colour, r: float = 0.0
    ) -> None:
        """Paint a rectangle with corners of radius r."""
        low, high = self._scale([(x0, y0), (x1, y1)])
        self._draw.rounded_rectangle((*low, *high), r * self.side, fill=(*colour, 255))

    def half(self, x: float, y: float, rx: float, ry: float, colour: Colour) -> None:
        """Paint the upper half of an ellipse around (x, y)."""
        low, high = self._scale([(x - rx, y - ry), (x + rx, y + ry)])
        self._draw.pieslice((*low, *high), 180, 360, fill=(*colour, 255))

    def line(self, points: Sequence[Point], width: float, colour: Colour = INK) -> None:
        pixels = max(1, round(width * self.side))
        self._draw.line(self._scale(points), (*colour, 255), pixels, joint="curve")

    def arc(self, centre: Point, radii: Point, angles: tuple[float, float], width: float) -> None:
        """Paint an arc of an ellipse in ink; angles in degrees, clockwise from the right."""
        (x, y), (rx, ry) = centre, radii
        low, high = self._scale([(x - rx, y - ry), (x + rx, y + ry)])
        pixels = max(1, round(width * self.side))
        self._draw.arc((*low, *high), *angles, fill=(*INK, 255), width=pixels)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` moved by `share` of the way towards `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def _light(colour: Colour) -> Colour:
    return mix(colour, (255, 255, 255), 0.4)


def _dark(colour: Colour) -> Colour:
    return mix(colour, INK, 0.22)


def _star_points(x: float, y: float, outer: float, inner: float, tips: int) -> list[Point]:
    return [
        (
            x + (inner if k % 2 else outer) * math.sin(math.pi * k / tips),
            y - (inner if k % 2 else outer) * math.cos(math.pi * k / tips),
        )
        for k in range(2 * tips)
    ]


def _house(brush: Brush, paint: Colour) -> None:
    brush.box(0.68, 0.08, 0.8, 0.4, _dark(paint))
    brush.box(0.12, 0.45, 0.88, 1.0, paint)
    brush.polygon([(0.0, 0.48), (0.5, 0.02), (1.0, 0.48)], _dark(paint))
    brush.line([(0.04, 0.47), (0.96, 0.47)], 0.035)
    brush.box(0.54, 0.64, 0.76, 1.0, WOOD)
    brush.box(0.22, 0.6, 0.44, 0.82, GLASS)
    brush.line([(0.33, 0.6), (0.33, 0.82)], 0.025)
    brush.line([(0.22, 0.71), (0.44, 0.71)], 0.025)


def _tree(brush: Brush, paint: Colour) -> None:
    brush.box(0.42, 0.6, 0.58, 1.0, WOOD)
    for x, y, radius in ((0.28, 0.46, 0.25), (0.72, 0.46, 0.25), (0.5, 0.56, 0.22)):
        brush.oval(x, y, radius, radius, _dark(paint))
    brush.oval(0.5, 0.28, 0.3, 0.28, paint)
    brush.oval(0.32, 0.42, 0.22, 0.2, paint)
    brush.oval(0.66, 0.42, 0.22, 0.2, paint)
    brush.oval(0.42, 0.2, 0.1, 0.08, _light(paint))


def _car(brush: Brush, paint: Colour) -> None:
    brush.polygon([(0.2, 0.5), (0.32, 0.22), (0.68, 0.22), (0.84, 0.5)], paint)
    brush.polygon([(0.28, 0.48), (0.36, 0.29), (0.49, 0.29), (0.49, 0.48)], GLASS)
    brush.polygon([(0.55, 0.48), (0.55, 0.29), (0.65, 0.29), (0.75, 0.48)], GLASS)
    brush.box(0.0, 0.47, 1.0, 0.74, paint, 0.08)
    brush.line([(0.02, 0.62), (0.98, 0.62)], 0.03, _dark(paint))
    brush.box(0.92, 0.52, 1.0, 0.6, CREAM)
    for x in (0.24, 0.76):
        brush.oval(x, 0.74, 0.145, 0.145, INK)
        brush.oval(x, 0.74, 0.065, 0.065, (200, 204, 210))


def _boat(brush: Brush, paint: Colour) -> None:
    brush.line([(0.48, 0.02), (0.48, 0.72)], 0.045, WOOD)
    brush.polygon([(0.53, 0.04), (0.53, 0.62), (0.96, 0.62)], paint)
    brush.polygon([(0.43, 0.16), (0.43, 0.62), (0.12, 0.62)], CREAM)
    brush.polygon([(0.0, 0.7), (1.0, 0.7), (0.82, 0.98), (0.2, 0.98)], paint)
    brush.line([(0.04, 0.76), (0.96, 0.76)], 0.04, _light(paint))


def _fish(brush: Brush, paint: Colour) -> None:
    brush.polygon([(0.3, 0.5), (0.0, 0.24), (0.06, 0.5), (0.0, 0.76)], _dark(paint))
    brush.polygon([(0.4, 0.32), (0.5, 0.1), (0.74, 0.3)], _dark(paint))
    brush.polygon([(0.46, 0.66), (0.44, 0.86), (0.64, 0.68)], _dark(paint))
    brush.oval(0.6, 0.5, 0.4, 0.255, paint)
    brush.arc((0.6, 0.5), (0.13, 0.2), (-70.0, 70.0), 0.03)
    brush.oval(0.84, 0.44, 0.065, 0.065, (255, 255, 255))
    brush.oval(0.855, 0.44, 0.035, 0.035, INK)


def _cat(brush: Brush, paint: Colour) -> None:
    brush.line([(0.68, 0.94), (0.9, 0.9), (0.96, 0.72), (0.88, 0.56)], 0.09, paint)
    brush.oval(0.88, 0.57, 0.045, 0.045, paint)
    brush.oval(0.5, 0.74, 0.25, 0.26, _dark(paint))
    brush.box(0.25, 0.78, 0.75, 1.0, _dark(paint), 0.08)
    brush.polygon([(0.2, 0.34), (0.2, 0.0), (0.48, 0.18)], paint)
    brush.polygon([(0.8, 0.34), (0.8, 0.0), (0.52, 0.18)], paint)
    brush.oval(0.5, 0.36, 0.33, 0.27, paint)
    for x in (0.38, 0.62):
        brush.oval(x, 0.33, 0.04, 0.06, INK)
    brush.polygon([(0.46, 0.43), (0.54, 0.43), (0.5, 0.48)], INK)
    brush.line([(0.12, 0.4), (0.3, 0.43)], 0.02)
    brush.line([(0.88, 0.4), (0.7, 0.43)], 0.02)
    brush.line([(0.5, 0.8), (0.5, 0.98)], 0.025)


def _star(brush: Brush, paint: Colour) -> None:
    brush.polygon(_star_points(0.5, 0.54, 0.54, 0.23, 5), paint)
    brush.polygon(_star_points(0.47, 0.5, 0.26, 0.11, 5), _light(paint))


def _kite(brush: Brush, paint: Colour) -> None:
    tail = [(0.42, 0.66), (0.3, 0.8), (0.4, 0.9), (0.22, 0.99)]
    brush.line(tail, 0.035)
    for x, y in tail[1:3]:
        brush.polygon([(x - 0.09, y - 0.06), (x, y), (x - 0.09, y + 0.06)], paint)
        brush.polygon([(x + 0.09, y - 0.06), (x, y), (x + 0.09, y + 0.06)], paint)
    top, right, bottom, left = (0.68, 0.0), (0.96, 0.34), (0.42, 0.7), (0.24, 0.16)
    centre = (0.575, 0.26)
    brush.polygon([top, right, bottom, left], paint)
    brush.polygon([top, right, centre], _light(paint))
    brush.polygon([left, bottom, centre], _dark(paint))
    brush.line([top, bottom], 0.022)
    brush.line([left, right], 0.022)


def _balloon(brush: Brush, paint: Colour) -> None:
    brush.line([(0.5, 0.72), (0.43, 0.82), (0.56, 0.9), (0.48, 1.0)], 0.03, CREAM)
    brush.polygon([(0.5, 0.66), (0.42, 0.78), (0.58, 0.78)], _dark(paint))
    brush.oval(0.5, 0.36, 0.32, 0.37, paint)
    brush.oval(0.39, 0.22, 0.08, 0.11, _light(paint))


def _flower(brush: Brush, paint: Colour) -> None:
    brush.line([(0.5, 0.4), (0.5, 1.0)], 0.06, LEAF)
    brush.polygon([(0.5, 0.96), (0.24, 0.86), (0.2, 0.68), (0.42, 0.76)], LEAF)
    brush.polygon([(0.5, 0.96), (0.76, 0.86), (0.8, 0.68), (0.58, 0.76)], LEAF)
    for k in range(6):
        angle = math.pi * (2 * k + 1) / 6
        brush.oval(0.5 + 0.2 * math.sin(angle), 0.34 + 0.2 * math.cos(angle), 0.14, 0.14, paint)
    brush.oval(0.5, 0.34, 0.115, 0.115, INK)
    brush.oval(0.5, 0.34, 0.085, 0.085, CREAM)


def _mushroom(brush: Brush, paint: Colour) -> None:
    brush.polygon([(0.38, 0.5), (0.62, 0.5), (0.7, 0.96), (0.3, 0.96)], CREAM)
    brush.oval(0.5, 0.94, 0.2, 0.06, CREAM)
    brush.half(0.5, 0.56, 0.49, 0.52, paint)
    brush.box(0.01, 0.53, 0.99, 0.61, _dark(paint), 0.04)
    brush.line([(0.06, 0.6), (0.94, 0.6)], 0.025)
    for x, y, radius in ((0.3, 0.36, 0.085), (0.56, 0.22, 0.075), (0.74, 0.42, 0.075)):
        brush.oval(x, y, radius + 0.025, radius + 0.025, INK)
        brush.oval(x, y, radius, radius, CREAM)


def _umbrella(brush: Brush, paint: Colour) -> None:
    brush.line([(0.5, 0.0), (0.5, 0.86)], 0.05)
    brush.arc((0.6, 0.86), (0.1, 0.12), (0.0, 180.0), 0.05)
    brush.half(0.5, 0.5, 0.5, 0.42, paint)
    for k, x in enumerate((0.125, 0.375, 0.625, 0.875)):
        brush.oval(x, 0.5, 0.125, 0.07, _dark(paint) if k % 2 else paint)
    brush.line([(0.25, 0.5), (0.36, 0.2), (0.5, 0.09), (0.64, 0.2), (0.75, 0.5)], 0.022)


_PAINTERS: dict[str, Callable[[Brush, Colour], None]] = {
    "house": _house,
    "tree": _tree,
    "car": _car,
    "boat": _boat,
    "fish": _fish,
    "cat": _cat,
    "star": _star,
    "kite": _kite,
    "balloon": _balloon,
    "flower": _flower,
    "mushroom": _mushroom,
    "umbrella": _umbrella,
}
assert tuple(_PAINTERS) == KINDS


@functools.lru_cache(maxsize=4096)
def thing(kind: str, colour: str, side: int, mirrored: bool = False) -> Image.Image:
    """Return a thing as an RGBA picture of `side` by `side` pixels; do not modify it."""
    brush = Brush(side * _OVERSAMPLING)
    _PAINTERS[kind](brush, PAINT[colour])
    picture = _outlined(_shaded(brush.picture)).reduce(_OVERSAMPLING)
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else picture


def _shaded(picture: Image.Image) -> Image.Image:
    """Lighten the top and darken the bottom a little."""
    pixels = np.asarray(picture).astype(np.float32)
    fall = np.linspace(1.06, 0.86, len(pixels), dtype=np.float32)[:, None, None]
    pixels[..., :3] = np.minimum(pixels[..., :3] * fall, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def _outlined(picture: Image.Image) -> Image.Image:
    """Add the outline: the silhouette in ink, grown by the outline's width, behind the picture."""
    radius = _OUTLINE * picture.width
    grown = picture.getchannel("A").filter(ImageFilter.GaussianBlur(radius))
    backing = Image.new("RGBA", picture.size, (*INK, 0))
    backing.putalpha(grown.point([min(255, max(0, (level - 14) * 24)) for level in range(256)]))
    return Image.alpha_composite(backing, picture)
