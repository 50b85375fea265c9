"""Assignment of images to splits; each image is in at most one.

Your choice comes first: lists of image names, or a share to draw. Without it the splits of the
caption file are used. If it has none, a share is drawn.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from jaxcap.data.dataset import SPLITS
from jaxcap.files import AnyPath
from jaxcap.files.text import plain, read_text
from jaxcap.preparing.caption_files import CaptionedImage

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
    """

    images: dict[str, list[CaptionedImage]]
    source: str
    left_out: dict[str, int]


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
    lists = {"train": choice.train_list, "val": choice.val_list}
    if any(lists.values()):
        if choice.val_share is not None or not all(lists.values()):
            raise ValueError("give `train_list` and `val_list` together, without `val_share`")
        by_name = _read_lists({s: path for s, path in lists.items() if path is not None})
        splits = [by_name.get(_normal(image.name)) for image in images]
        source, none = "split lists", "in neither list"
    elif choice.val_share is None and any(image.split for image in images):
        splits = [image.split for image in images]
        source, none = "the caption file", "without a split"
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
    return Assignment(assigned, source, left_out)


def _read_lists(paths: dict[str, AnyPath]) -> dict[str, str]:
    by_name: dict[str, str] = {}
    for split, path in paths.items():
        text = read_text(path, expected="a list of images")
        for line in filter(None, map(str.strip, text.replace("\r", "\n").split("\n"))):
            name = _normal(line)
            if by_name.setdefault(name, split) != split:
                raise ValueError(f"{path}: {plain(line)} is in the other list too; keep it in one")
    return by_name


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)


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
