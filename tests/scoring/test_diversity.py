"""How varied captions are, on sentences counted by hand."""

import pytest

from jaxcap.scoring.diversity import diversity


def test_counts():
    captions = [["a", "cat"], ["a", "dog", "runs"], ["a", "cat"]]
    found = diversity(captions, training=[["a", "cat"], ["a", "car"]])
    assert (found.captions, found.different, found.vocabulary) == (3, 2, 4)
    assert found.mean_length == pytest.approx(7 / 3)
    assert found.distinct_1 == pytest.approx(4 / 7)
    assert found.distinct_2 == pytest.approx(3 / 4)
    assert found.novel == pytest.approx(1 / 3)
    assert diversity(captions).novel is None


def test_empty_captions_have_no_ngrams():
    found = diversity([[], []])
    assert (found.distinct_1, found.mean_length, found.different) == (0, 0, 1)
    with pytest.raises(ValueError, match="no captions"):
        diversity([])


def test_one_caption_for_every_picture_is_noticed():
    assert "all 4 pictures have the same caption" in diversity([["a", "man"]] * 4).warning()
    assert diversity([["a", "man"]] * 3).warning() is None
    assert diversity([["a", "man"]] * 4 + [["a", "cat"]]).warning() is None
