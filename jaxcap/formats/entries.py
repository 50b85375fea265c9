"""What every reader of captions gives, and how its entries become images with captions."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxcap.files import AnyPath
from jaxcap.files.text import LONGEST_CAPTION, plain, quote, too_long

ImageId = int | str
"""Id of an image in its file: an integer of any size, or a string."""

PICTURE_ENDING = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|heic|heif|avif)", re.IGNORECASE)
"""Endings by which a cell or a member is known as the name of a picture."""

_SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "eval", "evaluation"), "val"),
    **dict.fromkeys(("dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MISSING = frozenset(("", "nan", "NaN", "None", "NULL", "null", "NA", "N/A", "n/a", "<NA>", "#N/A"))
"""What is written for a value that is missing, as pandas reads it in tables."""

_NAMED = 3
# `[/EN#283585/people A man]`
_MARKS = re.compile(r"\[/EN#\d+/\S+ ([^\]]*)\]")


class Entry(NamedTuple):
    """One caption of an image, or an image alone.

    Attributes:
        image: name of the image's file.
        caption: the caption; None for an image alone.
        split: "train", "val" or "test"; None if the file does not say.
        id: id of the image; None if the file has none.
    """

    image: str
    caption: str | None = None
    split: str | None = None
    id: ImageId | None = None


@dataclass
class CaptionedImage:
    """Image of a caption file.

    Attributes:
        name: name in the file.
        captions: the different captions, not empty, with single spaces between words.
        split: split in the file; None if it gives none.
        raw: the captions unchanged, including repeated ones.
        id: id in the file; None if it gives none.
    """

    name: str
    captions: list[str] = field(default_factory=list)
    split: str | None = None
    raw: list[str] = field(default_factory=list)
    id: ImageId | None = None


@dataclass
class Tally:
    """Count of what a reader left out or mended, with the places."""

    left_out: dict[str, list[str]] = field(default_factory=dict)
    mended: dict[str, list[str]] = field(default_factory=dict)

    def leave_out(self, what: str, place: str) -> None:
        """Count something that is left out."""
        self.left_out.setdefault(what, []).append(place)

    def mend(self, what: str, place: str) -> None:
        """Count something that is read in another way than it is written."""
        self.mended.setdefault(what, []).append(place)

    def describe(self) -> list[str]:
        """Describe both in sentences, each with its first places."""
        return [
            f"{verb}: {len(places):,} {what} ({_first(places)})"
            for verb, found in (("left out", self.left_out), ("mended", self.mended))
            for what, places in found.items()
        ]


def _first(places: list[str]) -> str:
    return ", ".join(places[:_NAMED]) + (", ..." if len(places) > _NAMED else "")


@dataclass(frozen=True)
class ReadOptions:
    """How to read a caption file.

    Attributes:
        format: name of the format; None to recognise it.
        keep_rejected: keep captions that are marked as rejected or precanned, as in VizWiz.
        image_list: file with the name of an image a line, for a file with a caption a line.
        unpack_to: folder for the pictures of a file that holds them, such as Parquet.
    """

    format: str | None = None
    keep_rejected: bool = False
    image_list: AnyPath | None = None
    unpack_to: AnyPath | None = None


@dataclass
class Source:
    """A caption file while it is read.

    Attributes:
        path: the file or folder.
        options: how to read it.
        tally: what was left out so far.
        detail: what was recognised, such as the columns of a table.
    """

    path: Path
    options: ReadOptions = ReadOptions()
    tally: Tally = field(default_factory=Tally)
    detail: str = ""

    def split(self, value: Any, where: str) -> str | None:
        """Return the name of a split in the file as one of ours; None for a missing one.

        Raises:
            ValueError: the name is not known.
        """
        if value is None or value != value or (isinstance(value, str) and value.strip() in MISSING):
            return None
        found = _split_of(value)
        if found is None:
            raise ValueError(
                f"{self.path}: {where} has the split {quote(value)}, expected one of "
                f"{', '.join(_SPLITS)}; rename it"
            )
        return found

    def id(self, value: Any) -> ImageId | None:
        """Return an id in the file; None for anything but an integer or a string."""
        if isinstance(value, float) and value.is_integer() and math.fabs(value) < 2**53:
            return int(value)  # As pandas writes a column of integers with a gap.
        if isinstance(value, str) and value in MISSING:
            return None
        return value if isinstance(value, int | str) and not isinstance(value, bool) else None


def is_split(value: str) -> bool:
    """Say whether a text is the name of a split."""
    return _split_of(value) is not None


def _split_of(value: Any) -> str | None:
    # COCO's are train2014 and val2017.
    name = re.sub(r"[_-]?20\d\d$", "", value.strip().lower()) if isinstance(value, str) else ""
    return _SPLITS.get(name)


@dataclass(frozen=True)
class CaptionFile:
    """Contents of a caption file.

    Attributes:
        format: name of the format.
        images: the images, in the order in which the file first names them.
        empty: number of captions left out because they are only white space.
        repeated: number of captions left out because they repeat one of the same image.
        detail: what was recognised, such as the columns of a table.
        notes: what else was left out or mended, in sentences.
    """

    format: str
    images: list[CaptionedImage]
    empty: int
    repeated: int
    detail: str = ""
    notes: tuple[str, ...] = ()


def collect(format: str, source: Source, entries: Iterable[Entry]) -> CaptionFile:
    """Collect the entries of a file by image.

    Args:
        format: name of the format.
        source: the file, for messages and what its reader tallies.
        entries: the entries, in any order.

    Raises:
        ValueError: an image is in two splits, or a caption is too long.
    """
    images: dict[str, CaptionedImage] = {}
    seen: set[tuple[str, str]] = set()
    empty = repeated = 0
    conflict = ""
    for image, caption, split, number in entries:
        found = images.setdefault(image, CaptionedImage(image))
        if split is not None:
            if found.split not in (None, split):
                raise ValueError(
                    f"{source.path}: {plain(image)} is in the splits {found.split} and {split}; "
                    "keep one"
                )
            found.split = split
        if number is not None:
            if found.id is None:
                found.id = number
            elif str(found.id) != str(number):
                conflict = f"{plain(image)} has {quote(found.id)} and {quote(number)}"
        if caption is None:
            continue
        if "[/EN#" in caption:
            source.tally.mend("captions with the marks of Flickr30k Entities, removed", image)
            caption = _MARKS.sub(r"\1", caption)
        if len(caption) > LONGEST_CAPTION:
            raise too_long(caption, f"{source.path}: {quote(image)}")
        clean = " ".join(caption.split())
        if not clean:
            empty += 1
            continue
        found.raw.append(caption)
        if (image, clean) in seen:
            repeated += 1
        else:
            seen.add((image, clean))
            found.captions.append(clean)
    _check_ids(source, list(images.values()), conflict)
    notes = tuple(source.tally.describe())
    return CaptionFile(format, list(images.values()), empty, repeated, source.detail, notes)


def _check_ids(source: Source, images: list[CaptionedImage], conflict: str) -> None:
    """Drop ids of captions, or of something else, that do not tell images apart."""
    # "5" and 5 are one id when captions are scored.
    owners: dict[str, str] = {}
    without = [image.name for image in images if image.id is None]
    for image in images:
        if image.id is not None and owners.setdefault(str(image.id), image.name) != image.name:
            conflict = (
                f"{plain(owners[str(image.id)])} and {plain(image.name)} have {quote(image.id)}"
            )
    if conflict:
        for image in images:
            if image.id is not None:
                what = f"ids, which do not tell images apart, as {conflict}"
                source.tally.leave_out(what, image.name)
            image.id = None
    elif owners:
        for name in without:
            source.tally.mend("images without an id, which are known by their names", name)
