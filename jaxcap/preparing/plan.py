"""Plan of a preparation, made before the first image is opened.

Captions are read and split into words, images are found and assigned to splits, and the vocabulary
is chosen. So a fault in any of them shows in seconds, not after hours of encoding.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcap.data.coco_writing import SplitTables
from jaxcap.data.dataset import SPLITS
from jaxcap.files import AnyPath
from jaxcap.formats.entries import CaptionedImage, CaptionFile, ImageId, ReadOptions
from jaxcap.formats.read import read_caption_file
from jaxcap.preparing.image_search import FoundImages, find_images
from jaxcap.preparing.near_names import NearNames
from jaxcap.preparing.splits import Assignment, SplitChoice, assign_splits
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.words import (
    Coverage,
    choose_words,
    measure_coverage,
    split_words,
    warn_of_unknown_words,
)
from jaxcap.vision.encoder import DEFAULT_ENCODER, check_grid_of


@dataclass(frozen=True)
class PreparationConfig:
    """Settings of a preparation.

    Attributes:
        images: folder of the images; of a caption file that holds pictures, the folder to unpack
            them into.
        captions: the caption file.
        output: the data folder to write.
        name: name of the data set; None for the name of `output`.
        splits: how to assign images to splits.
        tokenizer: one of `jaxcap.text.words.TOKENIZERS`.
        min_count: least occurrences of a word in the training captions.
        max_length: most words of a caption; longer ones are cut.
        pca: number of PCA features to write as well; None for none.
        grid: write the grids of the images too, for captioners that attend.
        grid_pca: width to which PCA reduces the vectors of the grids; None to keep them whole.
        encoder: name of the encoder.
        encoder_weights: file of its weights; None for those shipped with jaxcap.
        batch_size: images encoded at a time.
        strict: fail on a missing or unreadable image.
        overwrite: replace the data folder in `output`.
        format: format of the caption file, one of `jaxcap.formats.read.FORMATS`; None to recognise
            it.
        keep_rejected: keep captions that are marked as rejected or precanned, as in VizWiz.
        image_list: file with the name of an image a line, for a file with a caption a line.
    """

    images: AnyPath
    captions: AnyPath
    output: AnyPath
    name: str | None = None
    splits: SplitChoice = SplitChoice()
    tokenizer: str = "ptb"
    min_count: int = 5
    max_length: int = 16
    pca: int | None = None
    encoder: str = DEFAULT_ENCODER
    encoder_weights: AnyPath | None = None
    batch_size: int = 32
    strict: bool = False
    overwrite: bool = False
    format: str | None = None
    keep_rejected: bool = False
    image_list: AnyPath | None = None
    grid: bool = False
    grid_pca: int | None = None

    def expanded(self) -> "PreparationConfig":
        """Expand `~` in the paths."""
        fields = ("images", "captions", "output", "image_list")
        paths = {
            field: Path(path).expanduser() for field in fields if (path := getattr(self, field))
        }
        return dataclasses.replace(self, **paths)


class PlannedImage(NamedTuple):
    """Image that becomes a row of a split's features, and its captions as words."""

    name: str
    id: ImageId
    """Id in the caption file, or the name if it has none."""
    path: Path
    split: str
    raw: tuple[str, ...]
    """Original captions, including repeated ones."""
    captions: tuple[tuple[str, ...], ...]
    num_cut: int
    """Number of captions that were cut."""


@dataclass(frozen=True)
class Plan:
    """Plan of a preparation.

    Attributes:
        config: the settings.
        images: images to encode, first all of train, then all of val.
        vocabulary: vocabulary of the training captions.
        coverage: how much of each split's captions the vocabulary covers.
        notes: lines that say what was read and what was left out.
        missing: names of missing images.
        near: files of the folder of images, to find those with names near a missing one.
    """

    config: PreparationConfig
    images: tuple[PlannedImage, ...]
    vocabulary: Vocabulary
    coverage: dict[str, Coverage]
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    near: NearNames

    def of_split(self, split: str) -> list[PlannedImage]:
        """List the images of one split, in order."""
        return [image for image in self.images if image.split == split]

    def without(self, rows: Collection[int]) -> "Plan":
        """Drop the images of some rows, with their captions and words.

        Raises:
            ValueError: a split has no images left.
        """
        if not rows:
            return self
        images = [image for row, image in enumerate(self.images) if row not in rows]
        return dataclasses.replace(self, **_choose(self.config, images))

    def describe(self) -> list[str]:
        """Describe what will be written, in lines."""
        counts = "; ".join(
            f"{split}: {len(images):,} images, {sum(len(i.captions) for i in images):,} captions"
            for split in SPLITS
            for images in [self.of_split(split)]
        )
        cut = sum(image.num_cut for image in self.images)
        return [
            counts,
            f"vocabulary: {len(self.vocabulary):,} words, with the special ones; "
            f"{cut:,} captions cut to {self.config.max_length} words",
            *(f"<UNK> in {split}: {self.coverage[split]}" for split in SPLITS),
        ]

    def tables(self, split: str) -> SplitTables:
        """Convert the captions of a split to ids, with its images."""
        images = self.of_split(split)
        length = self.config.max_length + 2
        captions = [
            self.vocabulary.encode(words, length) for image in images for words in image.captions
        ]
        counts = [len(image.captions) for image in images]
        return SplitTables(
            captions=np.stack(captions),
            image_idxs=np.repeat(np.arange(len(images), dtype=np.int32), counts),
            urls=[image.path.absolute().as_uri() for image in images],
            references=[(image.id, image.name, image.raw) for image in images],
        )


def plan_preparation(config: PreparationConfig) -> Plan:
    """Plan a preparation.

    Raises:
        FileNotFoundError: the caption file, the folder of images, or every image is missing; or one
            image is, and `config.strict` is true.
        ValueError: the caption file or the splits are wrong, no word is common enough, or the
            encoder has no grid and `config.grid` is true.
    """
    config = config.expanded()
    if config.grid:
        check_grid_of(config.encoder)
    elif config.grid_pca is not None:
        raise ValueError("`grid_pca` reduces the grids, which `grid` writes; give both")
    options = ReadOptions(
        config.format, config.keep_rejected, config.image_list, unpack_to=config.images
    )
    file = read_caption_file(config.captions, options)
    words = {
        image.name: {c: w for c in image.captions if (w := split_words(c, config.tokenizer))}
        for image in file.images
    }
    captioned = [image for image in file.images if words[image.name]]
    if not captioned:
        raise ValueError(
            f"{config.captions}: none of its {len(file.images):,} images has a caption, expected "
            "one at least" + ("; " + "; ".join(file.notes) if file.notes else "")
        )
    assignment = assign_splits(captioned, config.splits)
    found = find_images(config.images, [image.name for image in file.images])
    planned = [image.name for split in SPLITS for image in assignment.images[split]]
    missing = [name for name in planned if name not in found.paths]
    _check_missing(config, found, planned, missing)
    _check_splits(config, found, assignment)
    images = [
        _plan_image(config, image, found.paths[image.name], split, words[image.name])
        for split in SPLITS
        for image in assignment.images[split]
        if image.name in found.paths
    ]
    notes = _notes(config, file, captioned, words, assignment, found)
    chosen = _choose(config, images)
    warn_of_unknown_words(chosen["coverage"]["train"], config.tokenizer)
    return Plan(config=config, notes=notes, missing=tuple(missing), near=found.near, **chosen)


def _plan_image(
    config: PreparationConfig,
    image: CaptionedImage,
    path: Path,
    split: str,
    words: dict[str, tuple[str, ...]],
) -> PlannedImage:
    longest = config.max_length
    return PlannedImage(
        name=image.name,
        id=image.name if image.id is None else image.id,
        path=path,
        split=split,
        raw=tuple(caption for caption in image.raw if " ".join(caption.split()) in words),
        captions=tuple(caption[:longest] for caption in words.values()),
        num_cut=sum(len(caption) > longest for caption in words.values()),
    )


def _choose(config: PreparationConfig, images: Sequence[PlannedImage]) -> dict:
    """Compute the fields of a plan that depend on its images."""
    captions = {
        split: [words for image in images if image.split == split for words in image.captions]
        for split in SPLITS
    }
    for split, found in captions.items():
        if not found:
            raise ValueError(
                f"{config.images}: every image of the split {split} is missing or unreadable; "
                "check the folder"
            )
    vocabulary = choose_words(captions["train"], config.min_count)
    coverage = {split: measure_coverage(captions[split], vocabulary) for split in SPLITS}
    return {"images": tuple(images), "vocabulary": vocabulary, "coverage": coverage}


def _check_missing(
    config: PreparationConfig, found: FoundImages, planned: list[str], missing: list[str]
) -> None:
    some = found.near.list(missing)
    if len(missing) == len(planned):
        near = any(map(found.near.find, missing))
        remedy = "give them the same names on both sides" if near else "check `images`"
        raise FileNotFoundError(
            f"no images in {config.images}: none of the {len(planned)} that {config.captions} "
            f"names is there ({some}), only {found.others} other files; {remedy}"
        )
    if config.strict and missing:
        raise FileNotFoundError(
            f"{config.images}: {len(missing)} of {len(planned)} images are missing: {some}; "
            "run without `strict` to leave them out"
        )


def _check_splits(config: PreparationConfig, found: FoundImages, assignment: Assignment) -> None:
    """Refuse a split without an image in the folder, by the names of its images."""
    for split, images in assignment.images.items():
        names = [image.name for image in images]
        if not any(name in found.paths for name in names):
            raise FileNotFoundError(
                f"{config.images}: none of the {len(names):,} images of the split {split} is "
                f"there: {found.near.list(names)}; add them, or choose other splits"
            )


def _notes(
    config: PreparationConfig,
    file: CaptionFile,
    captioned: Sequence[CaptionedImage],
    words: dict[str, dict[str, tuple[str, ...]]],
    assignment: Assignment,
    found: FoundImages,
) -> tuple[str, ...]:
    """Describe what was read, without counts of zero."""
    read = sum(map(len, words.values()))
    wordless = sum(len(image.captions) for image in file.images) - read
    left_out = Counter(
        {
            "empty captions": file.empty + wordless,
            "repeated captions": file.repeated,
            "images without a caption": len(file.images) - len(captioned),
        }
    )
    left_out += Counter({f"images {why}": n for why, n in assignment.left_out.items()})
    detail = f": {file.detail}" if file.detail else ""
    notes = [
        f"captions: {read:,} of {len(captioned):,} images in {config.captions} "
        f"({file.format}{detail}); splits by {assignment.source}"
    ]
    notes += file.notes
    if left_out:
        notes.append("left out: " + ", ".join(f"{n:,} {what}" for what, n in left_out.items()))
    notes += assignment.notes
    if found.elsewhere:
        notes.append(f"found: {found.elsewhere:,} images by the last parts of their names")
    if found.others:
        notes.append(f"skipped: {found.others:,} images in {config.images} without a caption")
    return tuple(notes)
