"""BLEU, ROUGE-L and CIDEr-D against the reference scorer and against values worked by hand."""

import json
import math
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from jaxcap.scoring.bleu import bleu
from jaxcap.scoring.cider import CiderD
from jaxcap.scoring.ngrams import NgramIndex
from jaxcap.scoring.references import References
from jaxcap.scoring.rouge import rouge_l
from jaxcap.scoring.scores import Scorer, score

GOLDEN = Path(__file__).parents[1] / "golden" / "caption_scores.json"


def random_set(seed):
    """Candidates and references from few words, so that much is shared, repeated and empty."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(rng.integers(1, 12))] + ["1\xa01/2"]

    def sentence(shortest):
        return [words[i] for i in rng.integers(0, len(words), rng.integers(shortest, 9))]

    references = [
        [sentence(int(rng.random() < 0.9)) for _ in range(rng.integers(1, 5))]
        for _ in range(2 + seed % 6)
    ]
    candidates = []
    for sentences in references:
        shared = [sentences[0], sentences[0][:3] + sentences[-1][-3:], sentence(0)]
        candidates.append(list(shared[np.searchsorted([0.3, 0.5], rng.random())]))
    references[0][0] = references[0][0] or [words[0]]
    return candidates, references


HAND_MADE = [
    ([["a", "cat"]], [[["a", "cat"]]]),
    ([[], []], [[[], ["a"]], [["b"], []]]),
    ([["z"] * 5, ["y"]], [[["a"] * 3, ["z"] * 2], [["z"]]]),
    ([["a", "b"] * 20, ["c"]], [[["a", "b"] * 3], [["c"], ["c", "d", "e", "f", "g"]]]),
    ([["a", "b", "c", "d"]] * 2, [[["a", "b"], ["a", "b", "c", "d", "e", "f"]], [["d"]]]),
    ([["1\xa01/2", "a"], ["a"]], [[["1\xa01/2", "b"], ["1", "a"]], [["1\xa01/2"]]]),
    ([list("abcdefgh"), list("hgfedcba")], [[list("abcdefgh")], [list("abcdefgh")]]),
]


def reference_scores(candidates, references):
    """Of the corpus and of each image, by the reference scorer."""
    scorers = pytest.importorskip("pycocoevalcap.cider.cider", reason="needs the extra `eval`")
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.rouge.rouge import Rouge

    truths = {i: [" ".join(s) for s in sentences] for i, sentences in enumerate(references)}
    results = {i: [" ".join(words)] for i, words in enumerate(candidates)}
    blues, blue_images = Bleu(4).compute_score(truths, results, verbose=0)
    rouge, rouge_images = Rouge().compute_score(truths, results)
    cider, cider_images = scorers.Cider().compute_score(truths, results)
    return [*blues, rouge, cider], [*blue_images, rouge_images, cider_images]


def our_scores(candidates, references):
    counted_references = References(references)
    counted = counted_references.index.count(candidates)
    blues = bleu(counted, counted_references)
    rouge = rouge_l(candidates, counted_references)
    cider = CiderD(counted_references)(counted)
    return [*blues.corpus, rouge.mean(), cider.mean()], [*blues.images, rouge, cider]


def test_sets_of_captions_score_as_by_the_reference_scorer():
    for number, case in enumerate([*HAND_MADE, *map(random_set, range(300))]):
        for mine, its in zip(our_scores(*case), reference_scores(*case), strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-6, err_msg=f"set {number}")


@pytest.mark.filterwarnings("ignore:CIDEr is 0 whatever")
def test_stored_scores_from_raw_captions():
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(cases) >= 20
    for case in cases:
        found = score(case["captions"], case["references"])
        expected = list(case["scores"].values())
        np.testing.assert_allclose(astuple(found), expected, rtol=0, atol=1e-9)


def test_a_case_worked_by_hand():
    """Two images, one reference each; ids are any values, and small letters are as large ones."""
    scorer = Scorer({"a.jpg": ["the red cat"], ("b", 2): ["A dog."]})
    found = scorer.score({"a.jpg": "a red cat", ("b", 2): "A DOG!"})
    # Of 5 words 4 match, of 3 pairs 2, of one triple none.
    assert found.bleu_1 == pytest.approx(4 / 5)
    assert found.bleu_2 == pytest.approx(math.sqrt(4 / 5 * 2 / 3))
    assert found.bleu_3 == pytest.approx((4 / 5 * 2 / 3 * 1e-15) ** (1 / 3), rel=1e-6)
    # The first image has P = R = 2/3; the second is perfect.
    assert found.rouge_l == pytest.approx((2 / 3 + 1) / 2)
    # "the", "red", "cat" and "dog" have weight log 2, and "a", which the reference of the second
    # image has, log 2 as well: cosines 2/3, 1/2, 0, 0 and 1, 1, 0, 0.
    assert found.cider == pytest.approx(10 * ((2 / 3 + 1 / 2) / 4 + 2 / 4) / 2)
    assert scorer.references.by_image() == [[["the", "red", "cat"]], [["a", "dog"]]]


def test_frequencies_are_kept_and_unseen_ngrams_count_as_seen_once():
    references = {1: ["a cat on a mat", "one cat"], 2: ["a dog runs", "dogs run"], 3: ["a car"]}
    captions = {1: "a cat zebra", 2: "a dog", 3: "quux a car"}
    scorer = Scorer(references)
    whole = scorer.score_images(captions)[1].cider
    again = scorer.rewards([3, 1, 1, 3], [captions[3], captions[1], "a cat", captions[3]])
    np.testing.assert_allclose(again[[0, 1]], whole[[2, 0]], rtol=1e-12)
    assert again[0] == again[3] and again[2] > again[1] > 0
    assert scorer.rewards([], []).shape == (0,)
    # The order of images does not matter.
    backwards = score(captions, dict(reversed(references.items())))
    assert astuple(backwards) == pytest.approx(astuple(score(captions, references)), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score({1: "a"}, {1: ["a"], 2: ["b"]}), "1 images have no caption, first 2"),
        (lambda: score({1: "a", "x": "b"}, {1: ["a"]}), "1 images have no reference, first x"),
        (lambda: Scorer({1: ["a"], 2: []}), "image 2 has no reference"),
        (lambda: Scorer({1: "a cat"}), "references of image 1 are one string, expected a list"),
        (lambda: score({}, {}), "no references"),
        (lambda: References([[["a"]], []]), "place 1 has no reference"),
        (
            lambda: Scorer({1: ["a"]}).rewards([1, 9], ["a", "b"]),
            "image 9 is not one of the 1 images",
        ),
        (lambda: Scorer({1: ["a"]}).rewards([1, 1], ["a"]), "1 candidates and 2 images"),
    ],
)
def test_images_have_to_be_the_same(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_hundred_thousand_different_words():
    index = NgramIndex([[f"w{i}", f"w{i + 1}"] for i in range(100_000)])
    assert index.sizes[:2] == (100_001, 100_000)
    found = index.count([["w5", "w6"], ["w6", "w5"]]).orders[1].gram.tolist()
    assert found == [*index.counted.orders[1].gram[[5]], 100_000]
