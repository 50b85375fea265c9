"""Readers of caption files, in five formats.

    COCO        `captions_*.json`: {"images": [{"id", "file_name"}], "annotations": [{"image_id",
                "caption"}]}
    Karpathy    `dataset_*.json`: {"images": [{"filename", "filepath"?, "split", "sentences":
                [{"raw"}]}]}; its splits are kept, with `restval` as train
    Flickr8k    `Flickr8k.token.txt`: `image.jpg#0<TAB>caption`
    CSV         `captions.txt`: a header `image,caption`, then a row a caption
    TSV         `image.jpg<TAB>caption`, or `image.jpg<TAB>caption<TAB>split`

All are UTF-8; a byte-order mark is skipped. The content determines the format.
"""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import parse_json
from jaxcap.files.text import LONGEST_CAPTION, plain, quote, read_text, too_long

_SPLITS = {"train": "train", "restval": "train", "val": "val", "dev": "val", "test": "test"}
_COCO_FORM = (
    '{"images": [{"id": 1, "file_name": "a.jpg"}], '
    '"annotations": [{"image_id": 1, "caption": "a cat"}]}'
)
_KARPATHY_FORM = (
    '{"images": [{"filename": "a.jpg", "split": "train", "sentences": [{"raw": "a cat"}]}]}'
)


@dataclass
class CaptionedImage:
    """Image of a caption file.

    Attributes:
        name: name in the file.
        captions: the different captions, not empty, with single spaces between words.
        split: split in the file; None if it gives none.
        raw: the captions unchanged, including repeated ones.
    """

    name: str
    captions: list[str] = field(default_factory=list)
    split: str | None = None
    raw: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CaptionFile:
    """Contents of a caption file.

    Attributes:
        format: "coco", "karpathy", "flickr8k", "csv" or "tsv".
        images: the images, in the order in which the file first names them.
        empty: number of captions left out because they are only white space.
        repeated: number of captions left out because they repeat one of the same image.
    """

    format: str
    images: list[CaptionedImage]
    empty: int
    repeated: int


def read_caption_file(path: AnyPath) -> CaptionFile:
    """Read a caption file of any of the formats above.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not UTF-8 or of no known format, or an entry is wrong; the message
            names the file and the entry, and for JSON shows the expected form.
        OSError: the file cannot be read.
    """
    path = Path(path)
    text = read_text(path, expected="one with captions")
    if not text.strip():
        raise ValueError(f"{path}: is empty, expected captions; copy or download it again")
    if text.lstrip()[0] in "{[":
        name, entries = _json_entries(path, text)
    else:
        name, entries = _text_entries(path, text)
    images: dict[str, CaptionedImage] = {}
    seen: set[tuple[str, str]] = set()
    empty = repeated = 0
    for image, caption, split in entries:
        found = images.setdefault(image, CaptionedImage(image))
        if split is not None:
            if found.split not in (None, split):
                raise ValueError(
                    f"{path}: {plain(image)} is in the splits {found.split} and {split}; keep one"
                )
            found.split = split
        if caption is None:
            continue
        if len(caption) > LONGEST_CAPTION:
            raise too_long(caption, f"{path}: {quote(image)}")
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
    return CaptionFile(name, list(images.values()), empty, repeated)


Entry = tuple[str, str | None, str | None]
"""Image, caption or None, split or None."""


def _json_entries(path: Path, text: str) -> tuple[str, Iterator[Entry]]:
    value = parse_json(path, text)
    if not isinstance(value, dict) or not isinstance(value.get("images"), list):
        found = quote(sorted(value)) if isinstance(value, dict) else type(value).__name__
        raise ValueError(
            f"{path}: has no list 'images' (found {found}); expected COCO's form {_COCO_FORM} "
            f"or Karpathy's {_KARPATHY_FORM}"
        )
    if "annotations" in value:
        return "coco", _coco_entries(path, value)
    return "karpathy", _karpathy_entries(path, value)


def _field(path: Path, entry: Any, where: str, name: str, kind: type | tuple, form: str) -> Any:
    """Return a field of a JSON entry, checked."""
    if not isinstance(entry, dict) or name not in entry:
        fault = f"has no {name!r}: {quote(entry)}"
    elif not isinstance(entry[name], kind) or isinstance(entry[name], bool):
        fault = f"has {name} {quote(entry[name])}"
    else:
        return entry[name]
    raise ValueError(f"{path}: {where} {fault}; expected the form {form}")


def _coco_entries(path: Path, value: dict[str, Any]) -> Iterator[Entry]:
    names: dict[int | str, str] = {}
    for i, image in enumerate(value["images"]):
        where = f"images[{i}]"
        number = _field(path, image, where, "id", (int, str), _COCO_FORM)
        if number in names:
            raise ValueError(
                f"{path}: {where} repeats the id {quote(number)} of {plain(names[number])}; give "
                "each image its own id"
            )
        names[number] = _field(path, image, where, "file_name", str, _COCO_FORM)
        yield names[number], None, None
    if not isinstance(value["annotations"], list):
        raise ValueError(f"{path}: annotations is not a list; expected the form {_COCO_FORM}")
    for i, annotation in enumerate(value["annotations"]):
        where = f"annotations[{i}]"
        number = _field(path, annotation, where, "image_id", (int, str), _COCO_FORM)
        if number not in names:
            raise ValueError(
                f"{path}: {where} has image_id {quote(number)}, which is not in images; add the "
                "image or remove the annotation"
            )
        yield names[number], _field(path, annotation, where, "caption", str, _COCO_FORM), None


def _karpathy_entries(path: Path, value: dict[str, Any]) -> Iterator[Entry]:
    for i, image in enumerate(value["images"]):
        where = f"images[{i}]"
        name = _field(path, image, where, "filename", str, _KARPATHY_FORM)
        if image.get("filepath"):
            name = f"{_field(path, image, where, 'filepath', str, _KARPATHY_FORM)}/{name}"
        split = image.get("split")
        if split is not None:
            split = _split(path, where, split)
        yield name, None, split
        for j, sentence in enumerate(_field(path, image, where, "sentences", list, _KARPATHY_FORM)):
            raw = _field(path, sentence, f"{where}.sentences[{j}]", "raw", str, _KARPATHY_FORM)
            yield name, raw, None


def _split(path: Path, where: str, split: Any) -> str:
    if not isinstance(split, str) or split not in _SPLITS:
        raise ValueError(
            f"{path}: {where} has the split {quote(split)}, expected one of {', '.join(_SPLITS)}"
        )
    return _SPLITS[split]


def _text_entries(path: Path, text: str) -> tuple[str, Iterator[Entry]]:
    first = next(line for line in text.splitlines() if line.strip())
    if "\t" in first:
        image = first.split("\t")[0]
        if "#" in image and image.rpartition("#")[2].isdigit():
            return "flickr8k", _tab_entries(path, text, numbered=True)
        return "tsv", _tab_entries(path, text, numbered=False)
    # A header is short, and `csv` limits the length of a field.
    header = next(csv.reader([first[:1000]]))
    if {"image", "caption"} <= set(header):
        return "csv", _csv_entries(path, text)
    raise ValueError(
        f"{path}: has no known format: its first line is {quote(first)}; expected JSON, "
        "'image.jpg#0<TAB>caption', 'image.jpg<TAB>caption', or a header 'image,caption'"
    )


def _tab_entries(path: Path, text: str, *, numbered: bool) -> Iterator[Entry]:
    # Not splitlines, which also breaks at characters that a caption may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if not line.strip():
            continue
        image, tab, rest = line.partition("\t")
        if not tab or not image.strip():
            raise ValueError(
                f"{path}: line {number} is {quote(line)}, expected an image, a tab and a caption"
            )
        if numbered:
            image = image.rpartition("#")[0] or image
        caption, _, split = rest.partition("\t")
        where = f"line {number}"
        yield image.strip(), caption, _split(path, where, split.strip()) if split.strip() else None


def _csv_entries(path: Path, text: str) -> Iterator[Entry]:
    rows = csv.DictReader(io.StringIO(text))
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise ValueError(
                f"{path}: line {rows.line_num} is not CSV: {error}; look for an open quotation mark"
            ) from None
        if row is None:
            return
        image, caption = row.get("image"), row.get("caption")
        if not image or not image.strip() or caption is None:
            raise ValueError(
                f"{path}: line {rows.line_num} lacks an image or a caption, expected both"
            )
        if None in row:
            # A caption with unquoted commas, as in some copies of captions.txt.
            caption = ",".join([caption, *row[None]])  # pyright: ignore[reportArgumentType]
        split = row.get("split")
        where = f"line {rows.line_num}"
        yield image.strip(), caption, _split(path, where, split) if split else None
