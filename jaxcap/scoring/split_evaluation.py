"""Captions of a data set's images, evaluated against the references that the data set has.

The word ids of a data set are its captions as a captioner can say them: rare words are `<UNK>`, and
long captions are cut. Scores that can be compared are against captions as people wrote them, which
`jaxcap.prepare` keeps beside the ids.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
from jaxtyping import Int

from jaxcap.data.coco_writing import CAPTIONS_FILE, references_file
from jaxcap.data.dataset import Dataset, Split, references_of
from jaxcap.scoring.evaluation import Evaluation, evaluate
from jaxcap.scoring.results import read_references
from jaxcap.scoring.truth import captions_truth, knows_truth
from jaxcap.text.vocabulary import UNK, Vocabulary
from jaxcap.text.words import split_words

_NUM_SPECIAL = 4


class SplitReferences(NamedTuple):
    """The references of some images of a split.

    Attributes:
        captions: by image, that is by row of the split's features.
        source: where they come from, in words.
    """

    captions: dict[int, list[str]]
    source: str


def split_references(
    data: Dataset, split: str, images: Int[np.ndarray, " K"], file: Path | None = None
) -> SplitReferences:
    """Find the references of images of a split.

    Args:
        data: the data set.
        split: which of its splits, a loaded one.
        images: rows of the split's features that have captions.
        file: references in COCO's form, with such rows as image ids; if left out those of the data
            folder, and where it has none the word ids, spelled out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not of that form, has an image that the split lacks, lacks one, or
            names another picture than the split does.
    """
    if file is None and data.folder is not None:
        own = data.folder / references_file(split)
        file = own if own.exists() else None
    if file is not None:
        return SplitReferences(_read(data, split, images, file), f"captions as written, of {file}")
    sentences = references_of(data.splits[split], images, data.vocabulary)
    captions = dict(zip(images.tolist(), sentences, strict=True))
    source = f"word ids of {data.folder / CAPTIONS_FILE if data.folder else data.name}"
    if not knows_truth(data):
        unknown = sum(UNK in text.split() for texts in sentences for text in texts)
        source += (
            f", where rare words are {UNK} (in {unknown:,} of {sum(map(len, sentences)):,} "
            "captions) and long captions are cut: scores to be compared with those of others need "
            "the captions as written, which --references can name"
        )
    return SplitReferences(captions, source)


def evaluate_split(
    data: Dataset,
    split: str,
    captions: dict[int, str],
    references: SplitReferences,
    *,
    training: Iterable[str] | None = None,
    java: bool = True,
) -> Evaluation:
    """Evaluate captions of images of a split, with their truth where the data set knows it.

    Args:
        data: the data set.
        split: which of its splits, a loaded one.
        captions: one for each image, by its row in the features.
        references: of the same images.
        training, java: as `evaluate` takes them.

    Raises:
        ValueError: the two are not about the same images.
    """
    rows = data.splits[split].urls
    urls = {}
    if len(rows):
        urls = {image: rows[image].decode("utf-8", "replace") for image in captions}
    truth = None
    if knows_truth(data):
        truth = captions_truth(list(urls.values()), list(captions.values()))
    return evaluate(
        captions, references.captions, java=java, training=training, urls=urls, truth=truth
    )


def _read(
    data: Dataset, split: str, images: Int[np.ndarray, " K"], file: Path
) -> dict[int, list[str]]:
    references, count = read_references(file), len(data.splits[split].features)
    found = references.captions
    remedy = f"image ids are rows of the features of {split} in {data.where}"
    for image in found:
        if not 0 <= image < count:
            raise ValueError(f"{file}: has image {image}, expected 0 to {count - 1}; {remedy}")
    for image in images.tolist():
        if image not in found:
            raise ValueError(f"{file}: has no caption of image {image}; {remedy}")
        theirs, ours = references.names.get(image), _file_name(data.splits[split], image)
        if theirs and ours and _last_part(theirs) != _last_part(ours):
            raise ValueError(f"{file}: has {theirs} as image {image}, which is {ours}; {remedy}")
    captions = {image: found[image] for image in images.tolist()}
    if _is_of_characters(data.vocabulary):
        return {image: list(map(_as_characters, texts)) for image, texts in captions.items()}
    return captions


def _file_name(split: Split, image: int) -> str | None:
    """The file that an image was read from, where the split says so."""
    url = split.urls[image].decode("utf-8", "replace") if len(split.urls) else ""
    return unquote(urlsplit(url).path) if url.startswith("file://") else None


def _last_part(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition("/")[2])


def _is_of_characters(vocabulary: Vocabulary) -> bool:
    """Whether captions are told as characters, which has to be done with references too."""
    words: Sequence[str] = vocabulary.idx_to_word[_NUM_SPECIAL:]
    return bool(words) and max(map(len, words)) == 1


def _as_characters(caption: str) -> str:
    return " ".join(split_words(caption, "character"))
