"""Does a captioner look at the thing that it names? The peaks of its maps against the scenes.

For each word that names a thing of the scene, the place of the largest share of the map that chose
the word is on the thing if that place overlaps the box of one of the things of the kind. This is
the pointing game of Zhang et al. (2016), "Top-down Neural Attention by Excitation Backprop".
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jaxcap.scenes.drawing import spots
from jaxcap.scenes.lexicon import PLURALS
from jaxcap.scenes.world import Scene

_KIND_OF_WORD = {**{kind: kind for kind in PLURALS}, **{p: kind for kind, p in PLURALS.items()}}
# Sides of a scene in which boxes are measured; any number much larger than that of the cells.
_SIDE = 960


@dataclass(frozen=True)
class PeakReport:
    """How often a map's peak is on the thing that its word names; `str` gives a line to print.

    Attributes:
        words: number of words that name a thing of their scene.
        on: number of those whose peak is on the thing.
        chance: share of peaks on the thing if each word had the peak of another, on average.
    """

    words: int
    on: int
    chance: float

    @property
    def share(self) -> float:
        """Share of the peaks that are on the thing; 0 without words."""
        return self.on / self.words if self.words else 0.0

    def __str__(self) -> str:
        return (
            f"looks at it  {self.share:6.1%}  {self.on} of {self.words} words for things; "
            f"{self.chance:.1%} with the peaks of other words"
        )


def peak_report(
    scenes: Sequence[Scene],
    words: Sequence[Sequence[str]],
    maps: Sequence[Float[np.ndarray, "_ L"]],
) -> PeakReport:
    """Compare the peaks of maps with the places of the things that are named.

    Words for things that a scene does not have are left out.

    Args:
        scenes: what the pictures show.
        words: words of a caption for each scene.
        maps: the map of each word, over a square grid of the whole picture, row by row.

    Raises:
        ValueError: the numbers differ, or a grid is not square.
    """
    found = [pair for each in zip(scenes, words, maps, strict=True) for pair in _named(*each)]
    if not found:
        return PeakReport(0, 0, 0.0)
    things = np.stack([cells for cells, _ in found])
    peaks = np.array([peak for _, peak in found])
    on = int(things[np.arange(len(peaks)), peaks].sum())
    # Over all pairs of a thing and the peak of another word.
    others = int(things[:, peaks].sum()) - on
    return PeakReport(len(peaks), on, others / max(len(peaks) * (len(peaks) - 1), 1))


def thing_cells(scene: Scene, kind: str, side: int) -> Bool[np.ndarray, " L"]:
    """Return which cells of a grid of `side` by `side` overlap a box of things of a kind."""
    cells = np.zeros((side, side), bool)
    for spot in spots(scene, _SIDE):
        if spot.group.kind == kind:
            (top, bottom), (left, right) = (
                (max(at, 0) * side // _SIDE, -(-(at + spot.span) * side // _SIDE))
                for at in (spot.y, spot.x)
            )
            cells[top:bottom, left:right] = True
    return cells.ravel()


def _named(
    scene: Scene, words: Sequence[str], maps: Float[np.ndarray, "T L"]
) -> Iterator[tuple[np.ndarray, int]]:
    """Yield the cells and the peak of each word that names a thing of a scene."""
    side = math.isqrt(maps.shape[1])
    if side * side != maps.shape[1]:
        raise ValueError(f"a map has {maps.shape[1]} places, expected those of a square grid")
    kinds = {group.kind for group in scene.groups}
    for word, own in zip(words, maps, strict=True):
        kind = _KIND_OF_WORD.get(word)
        if kind in kinds:
            yield thing_cells(scene, kind, side), int(own.argmax())
