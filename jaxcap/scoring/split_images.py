"""Images of a split with their references: what a captioner is evaluated on.

The word ids of a data set are its captions as a captioner can say them: rare words are `<UNK>`, and
long captions are cut. Scores that can be compared are against captions as people wrote them, which
`jaxcap.prepare` keeps beside the ids.
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
        captions: by row of the split's features.
        source: where they come from, in words.
    """

    captions: dict[int, list[str]]
    source: str


@dataclass(frozen=True, eq=False)
class SplitImages:
    """Images of a split.

    Attributes:
        data: the data set.
        split: name of the split, a loaded one.
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
            num: how many; all, in order, if left out or if there are no more.
            key: random key of the choice; that of seed 0 if left out.
        """
        images = data.splits[split]
        key = jax.random.key(0) if key is None else key
        num = images.num_images if num is None else num
        return cls(data, split, choose_images(images, num, key))

    @property
    def image(self) -> Image:
        """The images, as a captioner sees them."""
        images = self.data.splits[self.split].images
        # Features of a whole split may be too large for a copy.
        whole = np.array_equal(self.rows, np.arange(images.num))
        return images if whole else images.at(self.rows)

    @property
    def urls(self) -> dict[int, str]:
        """The URL of each image, where the data set has them."""
        urls = self.data.splits[self.split].urls
        if not len(urls):
            return {}
        return {row: bytes(urls[row]).decode("utf-8", "replace") for row in self.rows.tolist()}

    def spelled(self) -> dict[int, list[str]]:
        """Spell the captions of each image from the word ids, each caption once."""
        sentences = references_of(self.data.splits[self.split], self.rows, self.data.vocabulary)
        return dict(zip(self.rows.tolist(), sentences, strict=True))

    def references(self, file: AnyPath | None = None) -> SplitReferences:
        """Find the references of the images.

        Args:
            file: references in COCO's form, with rows of the split's features as image ids; if left
                out those of the data folder, and where it has none the word ids, spelled out.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is not of that form, has an image that the split lacks, lacks one,
                or names another picture than the split does.
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
                "long captions are cut: to compare scores with others', name the captions as "
                "written by `references`"
            )
        return SplitReferences(captions, source)

    def truth(self, captions: Mapping[int, str]) -> TruthReport | None:
        """Check every claim of a caption for each image; None where the pictures are no scenes."""
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
        """Evaluate a caption for each image, with its truth where the data set knows it.

        Args:
            captions: by row of the split's features.
            references: of the same images; those of `references()` if left out.
            training, java: as `jaxcap.scoring.evaluation.evaluate` takes them.

        Raises:
            ValueError: the two are not about the same images.
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
                raise ValueError(f"{file}: has no caption of image {image}; {remedy}")
            theirs, ours = references.names.get(image), _file_name(split, image)
            if theirs and ours and _last_part(theirs) != _last_part(ours):
                raise ValueError(
                    f"{file}: has {theirs} as image {image}, which is {ours}; {remedy}"
                )
        captions = {image: found[image] for image in self.rows.tolist()}
        if _is_of_characters(self.data.vocabulary):
            return {image: list(map(_as_characters, texts)) for image, texts in captions.items()}
        return captions


def knows_truth(data: Dataset) -> bool:
    """Whether the pictures of a data set are scenes, whatever its features are made of."""
    urls = [split.urls[0] for split in data.splits.values() if len(split.urls)]
    return bool(urls) and all(url.startswith(b"scenes://") for url in urls)


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
