"""Images of a split with their references, to evaluate captioners.

The word ids of a data set are its captions in the words of the captioner: rare words are `<UNK>`,
and long captions are cut. Comparable scores need the captions as people wrote them, which
`jaxcap.prepare` writes with the ids.
"""

import unicodedata
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import jax
import numpy as np
from jaxtyping import Array, Int

from jaxcap.data.coco_writing import CAPTIONS_FILE, DATASET_FILE, references_file
from jaxcap.data.dataset import Dataset, Split, SplitRows, choose_images, references_of
from jaxcap.files import AnyPath
from jaxcap.files.json import read_json
from jaxcap.files.text import quote
from jaxcap.formats.entries import ImageId
from jaxcap.scenes import TruthReport, scene_of_url, truth_report
from jaxcap.scoring.evaluation import Evaluation, evaluate
from jaxcap.scoring.image_ids import near_matches, read_id, show
from jaxcap.scoring.results import ReferenceFile, read_references, write_results
from jaxcap.text.vocabulary import UNK
from jaxcap.text.words import TOKENIZERS

_T = TypeVar("_T")


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
    def image(self) -> SplitRows:
        """The images, as input of a captioner; their grids are read when they are used."""
        return SplitRows(self.data.splits[self.split], self.rows)

    @property
    def urls(self) -> dict[int, str]:
        """The URL of each image by row; empty if the data set has none."""
        urls = self.data.splits[self.split].urls
        if not len(urls):
            return {}
        return {row: bytes(urls[row]).decode("utf-8", "replace") for row in self.rows.tolist()}

    @cached_property
    def ids(self) -> dict[int, ImageId] | None:
        """The id of each image of the split in the source of the data; None if it keeps none.

        Raises:
            ValueError: the file with the ids in the data folder does not fit the split.
        """
        if not self._about.get("image_ids") or (file := self._own) is None:
            return None
        path, count = self._own_path, self.data.splits[self.split].num_images
        if len(file.ids) != count:
            raise ValueError(
                f"{path}: images has {len(file.ids)} entries with an id, expected {count}, one a "
                "row of the features; prepare the data again"
            )
        if len(set(map(_same, file.ids))) < count:
            raise ValueError(f"{path}: images has an id twice; prepare the data again")
        return dict(enumerate(file.ids))

    @cached_property
    def tokenizer(self) -> str:
        """How captions of the data set are split into words when they are scored."""
        if self.data.vocabulary.of_characters:
            return "character"
        found = self._about.get("tokenizer", "ptb")
        if not isinstance(found, str) or found not in TOKENIZERS:
            raise ValueError(
                f"{self.data.folder}/{DATASET_FILE}: tokenizer is {quote(found)}, expected one of "
                f"{', '.join(TOKENIZERS)}"
            )
        return found

    def spelled(self) -> dict[int, list[str]]:
        """Convert the word ids of each image to its captions, each caption once."""
        sentences = references_of(self.data.splits[self.split], self.rows, self.data.vocabulary)
        written = self.data.vocabulary.written
        found = [list(map(written, captions)) for captions in sentences]
        return dict(zip(self.rows.tolist(), found, strict=True))

    def write_results(self, path: AnyPath, captions: Mapping[int, str]) -> None:
        """Write captions in COCO's results form, with the image ids of the data's source.

        Warns if the data set keeps no ids, and writes the rows.

        Args:
            path: the file.
            captions: captions by row of the split's features.

        Raises:
            OSError: the file cannot be written.
        """
        if self.ids is None and not knows_truth(self.data):
            warnings.warn(
                f"{path}: image ids are rows of the features of {self.split}, as "
                f"{self.data.where} keeps no ids of its source; what `jaxcap.prepare` writes now "
                "keeps them",
                stacklevel=2,
            )
        write_results(path, self._by_id(captions))

    def references(
        self, file: AnyPath | None = None, *, keep_rejected: bool = False
    ) -> SplitReferences:
        """Find the references of the images.

        Args:
            file: references, as for `read_references`, with the image ids of the source of the
                data, or with rows of the split's features if the data set keeps no ids. The default
                is the references in the data folder, or else the captions of the word ids.
            keep_rejected: keep references of `file` that VizWiz marks as rejected or precanned;
                without them an image may have no reference.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file has another form, has an image that the split lacks, lacks an
                image, or names another picture than the split.
        """
        folder = self.data.folder
        if file is not None:
            path = Path(file).expanduser()
            captions = self._read(path, read_references(path, keep_rejected=keep_rejected))
            return SplitReferences(captions, f"captions as written, of {file}")
        if (own := self._own) is not None:
            captions = self._read(self._own_path, own)
            return SplitReferences(captions, f"captions as written, of {self._own_path}")
        captions = self.spelled()
        source = f"word ids of {self.data.name if folder is None else folder / CAPTIONS_FILE}"
        if not knows_truth(self.data):
            texts = [text for image in captions.values() for text in image]
            unknown = sum(UNK in text for text in texts)
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
        tokenizer: str | None = None,
    ) -> Evaluation:
        """Evaluate a caption for each image, and its claims if the pictures are scenes.

        Args:
            captions: captions by row of the split's features.
            references: references of the same images; `references()` by default.
            training, java: as in `jaxcap.scoring.evaluation.evaluate`.
            tokenizer: likewise; that of the data set by default.

        Returns:
            The evaluation, whose image ids are those of the source of the data, or rows.

        Raises:
            ValueError: captions and references have different images.
        """
        known = (references or self.references()).captions
        emptied = set(self.rows.tolist()) - known.keys()
        captions = {row: text for row, text in captions.items() if row not in emptied}
        found = evaluate(
            self._by_id(captions),
            self._by_id(known),
            java=java,
            training=training,
            urls=self._by_id(self.urls),
            tokenizer=tokenizer or self.tokenizer,
        )
        return replace(found, truth=self.truth(captions))

    @cached_property
    def _about(self) -> Mapping[str, Any]:
        path = self.data.folder and self.data.folder / DATASET_FILE
        return read_json(path) if path and path.exists() else {}

    @property
    def _own_path(self) -> Path:
        return (self.data.folder or Path()) / references_file(self.split)

    @property
    def _own(self) -> ReferenceFile | None:
        """The references in the data folder, which hold what `jaxcap.prepare` kept."""
        if self.data.folder is None or not self._own_path.exists():
            return None
        return read_references(self._own_path, keep_rejected=True)

    def _by_id(self, by_row: Mapping[int, _T]) -> dict[ImageId, _T]:
        ids = self.ids or {}
        return {ids.get(row, row): value for row, value in by_row.items()}

    def _read(self, path: Path, file: ReferenceFile) -> dict[int, list[str]]:
        """Find the references of each row; a row whose references are all rejected has none."""
        split, ids = self.data.splits[self.split], self.ids
        count, rows = split.num_images, self.rows.tolist()
        remedy = f"image ids are rows of the features of {self.split} in {self.data.where}"
        if ids is not None:
            remedy = f"image ids are those of the source of {self.data.where}"
        for image in file.captions if ids is None else ():
            if not isinstance(image, int) or not 0 <= image < count:
                raise ValueError(
                    f"{path}: has image {show(image)}, expected 0 to {count - 1}; {remedy}"
                )
        images = {row: row if ids is None else _same(ids[row]) for row in rows}
        known = file.captions.keys() | file.emptied
        if lacking := [image for image in images.values() if image not in known]:
            near = near_matches(lacking, known, file.names)
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            raise ValueError(
                f"{path}: has no caption for image {show(lacking[0])}{more} of the {len(rows)} of "
                f"{self.split}; {remedy}{near}"
            )
        for row, image in images.items():
            theirs, ours = file.names.get(image), _file_name(split, row)
            if theirs and ours and _last_part(theirs) != _last_part(ours):
                raise ValueError(
                    f"{path}: has {theirs} as image {show(image)}, expected {ours}; {remedy}"
                )
        found = {row: image for row, image in images.items() if image in file.captions}
        if not found:
            raise ValueError(
                f"{path}: every reference of these images is marked as rejected or precanned; "
                "`keep_rejected=True` keeps them"
            )
        return {row: file.captions[image] for row, image in found.items()}


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


def _same(image: ImageId) -> ImageId:
    """Make equal ids equal values."""
    return read_id(image, "")
