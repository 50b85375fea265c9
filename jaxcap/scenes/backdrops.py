"""The six backgrounds: gradients with a few decorations, on which things stand out.

A background has a fixed number of variants, with different decorations. Things have strong colours
and a dark outline; backgrounds have pale or very dark colours and no outlines.
"""

import functools
import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from jaxcap.scenes.things import Colour, mix
from jaxcap.scenes.world import BACKGROUNDS

VARIANTS = 24
_OVERSAMPLING = 3

Canvas = ImageDraw.ImageDraw


@functools.lru_cache(maxsize=512)
def backdrop(name: str, variant: int, side: int) -> Image.Image:
    """Return a background as an RGB picture of `side` by `side` pixels; do not modify it."""
    chance = random.Random(f"backdrop {name} {variant}")
    picture = _PAINTERS[name](side * _OVERSAMPLING, chance)
    return picture.reduce(_OVERSAMPLING)


def _gradient(side: int, *stops: tuple[float, Colour]) -> Image.Image:
    """Return a vertical gradient through colours at heights from 0 at the top to 1 below."""
    heights = [height for height, _ in stops]
    rows = np.linspace(0, 1, side)
    channels = [np.interp(rows, heights, [colour[k] for _, colour in stops]) for k in range(3)]
    column = np.stack(channels, axis=-1)[:, None].round().astype(np.uint8)
    return Image.fromarray(np.broadcast_to(column, (side, side, 3)).copy(), "RGB")


def _hill(canvas: Canvas, side: int, base: float, rise: float, phase: float, fill: Colour) -> None:
    """Fill the area below a wavy line."""
    line = [
        (x * side / 24, side * (base + rise * math.sin(phase + x / 24 * 4.5))) for x in range(25)
    ]
    canvas.polygon([*line, (side, side), (0, side)], fill=fill)


def _cloud(canvas: Canvas, side: int, x: float, y: float, width: float, fill: Colour) -> None:
    for dx, dy, radius in ((-0.32, 0.02, 0.17), (0.0, -0.06, 0.24), (0.3, 0.03, 0.16)):
        cx, cy, r = side * (x + dx * width), side * (y + dy * width), side * radius * width
        canvas.ellipse((cx - r * 1.3, cy - r * 0.8, cx + r * 1.3, cy + r * 0.8), fill=fill)


def _sky(canvas: Canvas, side: int, chance: random.Random, low: float, fill: Colour) -> None:
    """Paint two or three clouds above height `low`."""
    for k in range(2 + int(chance.random() * 2)):
        x = (k + 0.15 + 0.7 * chance.random()) / 3
        _cloud(canvas, side, x, low * (0.25 + 0.5 * chance.random()), 0.24, fill)


def _meadow(side: int, chance: random.Random) -> Image.Image:
    picture = _gradient(
        side, (0.0, (178, 219, 246)), (0.5, (230, 243, 246)), (1.0, (230, 243, 246))
    )
    canvas = ImageDraw.Draw(picture)
    _sky(canvas, side, chance, 0.3, (244, 249, 252))
    phase = 6.3 * chance.random()
    _hill(canvas, side, 0.42, 0.04, phase, (196, 222, 168))
    _hill(canvas, side, 0.54, 0.03, phase + 2, (180, 212, 146))
    _hill(canvas, side, 0.72, 0.025, phase + 4, (166, 202, 128))
    for _ in range(26):
        x, y = side * chance.random(), side * (0.58 + 0.42 * chance.random())
        tuft = side * 0.022
        for lean in (-0.6, 0.0, 0.6):
            line = (x, y, x + lean * tuft, y - tuft)
            canvas.line(line, fill=(142, 182, 106), width=max(1, side // 140))
    return picture


def _sea(side: int, chance: random.Random) -> Image.Image:
    picture = _gradient(
        side,
        (0.0, (252, 226, 198)),
        (0.3, (252, 242, 222)),
        (0.301, (150, 206, 212)),
        (1.0, (84, 158, 182)),
    )
    canvas = ImageDraw.Draw(picture)
    _sky(canvas, side, chance, 0.26, (254, 247, 236))
    for row in range(9):
        y = side * (0.36 + 0.075 * row)
        step = side * (0.07 + 0.008 * row)
        x = -step * chance.random()
        while x < side:
            if chance.random() < 0.6:
                crest = (x, y - step * 0.16, x + step, y + step * 0.16)
                fill = mix((196, 228, 230), (124, 184, 204), row / 9)
                canvas.arc(crest, 200, 340, fill=fill, width=max(1, side // 110))
            x += step * (1.2 + 0.8 * chance.random())
    return picture


def _night(side: int, chance: random.Random) -> Image.Image:
    picture = _gradient(side, (0.0, (48, 52, 112)), (0.6, (78, 70, 138)), (1.0, (118, 92, 156)))
    glow = Image.new("RGB", picture.size, (48, 52, 112))
    canvas = ImageDraw.Draw(glow)
    for _ in range(3):
        x, y = side * chance.random(), side * (0.2 + 0.7 * chance.random())
        canvas.ellipse(
            (x - side * 0.3, y - side * 0.09, x + side * 0.3, y + side * 0.09), "#8a78b8"
        )
    picture = Image.blend(picture, glow.filter(ImageFilter.GaussianBlur(side * 0.06)), 0.3)
    canvas = ImageDraw.Draw(picture)
    for _ in range(46):
        x, y = side * chance.random(), side * chance.random() ** 1.2
        r = side * (0.003 + 0.005 * chance.random())
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=(214, 212, 236))
    return picture


def _beach(side: int, chance: random.Random) -> Image.Image:
    picture = _gradient(
        side,
        (0.0, (160, 214, 240)),
        (0.2, (216, 238, 246)),
        (0.201, (118, 194, 208)),
        (0.36, (164, 220, 220)),
        (1.0, (164, 220, 220)),
    )
    canvas = ImageDraw.Draw(picture)
    phase = 6.3 * chance.random()
    _hill(canvas, side, 0.36, 0.018, phase, (240, 247, 244))
    _hill(canvas, side, 0.385, 0.018, phase, (238, 220, 178))
    _hill(canvas, side, 0.66, 0.03, phase + 2, (231, 209, 163))
    _hill(canvas, side, 0.85, 0.03, phase + 5, (224, 199, 150))
    for _ in range(34):
        x, y = side * chance.random(), side * (0.44 + 0.54 * chance.random())
        r = side * (0.004 + 0.005 * chance.random())
        canvas.ellipse((x - r * 1.5, y - r, x + r * 1.5, y + r), fill=(205, 178, 132))
    return picture


def _snow(side: int, chance: random.Random) -> Image.Image:
    picture = _gradient(
        side, (0.0, (176, 190, 212)), (0.5, (214, 222, 234)), (1.0, (214, 222, 234))
    )
    canvas = ImageDraw.Draw(picture)
    phase = 6.3 * chance.random()
    _hill(canvas, side, 0.4, 0.05, phase, (200, 212, 228))
    for _ in range(7):
        x, height = side * chance.random(), side * (0.07 + 0.05 * chance.random())
        foot = side * 0.45
        for level in range(3):
            top, half = foot - height * (1 - 0.25 * level), height * (0.16 + 0.1 * level)
            tip = [(x, top), (x - half, top + height * 0.5), (x + half, top + height * 0.5)]
            canvas.polygon(tip, fill=(160, 180, 196))
    _hill(canvas, side, 0.46, 0.03, phase + 2, (224, 232, 242))
    _hill(canvas, side, 0.72, 0.03, phase + 4, (212, 223, 238))
    for _ in range(40):
        x, y = side * chance.random(), side * chance.random()
        r = side * (0.005 + 0.004 * chance.random())
        canvas.ellipse((x - r, y - r, x + r, y + r), fill=(240, 244, 250))
    return picture


def _wall(side: int, chance: random.Random) -> Image.Image:
    mortar: Colour = (196, 186, 180)
    picture = Image.new("RGB", (side, side), mortar)
    canvas = ImageDraw.Draw(picture)
    rows, columns = 12, 6
    height, width = side / rows, side / columns
    gap = max(1, side // 110)
    for row in range(rows):
        for column in range(-1, columns + 1):
            x, y = (column + 0.5 * (row % 2)) * width, row * height
            fill = mix((217, 205, 197), (206, 188, 180), chance.random())
            canvas.rectangle((x + gap, y + gap, x + width - gap, y + height - gap), fill=fill)
    return picture


_PAINTERS: dict[str, Callable[[int, random.Random], Image.Image]] = {
    "meadow": _meadow,
    "sea": _sea,
    "night": _night,
    "beach": _beach,
    "snow": _snow,
    "wall": _wall,
}
assert tuple(_PAINTERS) == BACKGROUNDS
