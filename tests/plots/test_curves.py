"""Loss curves: the numbers that were given, smoothed where asked, drawn without a display."""

import numpy as np
import pytest

from jaxcap.plots import loss_curve, sweep_curves
from jaxcap.plots.curves import smooth

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


def test_curves_of_a_sweep_have_a_colour_and_a_name_each():
    runs = {f"seed={seed}": ROWS for seed in range(11)}
    runs["seed=11"] = [{"iteration": 1, "loss": 80.0}, {"iteration": 2, "loss": 1e6}]
    (ax,) = sweep_curves(runs).axes
    lines = ax.get_lines()
    assert len(lines) == 11 * 2 + 1
    assert len({line.get_color() for line in lines if line.get_linestyle() == "-"}) == 12
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(runs)
    assert 80 < ax.get_ylim()[1] < 100


def test_smoothing_draws_the_mean_over_the_losses():
    (ax,) = loss_curve({"small": ROWS}, smoothing=0.5).axes
    smoothed, raw, validation = ax.get_lines()
    np.testing.assert_array_equal(raw.get_ydata(), [70, 50, 40, 30])
    # (50 + 70 / 2) / (1 + 1 / 2), and so on.
    np.testing.assert_allclose(smoothed.get_ydata(), [70, 85 / 1.5, 82.5 / 1.75, 71.25 / 1.875])
    np.testing.assert_array_equal(validation.get_ydata(), [55])
    assert raw.get_color() == smoothed.get_color() == validation.get_color()
    assert len(ax.get_legend().get_texts()) == 2


def test_smoothing_keeps_a_constant_and_0_keeps_everything():
    np.testing.assert_allclose(smooth([3.0] * 50, 0.98), 3.0, rtol=1e-12)
    assert smooth([4.0, 1.0, 7.0], 0.0) == [4.0, 1.0, 7.0]
    assert smooth([], 0.5) == []


def test_logarithmic_axis():
    (ax,) = loss_curve({"small": ROWS}, log=True).axes
    assert ax.get_yscale() == "log"
    ax.get_figure().draw_without_rendering()
    (ax,) = loss_curve({"small": ROWS}).axes
    assert ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([], {}, "the run small has no losses to draw"),
        (ROWS, {"smoothing": 1.0}, "smoothing must be at least 0 and below 1, got 1.0"),
        ([{"iteration": 1, "loss": -0.5}], {"log": True}, "the run small has the loss -0.5"),
    ],
)
def test_what_cannot_be_drawn_is_refused(rows, options, message):
    with pytest.raises(ValueError, match=message):
        loss_curve({"small": rows}, **options)
