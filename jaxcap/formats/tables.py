"""Tables with a header: CSV, TSV and their like, in any order and words, by Python's csv."""

import ast
import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from jaxcap.files.text import plain, quote
from jaxcap.formats.columns import Columns, find_columns, has_urls_only
from jaxcap.formats.entries import MISSING, PICTURE_ENDING, Entry, Source, is_split
from jaxcap.formats.records import TO_DOWNLOAD, captions_of

_DELIMITERS = ("\t", ",", ";", "|")
# A caption with more line ends in quotation marks is taken for one without a closing mark.
_MOST_LINES = 20
_SUFFIX = re.compile(rf"{PICTURE_ENDING.pattern}\s*$", re.IGNORECASE)
_IMAGE_FIRST = re.compile(
    rf'\s*"?[^,;|\t"]*?{PICTURE_ENDING.pattern}"?\s*([,;|]|(?<=\s))', re.IGNORECASE
)
# `a.jpg#0` is the first caption of `a.jpg`; `7.0` is how pandas writes 7 in a column with a gap.
_NUMBER_BEHIND = re.compile(rf"({PICTURE_ENDING.pattern})#\d+$", re.IGNORECASE)
_INTEGER = re.compile(r"(0|-?[1-9]\d{0,14})\.0|(0|-?[1-9]\d*)")
_LOOKED_AT = 50


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
    return found and (found[1] or ("\t" if "\t" in found[0] else " "))


def _is_number(cell: str) -> bool:
    return cell.strip().isdigit()


def is_picture(name: str) -> bool:
    """Say whether a name has the ending of a picture."""
    return bool(_SUFFIX.search(name))


def name_columns(lines: Sequence[str], delimiter: str) -> list[str]:
    """Name the columns of rows without a header, each with an image and then a caption.

    A number of the caption may come before it, and a split behind it. Between tabs there may be
    several captions and numbers.
    """
    rows = [line.rstrip(delimiter).split(delimiter) for line in lines if line.strip()]
    longest = max(map(len, rows))
    numbered = all(len(row) > 2 and row[1].strip().isdigit() for row in rows)
    ends = [row[-1].strip().strip('"') for row in rows if len(row) > 2 + numbered]
    splits = sum(map(is_split, ends))
    # A comma may be one of a caption; then not every row ends with a split.
    least = len(ends) // 2 + 1 if delimiter == "\t" else len(rows)
    split = splits > 0 and splits + ends.count("") >= least
    names = ["image", "number", "caption"] if numbered else ["image", "caption"]
    # Another tab in a few rows does not make a column.
    if delimiter == "\t" and 2 * sum(len(row) > len(names) + split for row in rows) > len(rows):
        columns = zip_longest(*(row[1 : longest - split] for row in rows), fillvalue="0")
        names = ["image", *("number" if all(map(_is_number, c)) else "caption" for c in columns)]
    return [*names, "split"] if split else names


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
        delimiter = find_delimiter(lines[start]) or ","
        names = name_columns(lines[start:], delimiter)
    columns = find_columns(names)
    if columns is None:
        raise ValueError(f"{source.path}: {TO_DOWNLOAD}")
    between = {"\t": "tabs", " ": "spaces"}.get(delimiter, f"'{delimiter}'")
    source.detail = f"{columns.describe(names)}, between {between}"

    rows = [line.split(delimiter) for line in lines[start : start + _LOOKED_AT] if line.strip()]
    name = _form_of_names([row[columns.image] for row in rows if len(row) > columns.image])

    def is_row(cells: Sequence[str]) -> bool:
        return len(cells) >= len(names) and bool(name.search(cells[columns.image]))

    for number, cells in _records(source, lines, start, delimiter, is_row):
        where = f"line {number}"
        cells = _fit(source, cells, names, columns, delimiter, where)
        if cells is not None:
            yield from _entries(source, cells, columns, where)


def _form_of_names(cells: Sequence[str]) -> re.Pattern[str]:
    """Return what tells the name of an image from a part of a caption."""
    cells = [cell.strip().strip('"') for cell in cells]
    if any(map(_SUFFIX.search, cells)):
        return _SUFFIX
    return re.compile(r'^\s*"?\d+(\.0)?"?\s*$' if all(map(str.isdigit, cells)) else r"^\s*\S+\s*$")


def split_row(line: str, delimiter: str) -> list[str]:
    """Split a line into cells, without the quotation marks around them if these pair."""
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return line.split(delimiter)


def image_name(cell: str) -> str:
    """Return the name of an image in a cell, without the number of a caption."""
    name = _NUMBER_BEHIND.sub(r"\1", cell.strip())
    found = _INTEGER.fullmatch(name)
    return found[1] or name if found else name


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
        if record is None and '\\"' in lines[at]:
            # As databases escape a quotation mark.
            record = _strict([lines[at].replace('\\"', '""')], 0, delimiter, is_row)
        if record is None:
            source.tally.mend(
                "lines with a quotation mark without its partner, read as they stand",
                f"line {at + 1}",
            )
            record = 1, lines[at].split(delimiter)
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
        if len(part) < count or (count > 1 and is_row(part[-1].split(delimiter))):
            return None
        try:
            return count, next(csv.reader(part, delimiter=delimiter, strict=True))
        except csv.Error as error:
            if "unexpected end" not in str(error):
                return None
    return None


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
    if len(cells) <= columns.image or cells[columns.image].strip() in MISSING:
        source.tally.leave_out("rows without an image", where)
        return None
    if len(cells) <= min(columns.captions):
        source.tally.leave_out("rows without a caption", where)
        return None
    return cells


def _entries(source: Source, cells: Sequence[str], columns: Columns, where: str) -> Iterator[Entry]:
    image = image_name(cells[columns.image])

    def cell(place: int | None) -> str:
        return cells[place].strip() if place is not None and place < len(cells) else ""

    # A leading zero belongs to a name.
    found = _INTEGER.fullmatch(cell(columns.id))
    number = int(found[1] or found[2]) if found else source.id(cell(columns.id))
    yield Entry(image, None, source.split(cell(columns.split), where), number)
    for place in columns.captions:
        if place < len(cells):
            for caption in _captions(source, cells[place], where):
                yield Entry(image, caption)


def _captions(source: Source, cell: str, where: str) -> list[str]:
    """Return the captions of a cell, which may hold a list as JSON or as Python prints it."""
    if re.match(r"\s*\[['\"]", cell):
        if not re.search(r"['\"]\s*,\s*['\"]", cell):
            # NumPy prints no commas, and Python joins strings without one.
            cell = re.sub(r"(['\"])\s+(?=['\"])", r"\1, ", cell)
        for parse in (json.loads, ast.literal_eval):
            try:
                return captions_of(source, where, parse(cell))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                pass
    if found := re.fullmatch(r'\s+"((?:[^"]|"")*)"\s*', cell):
        # csv takes a quotation mark behind a space for a character.
        cell = found[1].replace('""', '"')
    if cell.strip() and cell.strip() in MISSING:
        source.tally.leave_out(f"captions that are {cell.strip()}, as for a missing value", where)
        return []
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
