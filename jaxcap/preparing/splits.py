"""Assignment of images to splits; each image is in at most one.

Your choice comes first: lists of image names, or a share to draw. Without it the splits of the
caption file are used. If it has none, or no validation images, a share is drawn.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from jaxcap.data.dataset import SPLITS
from jaxcap.files import AnyPath
from jaxcap.files.text import plain, read_text
from jaxcap.formats.entries import CaptionedImage
from jaxcap.preparing.near_names import NearNames, normal

DEFAULT_VAL_SHARE = 0.1


@dataclass(frozen=True)
class SplitChoice:
    """Your choice of splits; none if all fields are None.

    Attributes:
        train_list: file with the names of the training images, one a line.
        val_list: file with the names of the validation images, one a line.
        val_share: share of the images to draw for validation.
        seed: seed of that draw.
    """

    train_list: AnyPath | None = None
    val_list: AnyPath | None = None
    val_share: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Assignment:
    """Images by split.

    Attributes:
        images: images of `train` and of `val`, in the order of the caption file.
        source: source of the splits, in words.
        left_out: numbers of images in neither split, by reason.
        notes: what the split lists name besides, in sentences.
    """

    images: dict[str, list[CaptionedImage]]
    source: str
    left_out: dict[str, int]
    notes: tuple[str, ...] = ()


def assign_splits(images: Sequence[CaptionedImage], choice: SplitChoice) -> Assignment:
    """Assign each image to a split.

    Args:
        images: images of a caption file.
        choice: your choice of splits.

    Raises:
        ValueError: the choice contradicts itself, a list names an image twice or none of the
            images, or a split gets no image.
        OSError: a list cannot be read.
    """
    notes: tuple[str, ...] = ()
    lists = {"train": choice.train_list, "val": choice.val_list}
    if any(lists.values()):
        if choice.val_share is not None or not all(lists.values()):
            raise ValueError("give `train_list` and `val_list` together, without `val_share`")
        splits, notes = _by_lists(images, {s: path for s, path in lists.items() if path})
        source, none = "split lists", "in neither list"
    elif choice.val_share is None and any(image.split for image in images):
        splits, drawn = _of_file(images, choice.seed)
        source, none = f"the caption file{drawn}", "without a split"
    else:
        share = DEFAULT_VAL_SHARE if choice.val_share is None else choice.val_share
        splits = _draw(len(images), share, choice.seed)
        source, none = f"a share of {share:g} for val drawn with seed {choice.seed}", ""
    assigned = {
        split: [image for image, found in zip(images, splits, strict=True) if found == split]
        for split in SPLITS
    }
    for split, found in assigned.items():
        if not found:
            raise ValueError(
                f"no image is in the split {split}, by {source}; give `train_list` and "
                "`val_list`, or a `val_share`"
            )
    reasons = {"of the split test": splits.count("test"), none: splits.count(None)}
    left_out = {reason: count for reason, count in reasons.items() if count}
    return Assignment(assigned, source, left_out, notes)


def _by_lists(
    images: Sequence[CaptionedImage], paths: dict[str, AnyPath]
) -> tuple[list[str | None], tuple[str, ...]]:
    """Return the split of each image by lists of names, and what the lists name besides.

    A list names an image by its name in the caption file, by the last part of that name, by that
    part without its ending, or by its id; folders in front of these are passed over.

    Raises:
        ValueError: an image is in both lists, or a list names none of the images.
    """
    places = _places(images)
    splits: list[str | None] = [None] * len(images)
    notes = []
    for split, path in paths.items():
        names = [*dict.fromkeys(_read_list(path))]
        found = {name: _place(places, normal(name).replace("\\", "/")) for name in names}
        for name, place in found.items():
            if place >= 0 and splits[place] not in (None, split):
                raise ValueError(f"{path}: {plain(name)} is in the other list too; keep it in one")
            if place >= 0:
                splits[place] = split
        unknown = [name for name, place in found.items() if place < 0]
        if unknown:
            near = NearNames(image.name for image in images)
            told = f"{len(unknown):,} of {len(names):,} names"
            if len(unknown) == len(names):
                raise ValueError(
                    f"{path}: none of its {len(names):,} names is that of an image with captions "
                    f"({near.list(unknown)}); those have names like {plain(images[0].name)}"
                )
            notes.append(f"{path}: {told} are of no image with captions: {near.list(unknown)}")
    return splits, tuple(notes)


def _read_list(path: AnyPath) -> list[str]:
    text = read_text(path, expected="a list of images")
    names = [*filter(None, map(str.strip, text.replace("\r", "\n").split("\n")))]
    if not names:
        raise ValueError(f"{path}: is empty, expected names of images, one a line")
    return names


def _places(images: Sequence[CaptionedImage]) -> dict[str, int]:
    """Return the place of each image by every name that a list may give it, if it is the only."""
    places: dict[str, int] = {}
    for kind in (_name, _last_part, _stem, _id):
        found: dict[str, int] = {}
        for place, image in enumerate(images):
            name = kind(image)
            found[name] = -1 if name in found else place
        places = {**found, **places}
    return places


def _place(places: dict[str, int], name: str) -> int:
    """Return the place of the image of a name, which may have folders that the images lack."""
    return places.get(name, places.get(name.rpartition("/")[2], -1))


def _name(image: CaptionedImage) -> str:
    return normal(image.name)


def _last_part(image: CaptionedImage) -> str:
    return normal(image.name).rpartition("/")[2]


def _stem(image: CaptionedImage) -> str:
    return os.path.splitext(_last_part(image))[0]


def _id(image: CaptionedImage) -> str:
    return "" if image.id is None else str(image.id)


def _of_file(images: Sequence[CaptionedImage], seed: int) -> tuple[list[str | None], str]:
    """Return the splits of the caption file; if it has no val, a share of its train is drawn."""
    splits = [image.split for image in images]
    train = [place for place, split in enumerate(splits) if split == "train"]
    if "val" in splits or len(train) < 2:
        return splits, ""
    for place, split in zip(train, _draw(len(train), DEFAULT_VAL_SHARE, seed), strict=True):
        splits[place] = split
    return (
        splits,
        f", with a share of {DEFAULT_VAL_SHARE:g} of train for val drawn with seed {seed}",
    )


def _draw(count: int, share: float, seed: int) -> list[str | None]:
    if not 0 < share < 1:
        raise ValueError(f"`val_share` is {share:g}, expected a share between 0 and 1")
    order = np.asarray(jax.random.permutation(jax.random.key(seed), count))
    # At least one image, however small the share, and never all.
    num_val = min(max(round(share * count), 1), count - 1)
    splits: list[str | None] = ["train"] * count
    for place in order[:num_val].tolist():
        splits[place] = "val"
    return splits
