"""Heat maps of gates: the values that were given, one unit at one height in all four."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxcap.nn.inspect import Gates
from jaxcap.plots import gate_maps
from jaxcap.plots.gates import similar_order

T, H = 3, 6
WORDS = ["<START>", "a", "cat"]


def gates(seed=0):
    rng = np.random.default_rng(seed)
    i, f, o = (rng.random((T, H)) for _ in range(3))
    return Gates(i, f, o, 2 * rng.random((T, H)) - 1)


def maps(figure):
    return [ax.images[0].get_array() for ax in figure.axes[:4]]


def test_four_maps_of_units_by_words_in_one_order():
    found = gates()
    figure = gate_maps(found, WORDS)
    order = similar_order(found)
    assert sorted(order) == list(range(H))
    for shown, gate in zip(maps(figure), found, strict=True):
        np.testing.assert_allclose(shown, gate.T[order], rtol=1e-6)
    for ax, low in zip(figure.axes, [0, 0, 0, -1], strict=False):
        assert ax.images[0].get_clim() == (low, 1)
        assert [label.get_text() for label in ax.get_xticklabels()] == WORDS
    figure.draw_without_rendering()


def test_a_given_order_may_choose_units():
    found = gates()
    for shown, gate in zip(maps(gate_maps(found, WORDS, order=[4, 1])), found, strict=True):
        np.testing.assert_allclose(shown, gate.T[[4, 1]], rtol=1e-6)


def test_draws_into_given_axes():
    figure = Figure(layout="constrained")
    axes = figure.subplots(2, 2).ravel().tolist()
    assert gate_maps(gates(), WORDS, axes) is figure
    assert all(ax.images for ax in axes)


def test_like_units_are_neighbours():
    """Three kinds of units, mixed: each kind comes out in one piece."""
    kinds = np.array([0, 1, 2, 0, 1, 2])
    values = np.array([0.1, 0.5, 0.9])[kinds] + 0.01 * np.arange(H)
    found = Gates(*(np.tile(values, (T, 1)),) * 4)
    ordered = kinds[similar_order(found)]
    assert (np.diff(ordered) != 0).sum() == 2


def test_one_unit_has_one_order():
    np.testing.assert_array_equal(similar_order(Gates(*(np.ones((T, 1)),) * 4)), [0])


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="got gates at 3 words, but 2 words"):
        gate_maps(gates(), WORDS[:2])
    with pytest.raises(ValueError, match="got 2 axes, expected 4"):
        gate_maps(gates(), WORDS, Figure().subplots(1, 2).tolist())
