"""Peaks of maps on the things that their words name, against places known by hand."""

import numpy as np
import pytest

from jaxcap.scenes import Group, Scene, peak_report, sample_scene
from jaxcap.scenes.drawing import spots
from jaxcap.scenes.peaks import thing_cells

PAIR = Scene(
    (Group("boat", "red", 1, "small", "left"), Group("tree", "blue", 2, None, "right")), "sea", 0
)
FISH = Scene((Group("fish", "white", 4, None, "top"),), "night", 0)
LEFT, RIGHT, TOP, CORNER = (3, 1), (4, 5), (1, 3), (6, 6)


def maps(*places):
    """Maps of 7 x 7 cells with their peaks at places, down and across."""
    found = np.full((len(places), 7, 7), 0.01)
    for t, place in enumerate(places):
        found[t][place] = 0.5
    return found.reshape(-1, 49)


def test_peaks_on_things_are_counted_beside_those_of_other_words():
    """Of three words for things two are found; a house, which no scene has, is left out."""
    words = [["a", "boat", "left", "of", "trees"], ["fish", "and", "house"]]
    looked = [maps(CORNER, LEFT, TOP, TOP, CORNER), maps(TOP, TOP, TOP)]
    report = peak_report([PAIR, FISH], words, looked)
    assert (report.words, report.on) == (3, 2)
    # No thing is at the peak of another word.
    assert report.chance == 0 and report.share == pytest.approx(2 / 3)
    assert str(report) == (
        "looks at it   66.7%  2 of 3 words for things; 0.0% with the peaks of other words"
    )
    # The trees' peak on the boat, one of six pairs; the fish's on the trees, another.
    looked = [maps(TOP, LEFT, TOP, TOP, LEFT), maps(RIGHT, TOP, TOP)]
    report = peak_report([PAIR, FISH], words, looked)
    assert (report.words, report.on, report.chance) == (3, 1, pytest.approx(2 / 6))
    nothing = peak_report([FISH], [["boat"]], [maps(TOP)])
    assert (nothing.words, nothing.share, nothing.chance) == (0, 0, 0)


def covered(scene, kind, more):
    """The cells with pixels of boxes that are larger by some pixels on each side."""
    pixels = np.zeros((280, 280), bool)
    for spot in spots(scene, 280):
        if spot.group.kind == kind:
            down, across = (
                slice(max(at - more, 0), at + spot.span + more) for at in (spot.y, spot.x)
            )
            pixels[down, across] = True
    return pixels.reshape(7, 40, 7, 40).any((1, 3)).ravel()


def test_cells_of_things_are_those_that_their_pixels_are_in():
    for index in range(20):
        scene = sample_scene("val", index)
        for kind in {group.kind for group in scene.groups}:
            cells = thing_cells(scene, kind, 7)
            # Borders are rounded by less than two pixels.
            assert cells[covered(scene, kind, -2)].all()
            assert covered(scene, kind, 2)[cells].all() and cells.any()


def test_grids_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="a map has 6 places, expected those of a square grid"):
        peak_report([FISH], [["fish"]], [np.ones((1, 6))])
