"""Ids of images in files of captions: integers and strings, matched exactly.

A string that is an integer as JSON writes it, such as "391895", is that integer; some writers quote
ids of 64 bits. No other two ids are equal: "007" is not 7, and "a.jpg" is not "a". Messages about
ids that match nothing name those that come near.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from jaxcap.files.text import plain, quote
from jaxcap.formats.entries import ImageId

_LONGEST = 1_000
_INTEGER = re.compile("0|-?[1-9][0-9]*")


def read_id(value: Any, where: str) -> ImageId:
    """Check an id from a file, and make equal ids equal values.

    Args:
        value: the JSON value.
        where: the file and the entry, for messages.

    Raises:
        ValueError: it is neither, or is blank or very long.
    """
    if isinstance(value, str) and value.strip() and len(value) <= _LONGEST:
        return int(value) if _INTEGER.fullmatch(value) else value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    remedy = ""
    if isinstance(value, str):
        remedy = f" of 1 to {_LONGEST:,} characters"
    if isinstance(value, float):
        remedy = "; digits may be lost in a number with a point or an exponent, write the id whole"
    raise ValueError(
        f"{where} has image_id {quote(value)}, expected an integer or a string{remedy}"
    )


def some(images: Collection[ImageId]) -> str:
    """Show the first three of some ids, and how many more there are."""
    first = ", ".join(show(image) for image, _ in zip(images, range(3), strict=False))
    return first if len(images) <= 3 else f"{first} and {len(images) - 3:,} more"


def show(image: object) -> str:
    """Show an id in a message."""
    return plain(image) if isinstance(image, str) else quote(image)


def near_matches(
    images: Collection[ImageId],
    others: Iterable[ImageId],
    names: Mapping[ImageId, str] | None = None,
) -> str:
    """Say how ids that match nothing would match others, or nothing.

    Args:
        images: the ids without a match.
        others: the ids on the other side.
        names: names of the files of the other side's images, if known.

    Returns:
        An empty string, or a part of a sentence that begins with a semicolon.
    """
    others = list(others)
    named = {name: image for image, name in (names or {}).items()}
    for what, form in _FORMS:
        for known, of_file in ((others, False), (named, True)):
            if not of_file and form is _same:
                continue
            index = {form(str(other)): other for other in known}
            index.pop(None, None)
            found = [image for image in images if form(str(image)) in index]
            if not found:
                continue
            other = index[form(str(found[0]))]
            there = f"{show(other)} there"
            if of_file:
                there = f"the file {show(other)} of image {show(named[str(other)])} there"
            count = f"{len(found):,} of {len(images):,}"
            return f"; {count} would match by {what}: {show(found[0])} is {there}"
    return ""


def _same(text: str) -> str | None:
    return unicodedata.normalize("NFC", text)


def _base(text: str) -> str:
    text = unicodedata.normalize("NFC", text).replace("\\", "/")
    return text.strip().rpartition("/")[2].casefold()


def _stem(text: str) -> str:
    name = _base(text)
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and not ending.isdigit() else name


def _number(text: str) -> str | None:
    stem = _stem(text)
    return str(int(stem)) if re.fullmatch("[0-9]{1,999}", stem) else None


def _last_number(text: str) -> str | None:
    # COCO_val2014_000000391895.jpg is the image 391895; p3.jpg need not be the image 3.
    stem = _stem(text)
    found = re.search("[0-9]{5,999}$", stem)
    return str(int(found[0])) if found else _number(stem)


_FORMS: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("the name of the file", _same),
    ("the name without folder and case", _base),
    ("the name without folder, case and ending", _stem),
    ("the number without leading zeros", _number),
    ("the number at the end of the name", _last_number),
)
