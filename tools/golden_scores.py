"""Fill in the scores of `tests/golden/caption_scores.json` with the reference scorer.

    pip install pycocoevalcap        (and Java)
    python tools/golden_scores.py

The file is a list of cases `{"captions": {image: sentence}, "references": {image: [sentence]},
"scores": {...}}`. Captions are tokenized by the reference tokenizer as well.
"""

import json
from pathlib import Path

from golden_tokens import reference_words
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "caption_scores.json"


def fill_in(case: dict) -> dict:
    """The case with its scores."""
    sentences = [text for texts in case["references"].values() for text in texts]
    sentences += case["captions"].values()
    words = {
        sentence: " ".join(found)
        for sentence, found in zip(sentences, reference_words(sentences), strict=True)
    }
    truths = {i: [words[text] for text in texts] for i, texts in case["references"].items()}
    results = {image: [words[case["captions"][image]]] for image in truths}
    blues, _ = Bleu(4).compute_score(truths, results, verbose=0)
    scores = {f"bleu_{n}": float(value) for n, value in enumerate(blues, start=1)}
    scores["rouge_l"] = float(Rouge().compute_score(truths, results)[0])
    scores["cider"] = float(Cider().compute_score(truths, results)[0])
    return {**case, "scores": scores}


def main() -> None:
    cases = [fill_in(case) for case in json.loads(GOLDEN.read_text(encoding="utf-8"))]
    text = ",\n".join(json.dumps(case) for case in cases)
    GOLDEN.write_text(f"[\n{text}\n]\n", encoding="utf-8")
    print(f"wrote {len(cases)} cases to {GOLDEN}")


if __name__ == "__main__":
    main()
