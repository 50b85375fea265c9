"""Tables with a header: CSV, TSV and their like, in any order and words, by Python's csv."""

import ast
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxcap.files.text import plain, quote
from jaxcap.formats.columns import Columns, find_columns, has_urls_only
from jaxcap.formats.entries import PICTURE_ENDING, Entry, Source
from jaxcap.formats.records import TO_DOWNLOAD, captions_of

_DELIMITERS = ("\t", ",", ";", "|")
# A caption with more line ends in quotation marks is taken for one without a closing mark.
_MOST_LINES = 20
_SUFFIX = re.compile(rf"{PICTURE_ENDING.pattern}\s*$", re.IGNORECASE)
_IMAGE_FIRST = re.compile(rf"[^,;|\t]*?{PICTURE_ENDING.pattern}\s*([,;|]|(?<=\s))", re.IGNORECASE)


def find_header(line: str) -> tuple[str, list[str]] | None:
    """Find the delimiter of a line that names an image and a caption column, and its cells."""
    for delimiter in _DELIMITERS:
        # A header is short, and csv limits the length of a field.
        names = next(csv.reader([line[:1000]], delimiter=delimiter), [])
        if len(names) > 1 and (find_columns(names) or has_urls_only(names)):
            return delimiter, names
    return None


def find_delimiter(line: str) -> str | None:
    """Find the delimiter after the name of an image with which a line begins; None without one."""
    found = _IMAGE_FIRST.match(line)
    return (found[1] or " ") if found else None


def read_table(source: Source, text: str) -> Iterator[Entry]:
    """Read a table with a header, or with an image and a caption a row.

    A caption may hold the delimiter without quotation marks, if only one column holds captions. A
    quotation mark without its partner is read as the character it is, and counted.

    Raises:
        ValueError: a row cannot be read; the message names its line.
    """
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.strip())
    if found := find_header(lines[start]):
        delimiter, names = found
        start += 1
    else:
        delimiter, names = find_delimiter(lines[start]) or ",", ["image", "caption"]
    columns = find_columns(names)
    if columns is None:
        raise ValueError(f"{source.path}: {TO_DOWNLOAD}")
    between = {"\t": "tabs", " ": "spaces"}.get(delimiter, f"'{delimiter}'")
    source.detail = f"{columns.describe(names)}, between {between}"

    def is_row(cells: Sequence[str]) -> bool:
        return len(cells) >= len(names) and bool(_SUFFIX.search(cells[columns.image]))

    for number, cells in _records(source, lines, start, delimiter, is_row):
        where = f"line {number}"
        cells = _fit(source, cells, names, columns, delimiter, where)
        if cells is not None:
            yield from _entries(source, cells, columns, where)


def _records(
    source: Source,
    lines: list[str],
    at: int,
    delimiter: str,
    is_row: Callable[[Sequence[str]], bool],
) -> Iterator[tuple[int, list[str]]]:
    """Iterate over the number of each record's first line, and its cells."""
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        record = _strict(lines, at, delimiter, is_row)
        if record is None:
            source.tally.mend(
                "lines with a quotation mark without its partner, read as they stand",
                f"line {at + 1}",
            )
            record = 1, _cells(source, lines[at], at, delimiter)
        count, cells = record
        yield at + 1, cells
        at += count


def _strict(
    lines: list[str], at: int, delimiter: str, is_row: Callable[[Sequence[str]], bool]
) -> tuple[int, list[str]] | None:
    """Parse the record that begins at a line: its number of lines, and its cells.

    None if its quotation marks do not pair: csv says so, or a row would be a part of a caption.
    """
    for count in range(1, _MOST_LINES + 1):
        part = [line + "\n" for line in lines[at : at + count]]
        if len(part) < count or (count > 1 and is_row(_plain_cells(part[-1], delimiter))):
            return None
        try:
            return count, next(csv.reader(part, delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return None
    return None


def _plain_cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE), [])


def _cells(source: Source, line: str, at: int, delimiter: str) -> list[str]:
    try:
        return _plain_cells(line, delimiter)
    except csv.Error as error:
        raise ValueError(
            f"{source.path}: line {at + 1} is not CSV: {error}; look for a missing line end"
        ) from None


def _fit(
    source: Source,
    cells: list[str],
    names: Sequence[str],
    columns: Columns,
    delimiter: str,
    where: str,
) -> list[str] | None:
    """Bring a row to the length of the header; None if it is left out."""
    while len(cells) > len(names) and not cells[-1].strip():
        cells = cells[:-1]
    extra = len(cells) - len(names)
    if extra > 0 and len(columns.captions) == 1:
        # A caption that holds the delimiter without quotation marks.
        (place,) = columns.captions
        whole = delimiter.join(cells[place : place + extra + 1])
        cells = [*cells[:place], whole, *cells[place + extra + 1 :]]
    elif extra > 0:
        raise ValueError(
            f"{source.path}: {where} has {len(cells)} cells and the header {len(names)}; put "
            "captions with the delimiter into quotation marks"
        )
    if extra == -1 and columns.number is not None and columns.number < len(cells):
        # As in Flickr30k's results.csv, where one row lacks the delimiter after the number.
        split = re.fullmatch(r"\s*(\d+)\s+(\S.*?)\s*", cells[columns.number], re.DOTALL)
        if split:
            cells = [*cells[: columns.number], *split.groups(), *cells[columns.number + 1 :]]
            source.tally.mend("rows without a delimiter after the caption's number", where)
    if len(cells) <= columns.image or not cells[columns.image].strip():
        source.tally.leave_out("rows without an image", where)
        return None
    if len(cells) <= min(columns.captions):
        source.tally.leave_out("rows without a caption", where)
        return None
    return cells


def _entries(source: Source, cells: Sequence[str], columns: Columns, where: str) -> Iterator[Entry]:
    image = cells[columns.image].strip()

    def cell(place: int | None) -> str:
        return cells[place].strip() if place is not None and place < len(cells) else ""

    number: Any = cell(columns.id)
    # Digits as pandas writes them; a leading zero belongs to a name.
    if re.fullmatch(r"0|-?[1-9]\d*", number):
        number = int(number)
    yield Entry(image, None, source.split(cell(columns.split), where), number or None)
    for place in columns.captions:
        if place < len(cells):
            for caption in _captions(source, cells[place], where):
                yield Entry(image, caption)


def _captions(source: Source, cell: str, where: str) -> list[str]:
    """Return the captions of a cell, which may hold a list as JSON or as Python prints it."""
    if re.match(r"\s*\[['\"]", cell):
        for parse in (json.loads, ast.literal_eval):
            try:
                return captions_of(source, where, parse(cell))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                pass
    return [cell]


def check_first_cell(source: Source, image: str, rest: Sequence[str]) -> None:
    """Refuse a first line that looks like a header with unknown columns.

    Raises:
        ValueError: its first cell has no suffix of an image, and those of the other lines have.
    """
    if rest and not _SUFFIX.search(image) and all(map(_SUFFIX.search, rest)):
        raise ValueError(
            f"{source.path}: line 1 begins with {plain(quote(image))}, which is not an image as on "
            "the other lines; if it is a header, name its columns image and caption"
        )
