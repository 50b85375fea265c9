"""Records: a list of JSON objects, alone or in an object, JSON Lines, and an object by image."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxcap.files.json import parse_json
from jaxcap.files.text import list_names, numbered_lines, quote
from jaxcap.formats.columns import find_columns, has_urls_only
from jaxcap.formats.entries import Entry, Source, is_split

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
        image, number = values[columns.image], None
        if isinstance(image, int) and not isinstance(image, bool):
            image, number = str(image), image  # `391895` is the picture `391895.jpg`.
        if not isinstance(image, str) or not image.strip():
            raise ValueError(
                f"{source.path}: {where} has {names[columns.image]} {quote(image)}, expected the "
                f"name of a file, as in {LIST_FORM}"
            )
        split = None if columns.split is None else source.split(values[columns.split], where)
        if columns.id is not None:
            number = source.id(values[columns.id])
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
    for item in value if isinstance(value, list) else [value]:
        if item is None or item != item:
            continue  # null, or NaN as pandas writes it.
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
    """Read a list of records, alone or in an object, as TextCaps' `{"data": [record, ...]}`.

    Several lists in an object are the splits of their names.

    Raises:
        ValueError: there are several lists that are no splits, or a record is wrong.
    """
    if isinstance(value, list):
        yield from read_records(source, ((f"[{i}]", record) for i, record in enumerate(value)))
        return
    names = find_lists(value)
    if len(names) > 1 and not all(map(is_split, names)):
        raise ValueError(
            f"{source.path}: holds several lists with captions ({list_names(names, 12)}) that are "
            "no splits; write one to a file of its own"
        )
    for name in names:
        split = source.split(name, "the object") if is_split(name) else None
        places = ((f"{name}[{i}]", record) for i, record in enumerate(value[name]))
        for entry in read_records(source, places):
            yield entry._replace(split=entry.split or split)


def find_lists(value: Mapping[str, Any]) -> list[str]:
    """Find the fields of an object that are lists of records."""
    found = []
    for name, records in value.items():
        first = records[0] if isinstance(records, list) and records else None
        if isinstance(first, dict) and find_columns([*first]):
            found.append(name)
    return found


def read_columns(source: Source, value: Mapping[str, Any]) -> Iterator[Entry]:
    """Read an object of columns, each a list or an object by row, as pandas writes it."""
    rows = [column.values() if isinstance(column, dict) else column for column in value.values()]
    if len({len(column) for column in rows}) > 1:
        raise ValueError(f"{source.path}: its columns differ in length; write it again")
    records = (dict(zip(value, row, strict=True)) for row in zip(*rows, strict=True))
    return read_records(source, ((f"row {i}", record) for i, record in enumerate(records)))


def has_columns(value: Mapping[str, Any]) -> bool:
    """Say whether an object has columns with the names of images and captions."""
    found = find_columns([*value])
    return (
        found is not None
        and isinstance([*value.values()][found.image], list | dict)
        and all(isinstance(column, list | dict) for column in value.values())
    )


def read_mapping(source: Source, value: Mapping[str, Any]) -> Iterator[Entry]:
    """Read an object whose keys are names of images and whose values are captions."""
    for name, captions in value.items():
        split = captions.get("split") if isinstance(captions, dict) else None
        yield Entry(name, split=source.split(split, quote(name)))
        for caption in captions_of(source, quote(name), captions):
            yield Entry(name, caption)


def read_json_lines(source: Source, text: str) -> Iterator[Entry]:
    """Read JSON Lines: a record a line.

    Raises:
        ValueError: a line is not JSON, or a record is wrong; the message names the line.
    """
    return read_records(source, _lines(source, text))


def _lines(source: Source, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in numbered_lines(text):
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
