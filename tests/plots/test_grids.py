"""Captioned pictures: drawn without a display, with everything in them that was given."""

import pytest
from PIL import Image

from jaxcap.plots import caption_grid, save_figure


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
