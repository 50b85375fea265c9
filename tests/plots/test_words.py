"""Strips of word probabilities: every number and word that belongs there, and no others."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from jaxcap.nn.inspect import WordProbabilities
from jaxcap.plots import probability_strip
from jaxcap.text.vocabulary import Vocabulary

WORDS = Vocabulary.build(["a", "cat", "dog", "costs", "$1", "pneumonoultramicroscopic"])
A, CAT, DOG, COSTS, DOLLAR, LONG = range(4, 10)
# "a" is likeliest, "dog" comes second, and "$1" is not among the likeliest three.
CAPTION = [WORDS.start, A, DOG, DOLLAR, WORDS.end, 0, 0]
FOUND = WordProbabilities(
    written=np.array([0.9, 0.25, 0.001, 0.97, 0.5, 0.5], np.float32),
    top_ids=np.array(
        [[A, CAT, DOG], [CAT, DOG, A], [LONG, A, CAT], [WORDS.end, A, CAT], *[[A, CAT, DOG]] * 2]
    ),
    top=np.array(
        [[0.9, 0.05, 0.004], [0.7, 0.25, 0.04], [0.5, 0.3, 0.1], [0.97, 0.02, 0.01]]
        + [[0.5, 0.3, 0.1]] * 2,
        np.float32,
    ),
)


def texts(ax):
    """The texts of an axis by their places, from left to right and from top to bottom."""
    return [text.get_text() for text in sorted(ax.texts, key=lambda text: text.get_position())]


def test_each_column_is_the_word_over_the_likeliest_others():
    (ax,) = probability_strip(FOUND, CAPTION, WORDS).axes
    assert texts(ax) == [
        *("a", "0.90", "cat", "0.05", "dog", "<0.01"),
        *("dog", "0.25", "cat", "0.70", "a", "0.04"),
        *("$1", "<0.01", "pneumonoul…", "0.50", "a", "0.30"),
        *("<END>", "0.97", "a", "0.02", "cat", "0.01"),
    ]
    shades = np.concatenate([image.get_array() for image in ax.images])
    expected = [[0.9, 0.25, 0.001, 0.97], [0.05, 0.7, 0.5, 0.02], [0.004, 0.04, 0.3, 0.01]]
    np.testing.assert_allclose(shades, expected, rtol=1e-6)


def test_without_an_end_all_words_are_drawn():
    caption = [WORDS.start, A, DOG, DOLLAR, CAT, A, A]
    (ax,) = probability_strip(FOUND, np.array(caption), WORDS).axes
    assert texts(ax)[::6] == ["a", "dog", "$1", "cat", "a", "a"]


def test_one_alternative_is_the_caption_alone():
    alone = FOUND._replace(top_ids=FOUND.top_ids[:, :1], top=FOUND.top[:, :1])
    figure = probability_strip(alone, CAPTION, WORDS)
    assert texts(figure.axes[0])[::2] == ["a", "dog", "$1", "<END>"]
    figure.draw_without_rendering()


def test_draws_into_an_axis_and_without_a_display():
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert probability_strip(FOUND, CAPTION, WORDS, ax=right) is figure
    assert right.images and not left.images
    figure.draw_without_rendering()


def test_a_caption_of_another_length_is_refused():
    with pytest.raises(ValueError, match=r"of shape \(6,\) for a caption of 3 words"):
        probability_strip(FOUND, CAPTION[:4], WORDS)
