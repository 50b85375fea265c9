"""BLEU, ROUGE-L and CIDEr-D against the reference scorer, on the same captions in one run.

    pip install 'jaxcap[eval]'
    python benchmarks/scoring.py

5,000 images with five references and one candidate each, of 4 to 16 words drawn by Zipf's law,
where a candidate shares stretches with its references. Both get the same words and count
everything anew in each of the rounds, which alternate. The scores have to agree to 1e-6.
"""

import statistics
import time

import numpy as np
from absl import app, flags
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from jaxcap.scoring.bleu import bleu
from jaxcap.scoring.cider import CiderD
from jaxcap.scoring.references import References
from jaxcap.scoring.rouge import rouge_l

IMAGES = flags.DEFINE_integer("images", 5000, "Images.", lower_bound=2)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Alternating rounds.", lower_bound=1)
REFERENCES, WORDS = 5, 8000


def random_captions(rng: np.random.Generator) -> tuple[list[list[str]], list[list[list[str]]]]:
    """A candidate an image, and the references."""
    chances = 1 / np.arange(1, WORDS + 1)
    chances /= chances.sum()
    candidates, references = [], []
    for _ in range(IMAGES.value):
        sentences = [
            [f"w{word}" for word in rng.choice(WORDS, rng.integers(6, 17), p=chances)]
            for _ in range(REFERENCES)
        ]
        cuts = rng.integers(2, 7, 2)
        candidates.append(sentences[0][: cuts[0]] + sentences[1][-cuts[1] :])
        references.append(sentences)
    return candidates, references


class Clock:
    """Seconds since the last call."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def __call__(self) -> float:
        before, self.last = self.last, time.perf_counter()
        return self.last - before


def ours(
    candidates: list[list[str]], references: list[list[list[str]]]
) -> tuple[list[float], dict[str, float]]:
    """Scores and seconds. The counts are shared by BLEU and CIDEr-D and stand under BLEU."""
    clock, seconds = Clock(), {}
    counted_references = References(references)
    counted = counted_references.index.count(candidates)
    scores = bleu(counted, counted_references).corpus.tolist()
    seconds["BLEU"] = clock()
    scores.append(float(rouge_l(candidates, counted_references).mean()))
    seconds["ROUGE-L"] = clock()
    scores.append(float(CiderD(counted_references)(counted).mean()))
    seconds["CIDEr-D"] = clock()
    return scores, seconds


def again(candidates: list[list[str]], references: list[list[list[str]]]) -> float:
    """Seconds of CIDEr-D, as a reward needs it, once the references are known."""
    counted_references = References(references)
    scorer = CiderD(counted_references)
    clock = Clock()
    scorer(counted_references.index.count(candidates))
    return clock()


def theirs(
    candidates: list[list[str]], references: list[list[list[str]]]
) -> tuple[list[float], dict[str, float]]:
    """Scores and seconds of the reference scorer, on strings as it takes them."""
    results = {i: [" ".join(words)] for i, words in enumerate(candidates)}
    truths = {i: [" ".join(s) for s in sentences] for i, sentences in enumerate(references)}
    clock, seconds = Clock(), {}
    scores = [float(score) for score in Bleu(4).compute_score(truths, results, verbose=0)[0]]
    seconds["BLEU"] = clock()
    scores.append(float(Rouge().compute_score(truths, results)[0]))
    seconds["ROUGE-L"] = clock()
    scores.append(float(Cider().compute_score(truths, results)[0]))
    seconds["CIDEr-D"] = clock()
    return scores, seconds


def main(argv: list[str]) -> None:
    del argv
    captions = random_captions(np.random.default_rng(0))
    rounds = [(ours(*captions), theirs(*captions)) for _ in range(ROUNDS.value)]
    rewards = statistics.median(again(*captions) for _ in range(ROUNDS.value))
    (our_scores, _), (their_scores, _) = rounds[0]
    np.testing.assert_allclose(our_scores, their_scores, rtol=0, atol=1e-6)
    print(f"{IMAGES.value} images, {REFERENCES} references each; the scores agree to 1e-6")
    for names in (["BLEU", "CIDEr-D"], ["ROUGE-L"], ["BLEU", "CIDEr-D", "ROUGE-L"]):
        pairs = [[sum(s[name] for name in names) for _, s in pair] for pair in rounds]
        print(
            f"{' + '.join(names)}: jaxcap {statistics.median(a for a, _ in pairs):.3f} s, "
            f"reference {statistics.median(b for _, b in pairs):.3f} s, "
            f"{statistics.median(b / a for a, b in pairs):.1f} times as fast"
        )
    print(f"CIDEr-D of new candidates for known references: jaxcap {rewards:.3f} s")


if __name__ == "__main__":
    app.run(main)
