"""One caption for every picture is warned of; equal pictures and few are not."""

import warnings

import numpy as np
import pytest

from jaxcap.decoding.sameness import warn_of_one_caption

DIFFERENT = np.arange(10, dtype=np.float32).reshape(5, 2)


def test_one_caption_for_different_pictures():
    with pytest.warns(UserWarning, match="5 different pictures .* 'a man'.*preprocessing"):
        warn_of_one_caption(["a man"] * 5, DIFFERENT)


@pytest.mark.parametrize(
    ("captions", "features"),
    [
        (["a man"] * 3, DIFFERENT[:3]),
        (["a man"] * 4 + ["a dog"], DIFFERENT),
        (["a man"] * 5, np.ones((5, 2), np.float32)),
        ([], DIFFERENT[:0]),
    ],
)
def test_nothing_to_say(captions, features):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_one_caption(captions, features)
