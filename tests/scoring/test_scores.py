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
from jaxcap.text.tokenizer import tokenize

GOLDEN = Path(__file__).parents[1] / "golden" / "caption_scores.json"


def random_set(rng, images):
    """Candidates and references from few words, so that much is shared, repeated and empty."""
    words = [f"w{i}" for i in range(rng.integers(1, 12))] + ["1\xa01/2"]

    def sentence(shortest):
        return [words[i] for i in rng.integers(0, len(words), rng.integers(shortest, 9))]

    references = [
        [sentence(int(rng.random() < 0.9)) for _ in range(rng.integers(1, 5))]
        for _ in range(images)
    ]
    candidates = []
    for sentences in references:
        kind = rng.random()
        if kind < 0.3:
            candidates.append(list(sentences[0]))
        elif kind < 0.5:
            candidates.append(sentences[0][:3] + sentences[-1][-3:])
        else:
            candidates.append(sentence(0))
    references[0][0] = references[0][0] or [words[0]]
    return candidates, references


HAND_MADE = [
    ([["a", "cat"]], [[["a", "cat"]]]),
    ([["a"], ["b"]], [[["a"]], [["b"]]]),
    ([[], ["a"]], [[["a", "b"]], [["a"]]]),
    ([["a"], ["a"]], [[[], ["a"]], [["b"], []]]),
    ([[], []], [[[], ["a"]], [["b"], []]]),
    ([["z"] * 5, ["y"]], [[["a"] * 3, ["z"] * 2], [["z"]]]),
    ([["a", "b"] * 20, ["c"]], [[["a", "b"] * 3], [["c"], ["c", "d", "e", "f", "g"]]]),
    ([["a", "b", "c"]] * 3, [[["a", "b", "c"]]] * 3),
    ([["a", "b", "c", "d"]] * 2, [[["a", "b"], ["a", "b", "c", "d", "e", "f"]], [["d"]]]),
    ([["1\xa01/2", "a"], ["a"]], [[["1\xa01/2", "b"], ["1", "a"]], [["1\xa01/2"]]]),
    ([["x"], ["y"]], [[["a", "b", "c", "d"]], [["a", "b", "c", "d"]]]),
    ([list("abcdefgh"), list("hgfedcba")], [[list("abcdefgh")], [list("abcdefgh")]]),
]
SETS = HAND_MADE + [
    random_set(np.random.default_rng(seed), images=int(2 + seed % 6)) for seed in range(1000)
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
    corpus = [*blues.corpus, rouge.mean(), cider.mean()]
    return corpus, [*blues.images, rouge, cider]


@pytest.mark.slow
def test_more_than_a_thousand_sets_score_as_by_the_reference_scorer():
    for number, (candidates, references) in enumerate(SETS):
        ours, theirs = (f(candidates, references) for f in (our_scores, reference_scores))
        for mine, its in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine, its, rtol=0, atol=1e-6, err_msg=f"set {number}")


def test_stored_scores_from_raw_captions():
    cases = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(cases) >= 20
    for case in cases:
        captions = {int(image): caption for image, caption in case["captions"].items()}
        references = {int(image): texts for image, texts in case["references"].items()}
        np.testing.assert_allclose(
            astuple(score(captions, references)), list(case["scores"].values()), rtol=0, atol=1e-9
        )


def test_a_case_worked_by_hand():
    """Two images, one reference each."""
    found = score({1: "a red cat", 2: "a dog"}, {1: ["the red cat"], 2: ["a dog"]})
    # Of 5 words 4 match, of 3 pairs 2, of one triple none.
    assert found.bleu_1 == pytest.approx(4 / 5)
    assert found.bleu_2 == pytest.approx(math.sqrt(4 / 5 * 2 / 3))
    assert found.bleu_3 == pytest.approx((4 / 5 * 2 / 3 * 1e-15) ** (1 / 3), rel=1e-6)
    # The first image has P = R = 2/3; the second is perfect.
    assert found.rouge_l == pytest.approx((2 / 3 + 1) / 2)
    # "the", "red", "cat" and "dog" have weight log 2, and "a", which the reference of the second
    # image has, log 2 as well: cosines 2/3, 1/2, 0, 0 and 1, 1, 0, 0.
    assert found.cider == pytest.approx(10 * ((2 / 3 + 1 / 2) / 4 + 2 / 4) / 2)


def test_perfect_captions_have_full_marks():
    references = {i: [f"a w{i} dog x{i} runs y{i} far", "something else"] for i in range(5)}
    found = score({i: texts[0] for i, texts in references.items()}, references)
    assert found.bleu_4 == pytest.approx(1)
    assert found.rouge_l == pytest.approx(1)


def test_frequencies_are_kept_and_unseen_ngrams_count_as_seen_once():
    references = {1: ["a cat on a mat", "one cat"], 2: ["a dog runs", "dogs run"], 3: ["a car"]}
    scorer = Scorer(references)
    whole = scorer.score_images({1: "a cat zebra", 2: "a dog", 3: "quux a car"})[1].cider
    again = scorer.rewards([3, 1, 1, 3], ["quux a car", "a cat zebra", "a cat", "quux a car"])
    np.testing.assert_allclose(again[[0, 1]], whole[[2, 0]], rtol=1e-12)
    assert again[0] == again[3]
    assert again[2] > again[1] > 0
    assert scorer.rewards([], []).shape == (0,)
    with pytest.raises(ValueError, match="image 9 has no references"):
        scorer.rewards([1, 9], ["a", "b"])
    with pytest.raises(ValueError, match="1 candidates of 2 images"):
        scorer.rewards([1, 2], ["a"])


def test_order_of_images_does_not_matter():
    captions = {i: f"a w{i} dog and {i} cats" for i in range(20)}
    references = {i: [f"a w{i} dog", f"{i} cats and w{i + 1}"] for i in range(20)}
    backwards = dict(reversed(references.items()))
    assert astuple(score(captions, references)) == pytest.approx(
        astuple(score(captions, backwards)), abs=1e-12
    )


def test_images_have_to_be_the_same():
    references = {1: ["a"], 2: ["b"]}
    with pytest.raises(ValueError, match="1 images have no caption, first 2"):
        score({1: "a"}, references)
    with pytest.raises(ValueError, match="1 images have no reference, first 3"):
        score({1: "a", 2: "b", 3: "c"}, references)
    with pytest.raises(ValueError, match="image 2 has no reference"):
        score({1: "a", 2: "b"}, {1: ["a"], 2: []})
    with pytest.raises(ValueError, match="no references"):
        score({}, {})
    with pytest.raises(ValueError, match="place 1 has no reference"):
        References([[["a"]], []])


def test_ngrams_are_counted_as_a_loop_counts_them():
    rng = np.random.default_rng(0)
    sentences = [[f"w{i}" for i in rng.integers(0, 4, rng.integers(0, 9))] for _ in range(50)]
    others = [[f"w{i}" for i in rng.integers(0, 6, rng.integers(0, 9))] for _ in range(50)]
    index = NgramIndex(sentences)
    names = {}
    for counted, source in ((index.counted, sentences), (index.count(others), others)):
        assert counted.lengths.tolist() == [len(sentence) for sentence in source]
        for n, counts in enumerate(counted.orders, start=1):
            expected = {}
            for i, words in enumerate(source):
                for j in range(len(words) - n + 1):
                    key = (i, tuple(words[j : j + n]))
                    expected[key] = expected.get(key, 0) + 1
            assert len(counts.times) == len(expected)
            by_sentence = {}
            for sentence, gram, count in zip(*counts, strict=True):
                by_sentence.setdefault(int(sentence), []).append((int(count), int(gram)))
            for i, found in by_sentence.items():
                wanted = sorted(c for (s, _), c in expected.items() if s == i)
                assert sorted(c for c, _ in found) == wanted
            known = {gram for _, grams in by_sentence.items() for _, gram in grams}
            if source is sentences:
                assert known == set(range(index.sizes[n - 1]))
                names[n] = {gram for _, gram in expected}
            else:
                unseen = {gram for _, gram in expected} - names[n]
                assert sum(gram >= index.sizes[n - 1] for gram in known) == len(unseen)


def test_a_hundred_thousand_different_words():
    sentences = [[f"w{i}", f"w{i + 1}"] for i in range(100_000)]
    index = NgramIndex(sentences)
    assert index.sizes[:2] == (100_001, 100_000)
    assert index.count([["w5", "w6"], ["w6", "w5"]]).orders[1].gram.tolist() == [
        *index.counted.orders[1].gram[[5]],
        100_000,
    ]


def test_references_are_given_back_by_image():
    sentences = [[["a"], ["b", "c"]], [[]], [["d"]]]
    assert References(sentences).by_image() == sentences


def test_scores_are_of_tokens_not_of_letters():
    assert tokenize("A dog.") == ["a", "dog"]
    captions, references = {1: "A DOG!", 2: "x"}, {1: ["a dog."], 2: ["y"]}
    assert score(captions, references).bleu_1 == pytest.approx(2 / 3)
