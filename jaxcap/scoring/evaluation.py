"""Evaluation of a set of captions by all metrics, as a table and as JSON."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.scenes import TruthReport
from jaxcap.scoring.diversity import Diversity, diversity, warn_of_one_caption
from jaxcap.scoring.java import java_scores
from jaxcap.scoring.results import match, read_both
from jaxcap.scoring.scores import ImageScores, Scorer, Scores
from jaxcap.scoring.tokens import warn_without_spaces

_NAMES = {
    "BLEU-1": "bleu_1",
    "BLEU-2": "bleu_2",
    "BLEU-3": "bleu_3",
    "BLEU-4": "bleu_4",
    "METEOR": "",
    "ROUGE-L": "rouge_l",
    "CIDEr": "cider",
    "SPICE": "",
}


@dataclass(frozen=True)
class Evaluation:
    """Captions, their references, and all metrics."""

    captions: Mapping[Any, str]
    references: Mapping[Any, Sequence[str]]
    scores: Scores
    images: ImageScores
    java: Mapping[str, float]  # METEOR and SPICE, if they were computed
    diversity: Diversity
    notes: Sequence[str]  # for each score that is left out, a sentence with the reason
    urls: Mapping[Any, str]  # URLs of pictures, if known
    tokenizer: str = "ptb"  # how captions were split into words
    truth: TruthReport | None = None  # None unless the pictures are scenes

    def named_scores(self) -> dict[str, float]:
        """Return the scores of the corpus by their usual names, in the usual order."""
        found = {name: getattr(self.scores, field) for name, field in _NAMES.items() if field}
        found.update(self.java)
        return {name: found[name] for name in _NAMES if name in found}

    def table(self) -> str:
        """Format the metrics for a terminal."""
        rows = [f"{name:<10}{value:.4f}" for name, value in self.named_scores().items()]
        varied = self.diversity
        rows += [
            f"{'captions':<10}{varied.captions:,}, {varied.different:,} different, "
            f"{varied.mean_length:.2f} words long",
            f"{'words':<10}{varied.vocabulary:,} different; "
            f"distinct-1 {varied.distinct_1:.4f}, distinct-2 {varied.distinct_2:.4f}",
        ]
        if self.tokenizer != "ptb":
            rows.append(f"{'tokenizer':<10}{self.tokenizer}")
        if varied.novel is not None:
            rows.append(f"{'novel':<10}{varied.novel:.1%} of the captions")
        if self.truth is not None:
            rows += ["claims in the captions:", str(self.truth)]
        return "\n".join([*rows, *self.notes])

    def as_json(self) -> dict[str, Any]:
        """Convert to JSON values, with all digits, and CIDEr, ROUGE-L and BLEU-4 of each image."""
        per_image = zip(
            self.images.image_ids,
            self.images.cider.tolist(),
            self.images.rouge_l.tolist(),
            self.images.bleu[3].tolist(),
            strict=True,
        )
        return {
            "scores": self.named_scores(),
            "tokenizer": self.tokenizer,
            "diversity": asdict(self.diversity),
            "truth": None if self.truth is None else _truth_as_json(self.truth),
            "left_out": list(self.notes),
            "images": [
                {
                    "image_id": image,
                    "caption": self.captions[image],
                    "CIDEr": cider,
                    "ROUGE-L": rouge,
                    "BLEU-4": bleu,
                }
                for image, cider, rouge, bleu in per_image
            ],
        }


def evaluate(
    captions: Mapping[Any, str],
    references: Mapping[Any, Sequence[str]],
    *,
    java: bool = True,
    training: Iterable[str] | None = None,
    urls: Mapping[Any, str] | None = None,
    tokenizer: str = "ptb",
) -> Evaluation:
    """Score captions and measure their diversity.

    Args:
        captions: one caption for each image.
        references: the references of each image.
        java: also compute METEOR and SPICE, if Java and their programs are installed.
        training: the training captions of the captioner, to count the novel captions.
        urls: URLs of pictures.
        tokenizer: how captions are split into words: "ptb" as the reference scorer does, "space",
            or "character" for languages written without spaces. METEOR and SPICE read the words
            with spaces between them; SPICE, which parses English, is left out for "character".

    Raises:
        ValueError: captions and references have different images, or an image has no reference.
    """
    scorer = Scorer(references, tokenizer)
    scores, images = scorer.score_images(captions)
    warn_without_spaces(
        captions.values(), (text for texts in references.values() for text in texts), tokenizer
    )
    words = [scorer.split(captions[image]) for image in references]
    seen = None if training is None else [scorer.split(sentence) for sentence in training]
    varied = diversity(words, seen)
    warn_of_one_caption([" ".join(caption) for caption in words])
    by_java, notes = {}, []
    if java:
        names = ("METEOR",) if tokenizer == "character" else ("METEOR", "SPICE")
        by_java, notes = java_scores(words, scorer.references.by_image(), names)
    if java and tokenizer == "character":
        notes = [*notes, "SPICE is left out: it parses English, which characters are not"]
    return Evaluation(
        captions, references, scores, images, by_java, varied, notes, urls or {}, tokenizer
    )


def evaluate_results(
    results: AnyPath,
    references: AnyPath,
    *,
    java: bool = True,
    tokenizer: str = "ptb",
    keep_rejected: bool = False,
) -> Evaluation:
    """Score a file of results against a file of references.

    Args:
        results: `[{"image_id": 1, "caption": "a cat"}, ...]`.
        references: `{"annotations": [{"image_id": 1, "caption": "A cat."}, ...]}`, or a text file
            of another caption format; images without a caption in `results` are left out. Image
            ids are integers or strings.
        java: also compute METEOR and SPICE, if Java and their programs are installed.
        tokenizer: as for `evaluate`.
        keep_rejected: keep references that VizWiz marks as rejected or precanned.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file has another form, or no image has a caption and a reference; the message
            names the entry.
    """
    results, references = Path(results).expanduser(), Path(references).expanduser()
    captions, file = read_both(results, references, keep_rejected=keep_rejected)
    matched = match(captions, file, results, references)
    return evaluate(captions, matched, java=java, urls=file.urls, tokenizer=tokenizer)


def _truth_as_json(truth: TruthReport) -> dict[str, Any]:
    shares = {kind: truth.share(kind) for kind, claims in truth.claims.items() if claims}
    return {"share_true": truth.share_true, "shares": shares, **asdict(truth)}
