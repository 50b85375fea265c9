"""Figures: drawn without a display, with everything in them that was given."""

import numpy as np
import pytest
from PIL import Image

from jaxcap.plots import caption_grid, loss_curve, save_figure

ROWS = [
    {"iteration": 1, "loss": 70.0},
    {"iteration": 2, "loss": 50.0, "epoch": 1, "val_loss": 55.0},
    {"iteration": 3, "loss": 40.0},
    {"iteration": 4, "loss": 30.0, "epoch": 2, "val_loss": None},
]


def test_loss_curve_holds_training_and_validation():
    (ax,) = loss_curve({"small": ROWS}).axes
    training, validation = ax.get_lines()
    np.testing.assert_array_equal(training.get_ydata(), [70, 50, 40, 30])
    np.testing.assert_array_equal(validation.get_xdata(), [2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "small, training",
        "small, validation",
    ]


def test_loss_curves_of_several_runs_share_an_axis():
    (ax,) = loss_curve({"lstm": ROWS, "rnn": [row | {"val_loss": None} for row in ROWS]}).axes
    assert len(ax.get_lines()) == 3
    figure = loss_curve({"more": ROWS}, ax=ax)
    assert len(figure.axes[0].get_lines()) == 5


@pytest.mark.parametrize("num", [1, 4, 5])
def test_grid_has_a_frame_for_each_picture(num):
    pictures = [Image.new("RGB", (96, 64), "red") for _ in range(num)]
    figure = caption_grid(pictures, [f"picture {i}" for i in range(num)])
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert texts == [f"picture {i}" for i in range(num)]
    assert sum(bool(ax.images) for ax in figure.axes) == num


def test_a_missing_picture_is_an_empty_frame_that_says_so():
    figure = caption_grid([None], ["a cat"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["no picture at hand", "a cat"]
    reason = "a.jpg: broken at $1 and $2 " + "or cut short, " * 30
    figure = caption_grid([reason, Image.new("RGB", (8, 8))], ["it costs $5 or $6", "a dog"])
    shown = figure.axes[0].texts[0].get_text().split("\n")
    assert shown[0].startswith("a.jpg: broken at $1") and len(shown) <= 7
    figure.draw_without_rendering()


def test_long_captions_are_wrapped_and_saved(tmp_path):
    long = "a very long caption " * 6
    figure = caption_grid([Image.new("RGB", (8, 8))], [long])
    assert max(map(len, figure.axes[0].texts[0].get_text().split("\n"))) <= 34
    save_figure(figure, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]
