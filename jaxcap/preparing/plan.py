"""What a preparation will do, settled before the first image is opened.

Captions are read and split into words, images assigned to splits and found, the vocabulary chosen,
so that whatever is wrong with them shows in seconds and not after hours of encoding.
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
from jaxcap.preparing.caption_files import CaptionedImage, CaptionFile, read_caption_file
from jaxcap.preparing.splits import Assignment, SplitChoice, assign_splits
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.text.words import (
    Coverage,
    choose_words,
    measure_coverage,
    split_words,
    warn_of_unknown_words,
)
from jaxcap.vision.encoder import DEFAULT_ENCODER
from jaxcap.vision.folders import FoundImages, find_images

_LISTED = 5


@dataclass(frozen=True)
class PreparationConfig:
    """What is to be prepared, and how.

    Attributes:
        images: folder of the images.
        captions: the caption file.
        output: the data folder to write.
        name: the data set's name; None for that of `output`.
        splits: what is said of splits.
        tokenizer: one of `jaxcap.text.words.TOKENIZERS`.
        min_count: how often a word must stand in the training captions.
        max_length: words that a caption is cut to.
        pca: directions to reduce features to; None for none.
        encoder: name of the network that makes the features.
        encoder_weights: file of its weights; None for those that ship with jaxcap.
        batch_size: images encoded at a time.
        strict: take a missing or unreadable image as an error.
        overwrite: replace the data folder that `output` holds.
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

    def expanded(self) -> "PreparationConfig":
        """Spell out `~` in paths."""
        paths = {
            field: Path(getattr(self, field)).expanduser()
            for field in ("images", "captions", "output")
        }
        return dataclasses.replace(self, **paths)


class PlannedImage(NamedTuple):
    """An image that will be a row of a split's features, and its captions as words."""

    name: str
    path: Path
    split: str
    raw: tuple[str, ...]
    """The captions as people wrote them, repeated ones too."""
    captions: tuple[tuple[str, ...], ...]
    num_cut: int
    """How many of the captions were longer."""


@dataclass(frozen=True)
class Plan:
    """A preparation, settled.

    Attributes:
        config: what was asked for.
        images: those to encode, all of train and then all of val.
        vocabulary: of the training captions.
        coverage: how much of each split's captions the vocabulary knows.
        notes: lines that say what was read, and what was left out of it.
        missing: names of images that are not there.
    """

    config: PreparationConfig
    images: tuple[PlannedImage, ...]
    vocabulary: Vocabulary
    coverage: dict[str, Coverage]
    notes: tuple[str, ...]
    missing: tuple[str, ...]

    def of_split(self, split: str) -> list[PlannedImage]:
        """The images of one split, in order."""
        return [image for image in self.images if image.split == split]

    def without(self, rows: Collection[int]) -> "Plan":
        """The same without the images of some rows, their captions and words.

        Raises:
            ValueError: nothing is left of a split.
        """
        if not rows:
            return self
        images = [image for row, image in enumerate(self.images) if row not in rows]
        return dataclasses.replace(self, **_choose(self.config, images))

    def describe(self) -> list[str]:
        """Say what will be written, a line each."""
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
        """Number a split's captions."""
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
            references=[(image.name, image.raw) for image in images],
        )


def plan_preparation(config: PreparationConfig) -> Plan:
    """Settle a preparation.

    Raises:
        FileNotFoundError: the caption file, the folder of images, or all of its images are missing.
        ValueError: the caption file or the splits are not as expected, no word is common enough,
            or an image is missing and `config.strict` is true.
    """
    config = config.expanded()
    file = read_caption_file(config.captions)
    words = {
        image.name: {c: w for c in image.captions if (w := split_words(c, config.tokenizer))}
        for image in file.images
    }
    captioned = [image for image in file.images if words[image.name]]
    if not captioned:
        raise ValueError(f"{config.captions}: no image has a caption, expected some")
    assignment = assign_splits(captioned, config.splits)
    found = find_images(config.images, [image.name for image in file.images])
    planned = [image.name for split in SPLITS for image in assignment.images[split]]
    missing = [name for name in planned if name not in found.paths]
    _check_missing(config, found, planned, missing)
    images = [
        _plan_image(config, image, found.paths[image.name], split, words[image.name])
        for split in SPLITS
        for image in assignment.images[split]
        if image.name in found.paths
    ]
    notes = _notes(config, file, captioned, words, assignment, found)
    chosen = _choose(config, images)
    warn_of_unknown_words(chosen["coverage"]["train"], config.tokenizer)
    return Plan(config=config, notes=notes, missing=tuple(missing), **chosen)


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
        path=path,
        split=split,
        raw=tuple(caption for caption in image.raw if " ".join(caption.split()) in words),
        captions=tuple(caption[:longest] for caption in words.values()),
        num_cut=sum(len(caption) > longest for caption in words.values()),
    )


def _choose(config: PreparationConfig, images: Sequence[PlannedImage]) -> dict:
    """The fields of a plan that depend on which images it has."""
    captions = {
        split: [words for image in images if image.split == split for words in image.captions]
        for split in SPLITS
    }
    for split, found in captions.items():
        if not found:
            raise ValueError(f"{config.images}: no image of the split {split} is there and whole")
    vocabulary = choose_words(captions["train"], config.min_count)
    coverage = {split: measure_coverage(captions[split], vocabulary) for split in SPLITS}
    return {"images": tuple(images), "vocabulary": vocabulary, "coverage": coverage}


def _check_missing(
    config: PreparationConfig, found: FoundImages, planned: list[str], missing: list[str]
) -> None:
    some = ", ".join(missing[:_LISTED]) + (", ..." if len(missing) > _LISTED else "")
    if len(missing) == len(planned):
        raise FileNotFoundError(
            f"no images in {config.images}: none of the {len(planned)} that {config.captions} "
            f"names is there ({some}), and {found.others} other files are"
        )
    if config.strict and missing:
        raise FileNotFoundError(
            f"{config.images}: {len(missing)} of {len(planned)} images are missing: {some}; "
            "without `strict` they are left out"
        )


def _notes(
    config: PreparationConfig,
    file: CaptionFile,
    captioned: Sequence[CaptionedImage],
    words: dict[str, dict[str, tuple[str, ...]]],
    assignment: Assignment,
    found: FoundImages,
) -> tuple[str, ...]:
    """Say what was read; what is nought goes unsaid."""
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
    notes = [
        f"captions: {read:,} of {len(captioned):,} images in {config.captions} ({file.format}); "
        f"splits by {assignment.source}"
    ]
    if left_out:
        notes.append("left out: " + ", ".join(f"{n:,} {what}" for what, n in left_out.items()))
    if found.others:
        notes.append(f"passed over: {found.others:,} files in {config.images} without a caption")
    return tuple(notes)
