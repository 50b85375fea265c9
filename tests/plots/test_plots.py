"""Figures, drawn without a display: every number, word and picture that was given is in them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxcap import plots
from jaxcap.nn.inspect import Gates, WordProbabilities
from jaxcap.plots.curves import smooth
from jaxcap.plots.gates import similar_order
from jaxcap.scoring.evaluation import evaluate
from jaxcap.text.vocabulary import Vocabulary

LOSSES = {1: 70.0, 2: 50.0, 3: 40.0, 4: 30.0}
ROWS = [{"iteration": i, "loss": loss, "val_loss": None} for i, loss in LOSSES.items()]
ROWS[1]["val_loss"] = 55.0
WORDS = Vocabulary.build(["a", "cat", "dog", "costs", "$1", "pneumonoultramicroscopic"])
A, CAT, DOG, COSTS, DOLLAR, LONG = range(4, 10)
# "a" is likeliest, "dog" comes second, and "$1" is not among the likeliest three.
CAPTION = [WORDS.start, A, DOG, DOLLAR, WORDS.end, 0]
FOUND = WordProbabilities(
    written=np.array([0.9, 0.25, 0.001, 0.97, 0.5], np.float32),
    top_ids=np.array([[A, CAT, DOG], [CAT, DOG, A], [LONG, A, CAT], [2, A, CAT], [A, CAT, DOG]]),
    top=np.array(
        [[0.9, 0.05, 0.004], [0.7, 0.25, 0.04], [0.5, 0.3, 0.1], [0.97, 0.02, 0.01], [1, 0, 0]],
        np.float32,
    ),
)
READ = ["<START>", "a", "cat"]


def gates(units=6):
    i, f, o, g = np.random.default_rng(0).random((4, len(READ), units))
    return Gates(i, f, o, 2 * g - 1)


def texts(ax):
    """The texts of an axis by their places, from left to right and from top to bottom."""
    return [text.get_text() for text in sorted(ax.texts, key=lambda text: text.get_position())]


def test_loss_curves_of_several_runs_share_an_axis():
    (ax,) = plots.loss_curve({"lstm": ROWS, "rnn": ROWS[2:]}).axes
    training, validation, _ = ax.get_lines()
    np.testing.assert_array_equal(training.get_ydata(), [70, 50, 40, 30])
    np.testing.assert_array_equal(validation.get_xdata(), [2])
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["lstm, training", "lstm, validation", "rnn, training"]
    assert ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0
    (ax,) = plots.loss_curve({"more": ROWS}, ax=ax, log=True).axes
    assert len(ax.get_lines()) == 5 and ax.get_yscale() == "log"
    ax.get_figure().draw_without_rendering()


def test_curves_of_a_sweep_have_a_colour_and_a_name_each():
    runs = {f"seed={seed}": ROWS for seed in range(11)}
    runs["seed=11"] = [{"iteration": 1, "loss": 80.0}, {"iteration": 2, "loss": 1e6}]
    (ax,) = plots.sweep_curves(runs).axes
    solid = [line for line in ax.get_lines() if line.get_linestyle() == "-"]
    assert len({line.get_color() for line in solid}) == len(solid) == 12
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(runs)
    assert 80 < ax.get_ylim()[1] < 100


def test_smoothing_draws_the_mean_over_the_losses():
    (ax,) = plots.loss_curve({"small": ROWS}, smoothing=0.5).axes
    smoothed, raw, _ = ax.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), [70, 50, 40, 30])
    # (50 + 70 / 2) / (1 + 1 / 2), and so on.
    np.testing.assert_allclose(smoothed.get_ydata(), [70, 85 / 1.5, 82.5 / 1.75, 71.25 / 1.875])
    assert smooth([4.0, 1.0, 7.0], 0.0) == [4.0, 1.0, 7.0] and smooth([], 0.5) == []


def test_four_gate_maps_of_units_by_words_in_one_order():
    found, order = gates(), similar_order(gates())
    assert sorted(order) == list(range(6)) and len(similar_order(gates(units=1))) == 1
    axes = Figure(layout="constrained").subplots(2, 2).ravel().tolist()
    given = plots.gate_maps(found, READ, axes, order=[4, 1])
    for figure, rows in ((plots.gate_maps(found, READ), order), (given, [4, 1])):
        for ax, gate, low in zip(figure.axes, found, [0, 0, 0, -1], strict=False):
            np.testing.assert_allclose(ax.images[0].get_array(), gate.T[rows], rtol=1e-6)
            assert ax.images[0].get_clim() == (low, 1)
            assert [label.get_text() for label in ax.get_xticklabels()] == READ
    # Three kinds of units, mixed: each kind comes out in one piece.
    kinds = np.array([0, 1, 2, 0, 1, 2])
    values = np.tile(np.array([0.1, 0.5, 0.9])[kinds] + 0.01 * np.arange(6), (3, 1))
    assert (np.diff(kinds[similar_order(Gates(*(values,) * 4))]) != 0).sum() == 2


def test_each_column_of_a_strip_is_the_word_over_the_likeliest_others():
    (ax,) = plots.probability_strip(FOUND, CAPTION, WORDS).axes
    assert texts(ax) == [
        *("a", "0.90", "cat", "0.05", "dog", "<0.01"),
        *("dog", "0.25", "cat", "0.70", "a", "0.04"),
        *("$1", "<0.01", "pneumonoul…", "0.50", "a", "0.30"),
        *("<END>", "0.97", "a", "0.02", "cat", "0.01"),
    ]
    shades = np.concatenate([image.get_array() for image in ax.images])
    expected = [[0.9, 0.25, 0.001, 0.97], [0.05, 0.7, 0.5, 0.02], [0.004, 0.04, 0.3, 0.01]]
    np.testing.assert_allclose(shades, expected, rtol=1e-6)
    # Without an end all words are drawn, and with one alternative the caption alone.
    alone = FOUND._replace(top_ids=FOUND.top_ids[:, :1], top=FOUND.top[:, :1])
    left, right = Figure(layout="constrained").subplots(1, 2)
    plots.probability_strip(alone, [*CAPTION[:4], CAT, A], WORDS, ax=right)
    assert texts(right)[::2] == ["a", "dog", "$1", "cat", "a"] and not left.images
    right.get_figure().draw_without_rendering()


def test_a_grid_has_a_frame_for_each_picture(tmp_path):
    """One that is missing says why; long captions are wrapped, and dollars are no formulas."""
    reason = "a.jpg: broken at $1 and $2 " + "or cut short, " * 30
    pictures = [Image.new("RGB", (96, 64), "red"), None, reason, *[Image.new("RGB", (8, 8))] * 2]
    figure = plots.caption_grid(pictures, ["very long " * 9, "b", "it costs $5 or $6", "d", "e"])
    first, missing, broken, *_ = ([t.get_text() for t in ax.texts] for ax in figure.axes)
    assert max(map(len, first[0].split("\n"))) <= 34 and missing == ["no picture", "b"]
    assert broken[0].startswith("a.jpg: broken at $1") and len(broken[0].split("\n")) <= 7
    assert sum(bool(ax.images) for ax in figure.axes) == 3
    plots.save_figure(figure, tmp_path / "grid.png")
    with Image.open(tmp_path / "grid.png") as image:
        assert image.format == "PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def heat(ax):
    """The opacity of the map over a picture, and where it lies: left, right, bottom, top."""
    _, over = ax.images
    return over.get_array()[..., 3], over.get_extent()


def test_a_map_lies_on_its_place_for_each_word(tmp_path):
    """The picture alone, then a tile a word, whose peak is that of its map, on one scale."""
    maps = np.full((2, 9), 0.02)
    maps[0, 2], maps[1, 3] = 0.84, 0.42
    figure = plots.attention_maps(Image.new("RGB", (90, 60), "red"), ["costs", "$1" * 20], maps)
    whole, first, second, bar = figure.axes
    assert len(whole.images) == 1 and whole.images[0].get_array()[0, 0].tolist() == [255, 0, 0]
    assert first.get_title() == "costs" and second.get_title() == "$1$1$1$1$1$1$1$…"
    (above, extent), (left, _) = heat(first), heat(second)
    assert extent == [0, 90, 60, 0] and whole.images[0].get_extent() == extent
    height, width = above.shape
    assert width == pytest.approx(1.5 * height, rel=0.02)
    for opacity, (row, column) in ((above, (0, 2)), (left, (1, 0))):
        y, x = np.unravel_index(opacity.argmax(), opacity.shape)
        assert (y * 3 // height, x * 3 // width) == (row, column)
    assert above.max() > left.max() > 0.4 and bar.get_xlim()[1] == pytest.approx(0.84)
    plots.save_figure(figure, tmp_path / "maps.png")


def test_a_map_of_some_places_of_a_part_of_a_picture():
    mask = np.array([True, True, False, True, True, True, False, True])
    maps = np.array([[0, 0, 9, 0, 0, 0, 9, 1.0]])
    crop = (20, 0, 60, 40)
    pixels = np.zeros((40, 80, 3), np.uint8)
    figure = plots.attention_maps(pixels, ["a"], maps, shape=(3, 2), mask=mask, box=crop)
    opacity, extent = heat(figure.axes[1])
    assert extent == [20, 60, 40, 0] and figure.axes[1].get_xlim() == (0, 80)
    assert opacity[-1, -1] == opacity.max() and opacity[0].max() < 0.1


def test_a_figure_of_maps_is_bounded_and_of_even_maps_is_pale():
    for words, tiles in ((0, 1), (11, 12), (150, 152)):
        maps = np.full((words, 49), 1 / 49)
        figure = plots.attention_maps(Image.new("RGB", (8, 90)), ["word"] * words, maps)
        assert max(figure.get_size_inches()) < 28
        assert len(figure.axes) == tiles + bool(words)
        assert words == 0 or heat(figure.axes[1])[0].max() < 0.4


def test_a_sheet_shows_the_best_and_the_worst():
    captions, references = {0: "a cat", 1: "", 2: "a dog"}, {0: ["a cat"], 1: ["x y"], 2: ["dog"]}
    urls = {0: "scenes://val/0", 1: "/nowhere.png"}
    best, worst = plots.sheet_grid(evaluate(captions, references, java=False, urls=urls), 1).axes
    assert "a cat\nbest, CIDEr" in best.texts[0].get_text() and best.images
    reason, caption = (text.get_text() for text in worst.texts)
    assert reason.startswith("/nowhere.png: no such file")
    assert caption == "(empty)\nworst, CIDEr 0.000"


def draw_maps(words, maps, **options):
    return plots.attention_maps(Image.new("RGB", (8, 8)), words, maps, **options)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.loss_curve({"small": []}), "the run small has no losses to draw"),
        (lambda: plots.loss_curve({"a": ROWS}, smoothing=1.0), "`smoothing` must be .* got 1.0"),
        (
            lambda: plots.loss_curve({"a": [{"iteration": 1, "loss": -0.5}]}, log=True),
            "the run a has the loss -0.5",
        ),
        (lambda: plots.gate_maps(gates(), READ[:2]), "got 2 words for gates at 3 words"),
        (lambda: plots.gate_maps(gates(), READ, []), "`axes` has 0 axes, expected 4"),
        (lambda: draw_maps(["a"], np.ones((2, 4))), "got 1 words for 2 maps"),
        (lambda: draw_maps(["a"], np.ones((1, 2, 2))), r"shape \(1, 2, 2\), expected \(T, L\)"),
        (lambda: draw_maps(["a"], np.ones((1, 6))), "has 6 places, but no square: .* by `shape`"),
        (lambda: draw_maps(["a"], np.ones((1, 6)), shape=(2, 2)), r"is \(2, 2\), 4 places"),
        (lambda: draw_maps(["a"], np.ones((1, 4)), mask=[True]), r"expected \(4,\), a value"),
        (lambda: draw_maps(["a"], np.ones((1, 4)), mask=[False] * 4), "has 0 places"),
        (lambda: draw_maps(["a"], np.full((1, 4), np.nan)), "no shares: negative, NaN"),
        (
            lambda: plots.attention_maps(np.ones((2, 2)), ["a"], np.ones((1, 4))),
            r"`picture` has type float64 and shape \(2, 2\), expected uint8",
        ),
        (lambda: plots.probability_strip(FOUND, CAPTION[:4], WORDS), "for the 3 words after"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
