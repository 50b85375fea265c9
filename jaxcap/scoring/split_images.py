"""Images of a split with their references, to evaluate captioners.

The word ids of a data set are its captions in the words of the captioner: rare words are `<UNK>`,
and long captions are cut. Comparable scores need the captions as people wrote them, which
`jaxcap.prepare` writes with the ids.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import jax
import numpy as np
from jaxtyping import Array, Int

from jaxcap.data.coco_writing import CAPTIONS_FILE, references_file
from jaxcap.data.dataset import Dataset, Split, choose_images, references_of
from jaxcap.data.image import Image
from jaxcap.files import AnyPath
from jaxcap.scenes import TruthReport, scene_of_url, truth_report
from jaxcap.scoring.evaluation import Evaluation, evaluate
from jaxcap.scoring.results import read_references
from jaxcap.text.vocabulary import UNK, Vocabulary
from jaxcap.text.words import split_words

_NUM_SPECIAL = 4


class SplitReferences(NamedTuple):
    """The references of some images of a split.

    Attributes:
        captions: references by row of the split's features.
        source: description of their source.
    """

    captions: dict[int, list[str]]
    source: str


@dataclass(frozen=True, eq=False)
class SplitImages:
    """Images of a split.

    Attributes:
        data: the data set.
        split: name of a loaded split.
        rows: (K,) rows of its features, all with captions.
    """

    data: Dataset
    split: str
    rows: Int[np.ndarray, " K"]

    @classmethod
    def choose(
        cls, data: Dataset, split: str, num: int | None = None, key: Array | None = None
    ) -> "SplitImages":
        """Choose images of a split that have captions.

        Args:
            data: the data set.
            split: name of the split.
            num: number of images; by default, or if there are no more, all in order.
            key: random key of the choice; that of seed 0 by default.
        """
        images = data.splits[split]
        key = jax.random.key(0) if key is None else key
        num = images.num_images if num is None else num
        return cls(data, split, choose_images(images, num, key))

    @property
    def image(self) -> Image:
        """The images, as input of a captioner."""
        images = self.data.splits[self.split].images
        # The features of a whole split may be too large to copy.
        whole = np.array_equal(self.rows, np.arange(images.num))
        return images if whole else images.at(self.rows)

    @property
    def urls(self) -> dict[int, str]:
        """The URL of each image by row; empty if the data set has none."""
        urls = self.data.splits[self.split].urls
        if not len(urls):
            return {}
        return {row: bytes(urls[row]).decode("utf-8", "replace") for row in self.rows.tolist()}

    def spelled(self) -> dict[int, list[str]]:
        """Convert the word ids of each image to its captions, each caption once."""
        sentences = references_of(self.data.splits[self.split], self.rows, self.data.vocabulary)
        return dict(zip(self.rows.tolist(), sentences, strict=True))

    def references(self, file: AnyPath | None = None) -> SplitReferences:
        """Find the references of the images.

        Args:
            file: references in COCO's form, with rows of the split's features as image ids. The
                default is the references in the data folder, or else the captions of the word ids.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file has another form, has an image that the split lacks, lacks an
                image, or names another picture than the split.
        """
        folder = self.data.folder
        if file is None and folder is not None and (folder / references_file(self.split)).exists():
            file = folder / references_file(self.split)
        if file is not None:
            captions = self._read(Path(file).expanduser())
            return SplitReferences(captions, f"captions as written, of {file}")
        captions = self.spelled()
        source = f"word ids of {self.data.name if folder is None else folder / CAPTIONS_FILE}"
        if not knows_truth(self.data):
            texts = [text for image in captions.values() for text in image]
            unknown = sum(UNK in text.split() for text in texts)
            source += (
                f", where rare words are {UNK} (in {unknown:,} of {len(texts):,} captions) and "
                "long captions are cut: for scores that compare with published ones, give the "
                "original captions by `references`"
            )
        return SplitReferences(captions, source)

    def truth(self, captions: Mapping[int, str]) -> TruthReport | None:
        """Check every claim of a caption for each image; None unless the pictures are scenes."""
        if not knows_truth(self.data):
            return None
        urls = self.urls
        return truth_report([scene_of_url(urls[row]) for row in captions], list(captions.values()))

    def evaluate(
        self,
        captions: Mapping[int, str],
        references: SplitReferences | None = None,
        *,
        training: Iterable[str] | None = None,
        java: bool = True,
    ) -> Evaluation:
        """Evaluate a caption for each image, and its claims if the pictures are scenes.

        Args:
            captions: captions by row of the split's features.
            references: references of the same images; `references()` by default.
            training, java: as in `jaxcap.scoring.evaluation.evaluate`.

        Raises:
            ValueError: captions and references have different images.
        """
        return evaluate(
            captions,
            (references or self.references()).captions,
            java=java,
            training=training,
            urls=self.urls,
            truth=self.truth(captions),
        )

    def _read(self, file: Path) -> dict[int, list[str]]:
        references, split = read_references(file), self.data.splits[self.split]
        found, count = references.captions, split.num_images
        remedy = f"image ids are rows of the features of {self.split} in {self.data.where}"
        for image in found:
            if not 0 <= image < count:
                raise ValueError(f"{file}: has image {image}, expected 0 to {count - 1}; {remedy}")
        for image in self.rows.tolist():
            if image not in found:
                raise ValueError(f"{file}: has no caption for image {image}; {remedy}")
            theirs, ours = references.names.get(image), _file_name(split, image)
            if theirs and ours and _last_part(theirs) != _last_part(ours):
                raise ValueError(
                    f"{file}: has {theirs} as image {image}, expected {ours}; {remedy}"
                )
        captions = {image: found[image] for image in self.rows.tolist()}
        if _is_of_characters(self.data.vocabulary):
            return {image: list(map(_as_characters, texts)) for image, texts in captions.items()}
        return captions


def knows_truth(data: Dataset) -> bool:
    """Whether the pictures of a data set are scenes, for any features."""
    urls = [split.urls[0] for split in data.splits.values() if len(split.urls)]
    return bool(urls) and all(url.startswith(b"scenes://") for url in urls)


def _file_name(split: Split, image: int) -> str | None:
    """Return the file of an image, or None if the split does not have it."""
    url = split.urls[image].decode("utf-8", "replace") if len(split.urls) else ""
    return unquote(urlsplit(url).path) if url.startswith("file://") else None


def _last_part(name: str) -> str:
    return unicodedata.normalize("NFC", name.rpartition("/")[2])


def _is_of_characters(vocabulary: Vocabulary) -> bool:
    """Whether captions are split into characters; references must then be split too."""
    words: Sequence[str] = vocabulary.idx_to_word[_NUM_SPECIAL:]
    return bool(words) and max(map(len, words)) == 1


def _as_characters(caption: str) -> str:
    return " ".join(split_words(caption, "character"))
