"""Which column of a table, or field of a record, is the image, its captions, its split, its id."""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

# In the order in which they are preferred where a file has several.
_IMAGE = (
    *("file_name", "filename", "image", "image_path", "img_path", "filepath", "image_file"),
    *("image_filename", "image_name", "imagename", "img_name", "img", "file", "path", "photo"),
    *("picture", "images", "image_bytes", "jpg", "jpeg", "png", "webp"),
    *("name", "image_id", "imageid", "img_id", "id"),
)
_NAMES_OR_IDS = 5
_CAPTION = (
    *("caption", "captions", "caption_str", "comment", "comments", "text", "sentence"),
    *("sentences", "description", "descriptions", "raw", "txt", "prompt", "title"),
    *("image_caption", "caption_text", "alt_text", "alt"),
)
# `caption_1`, and `caption.1` as pandas names the second of two columns `caption`.
_NUMBERED = re.compile(r"(caption|comment|text|sentence|description|raw)s?[_.]?\d+")
_SPLIT = ("split", "set", "subset", "partition", "set_name")
_ID = ("image_id", "imageid", "img_id", "imgid", "cocoid", "id")
_NUMBER = ("comment_number", "caption_number", "comment_id", "caption_id", "number", "index")
_URL = ("url", "image_url", "img_url")


class Columns(NamedTuple):
    """Places of the columns that count, from 0.

    Attributes:
        image: the name of the image's file.
        captions: the captions, one or several.
        split: the split; None for none.
        id: the id of the image; None for none.
        number: the number of the caption; None for none.
    """

    image: int
    captions: tuple[int, ...]
    split: int | None = None
    id: int | None = None
    number: int | None = None

    def describe(self, names: Sequence[str]) -> str:
        """Describe which of `names` was taken for what."""
        parts = [f"image from {names[self.image].strip()}"]
        parts.append("captions from " + ", ".join(names[i].strip() for i in self.captions))
        for what, place in (("split", self.split), ("id", self.id)):
            if place is not None:
                parts.append(f"{what} from {names[place].strip()}")
        return ", ".join(parts)


def find_columns(names: Sequence[str]) -> Columns | None:
    """Find the columns by their names, in any case and order; None without image or caption."""
    return _find_columns(tuple(names))


@cache
def _find_columns(names: tuple[str, ...]) -> Columns | None:
    plain = [re.sub(r"[\s\-]+", "_", name.strip().strip('"').strip()).lower() for name in names]
    image = _first(plain, _IMAGE)
    numbered = {i: found[1] for i, name in enumerate(plain) if (found := _NUMBERED.fullmatch(name))}
    caption = _first(plain, _CAPTION)
    if caption is None:
        captions = tuple(numbered)
    else:
        stem = plain[caption].removesuffix("s")
        same = [i for i, name in enumerate(plain) if name == plain[caption]]
        captions = tuple(sorted({*same, *(i for i, name in numbered.items() if name == stem)}))
    if image is None or not captions:
        return None
    number = _first(plain, _ID)
    return Columns(
        image,
        captions,
        split=_first(plain, _SPLIT),
        id=None if number == image else number,
        number=_first(plain, _NUMBER),
    )


def has_urls_only(names: Sequence[str]) -> bool:
    """Say whether the columns name captions and URLs, but no files."""
    plain = [name.strip().lower() for name in names]
    image = _first(plain, _IMAGE[:-_NAMES_OR_IDS])
    return image is None and _first(plain, _URL) is not None and _first(plain, _CAPTION) is not None


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)
