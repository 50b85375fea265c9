"""Records: a list of JSON objects, alone or in an object, JSON Lines, and an object by image."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxcap.files.json import parse_json
from jaxcap.files.text import quote
from jaxcap.formats.columns import find_columns, has_urls_only
from jaxcap.formats.entries import Entry, Source

LIST_FORM = '[{"image": "a.jpg", "caption": "a cat"}]'
MAPPING_FORM = '{"a.jpg": ["a cat", "a black cat"]}'
TO_DOWNLOAD = (
    "holds the URLs of pictures and not their files: download them, for instance with img2dataset, "
    "and give the tar files that it writes"
)


def read_records(source: Source, records: Iterable[tuple[str, Any]]) -> Iterator[Entry]:
    """Read records, each an object with an image and its captions.

    Args:
        source: the file.
        records: the place of each record, for messages, and its value.

    Raises:
        ValueError: a record is wrong; the message names it and shows the expected form.
    """
    for where, record in records:
        if not isinstance(record, dict):
            raise ValueError(
                f"{source.path}: {where} is {quote(record)}, expected the form {LIST_FORM}"
            )
        names = list(record)
        columns = find_columns(names)
        if columns is None:
            if has_urls_only(names):
                raise ValueError(f"{source.path}: {TO_DOWNLOAD}")
            raise ValueError(
                f"{source.path}: {where} has no image or no caption, only the fields "
                f"{quote(sorted(names))}; expected the form {LIST_FORM}"
            )
        source.detail = source.detail or columns.describe(names)
        values = list(record.values())
        image = values[columns.image]
        if not isinstance(image, str) or not image.strip():
            raise ValueError(
                f"{source.path}: {where} has {names[columns.image]} {quote(image)}, expected the "
                f"name of a file, as in {LIST_FORM}"
            )
        split = None if columns.split is None else source.split(values[columns.split], where)
        number = None if columns.id is None else source.id(values[columns.id])
        yield Entry(image.strip(), None, split, number)
        for place in columns.captions:
            for caption in captions_of(source, f"{where}.{names[place]}", values[place]):
                yield Entry(image.strip(), caption)


def captions_of(source: Source, where: str, value: Any) -> list[str]:
    """Return a caption or a list of captions, each a string or an object with a string, as a list.

    Raises:
        ValueError: the value is something else.
    """
    texts: list[str] = []
    for item in value if isinstance(value, list) else [] if value is None else [value]:
        text = item
        if isinstance(item, dict):
            text = next((item[name] for name in ("raw", "caption", "text") if name in item), None)
        if not isinstance(text, str):
            raise ValueError(
                f"{source.path}: {where} holds {quote(item)}, expected a caption or a list of them"
            )
        texts.append(text)
    return texts


def read_list(source: Source, value: list[Any] | Mapping[str, Any]) -> Iterator[Entry]:
    """Read a list of records, alone or in an object, as TextCaps' `{"data": [record, ...]}`."""
    name = ""
    if not isinstance(value, list):
        name = find_list(value) or ""
        value = value[name]
    return read_records(source, ((f"{name}[{i}]", record) for i, record in enumerate(value)))


def find_list(value: Mapping[str, Any]) -> str | None:
    """Find the field of an object that is a list of records."""
    for name, found in value.items():
        first = found[0] if isinstance(found, list) and found else None
        if isinstance(first, dict) and find_columns([*first]):
            return name
    return None


def read_mapping(source: Source, value: Mapping[str, Any]) -> Iterator[Entry]:
    """Read an object whose keys are names of images and whose values are captions."""
    for name, captions in value.items():
        yield Entry(name)
        for caption in captions_of(source, quote(name), captions):
            yield Entry(name, caption)


def read_json_lines(source: Source, text: str) -> Iterator[Entry]:
    """Read JSON Lines: a record a line.

    Raises:
        ValueError: a line is not JSON, or a record is wrong; the message names the line.
    """
    return read_records(source, _lines(source, text))


def _lines(source: Source, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", parse_json(f"{source.path}: line {number}", line)


def is_json_lines(text: str) -> bool:
    """Say whether the first line is a whole JSON object, and another follows or it is a record."""
    first, end, rest = text.strip().partition("\n")
    if end and not rest.lstrip().startswith("{"):
        return False
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or end:
        return isinstance(value, dict)
    columns = find_columns([*value])
    return columns is not None and isinstance([*value.values()][columns.image], str)
