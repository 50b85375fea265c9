"""Caption files of every format, recognised by their content.

The guide lists the formats (`docs/guide.md`, Caption files). Text is UTF-8; a byte-order mark is
skipped.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.json import parse_json
from jaxcap.files.text import numbered_lines, quote, read_text
from jaxcap.formats.coco import COCO_FORM, KARPATHY_FORM, read_coco, read_karpathy
from jaxcap.formats.entries import CaptionFile, Entry, ReadOptions, Source, collect, is_split
from jaxcap.formats.lines import TOKEN, read_sentences, read_tabs, read_tokens
from jaxcap.formats.records import (
    LIST_FORM,
    MAPPING_FORM,
    find_lists,
    has_columns,
    is_json_lines,
    read_columns,
    read_json_lines,
    read_list,
    read_mapping,
)
from jaxcap.formats.shards import read_parquet, read_tar
from jaxcap.formats.tables import find_delimiter, find_header, read_table
from jaxcap.formats.texts import read_texts

_OF_JSON: Mapping[str, Callable[[Source, Any], Iterator[Entry]]] = {
    "coco": read_coco,
    "karpathy": read_karpathy,
    "list": read_list,
    "columns": read_columns,
    "mapping": read_mapping,
}
_OF_TEXT: Mapping[str, Callable[[Source, str], Iterator[Entry]]] = {
    "jsonl": read_json_lines,
    "table": read_table,
    "tsv": read_tabs,
    "flickr8k": read_tokens,
    "sentences": read_sentences,
}
_OF_SHARDS: Mapping[str, Callable[[Source, list[Path]], Iterator[Entry]]] = {
    "parquet": read_parquet,
    "tar": read_tar,
}

_METADATA = ("metadata.jsonl", "metadata.csv")
_TABLES = (".json", ".jsonl", ".csv", ".tsv")


def read_caption_file(path: AnyPath, options: ReadOptions | None = None) -> CaptionFile:
    """Read a caption file of any of the formats above.

    Args:
        path: the file, or a folder of Parquet or tar files or of splits.
        options: how to read it; None to recognise the format.

    Raises:
        FileNotFoundError: there is no such file.
        ModuleNotFoundError: the format needs a package that is not installed.
        ValueError: the file is not UTF-8 or of no known format, or an entry is wrong; the message
            names the file and the entry, and for JSON shows the expected form.
        OSError: the file cannot be read.
    """
    options = options or ReadOptions()
    source = Source(Path(path).expanduser(), options)
    if options.format not in (None, *FORMATS):
        raise ValueError(f"`format` is {options.format!r}, expected one of {', '.join(FORMATS)}")
    shards = _shards(source.path, options.format)
    if shards:
        name = options.format or shards[0].suffix[1:].lower()
        return collect(name, source, _OF_SHARDS[name](source, shards))
    if source.path.is_dir():
        inside = _metadata(source.path) or _files_of_splits(source.path)
        name = options.format or ("folder" if inside else "texts")
        read = _OF_FOLDER.get(name)
        if read is None:
            raise ValueError(f"{source.path}: is a folder, expected a file of the format {name}")
        return collect(name, source, read(source))
    name, entries = _recognise(source)
    return collect(name, source, entries)


def _recognise(source: Source) -> tuple[str, Iterable[Entry]]:
    path, name = source.path, source.options.format
    text = read_text(path, expected="one with captions")
    # Excel names the delimiter before the header; the line stays, for the numbers of the others.
    text = re.sub(
        r"\A\s*sep=.\n", "\n", text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    )
    if not text.strip():
        raise ValueError(f"{path}: is empty, expected captions; copy or download it again")
    if name is None and is_json_lines(text):
        name = "jsonl"
    if name in _OF_JSON or (name is None and text.lstrip()[0] in "{["):
        value = parse_json(path, text)
        found = name_of_json(value)
        if found is None:
            raise _no_captions(path, value)
        if name not in (None, found):
            raise ValueError(f"{path}: has the format {found}, not {name}; leave out `format`")
        return found, _OF_JSON[found](source, value)
    name = name or _name_of_text(source, text)
    first = next(numbered_lines(text))[1]
    if name == "table" and not (find_header(first) or find_delimiter(first)):
        raise _unknown(path, first)
    return name, _OF_TEXT[name](source, text)


def name_of_json(value: Any) -> str | None:
    """Name the format of a JSON value; None if it has none of them."""
    if isinstance(value, list):
        return "list"
    if not isinstance(value, dict):
        return None
    images = value.get("images")
    if isinstance(images, list):
        by_sentence = any(isinstance(i, dict) and "sentences" in i for i in images)
        if by_sentence and "annotations" not in value:
            return "karpathy"
        return "list" if find_lists({"images": images}) else "coco"
    if has_columns(value):
        return "columns"
    if find_lists(value):
        return "list"
    if "annotations" not in value and any(map(_captions_of_one, value.values())):
        return "mapping"
    return None


def _captions_of_one(value: Any) -> bool:
    if isinstance(value, dict):
        return "caption" in value
    return bool(value) and isinstance(value[0] if isinstance(value, list) else value, str)


def _no_captions(path: Path, value: Any) -> ValueError:
    found = quote(sorted(value)) if isinstance(value, dict) else type(value).__name__
    return ValueError(
        f"{path}: has no list 'images' (found {found}); expected COCO's form {COCO_FORM}, "
        f"Karpathy's {KARPATHY_FORM}, a list {LIST_FORM} or an object {MAPPING_FORM}"
    )


def _name_of_text(source: Source, text: str) -> str:
    first = next(numbered_lines(text))[1]
    if source.options.image_list is not None:
        return "sentences"
    if find_header(first):
        return "table"
    if TOKEN.fullmatch(first):
        return "flickr8k"
    if "\t" in first:
        return "tsv"
    if find_delimiter(first):
        return "table"
    raise _unknown(source.path, first)


def _unknown(path: Path, first: str) -> ValueError:
    return ValueError(
        f"{path}: has no known format: its first line is {quote(first)}; expected JSON, "
        "'image.jpg#0<TAB>caption', 'image.jpg<TAB>caption', a header that names the columns, such "
        "as 'image,caption', or a caption a line with `image_list`"
    )


def _shards(path: Path, format: str | None) -> list[Path]:
    """List the Parquet or tar files that a path names; none if it is something else."""
    kinds = [format] if format in _OF_SHARDS else [*_OF_SHARDS] if format is None else []
    if path.is_file():
        return [path] if format in _OF_SHARDS or path.suffix[1:].lower() in kinds else []
    for kind in kinds:
        if path.is_dir() and (found := sorted(path.rglob(f"[!.]*.{kind}"))):
            return found
    return []


def _metadata(path: Path) -> list[Path]:
    folders = (path, *sorted(inner for inner in path.iterdir() if inner.is_dir()))
    found = [[folder / name for name in _METADATA] for folder in folders]
    return [next(filter(Path.is_file, files)) for files in found if any(map(Path.is_file, files))]


def _files_of_splits(path: Path) -> list[Path]:
    """List the files that have the captions of a split each, as COCO's; none with one only."""
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in _TABLES]
    files = [file for file in files if _split_in(file.stem)]
    # COCO has those of instances beside them.
    files = [file for file in files if "caption" in file.name.lower()] or files
    return files if len({_split_in(file.stem) for file in files}) > 1 else []


def _split_in(stem: str) -> str | None:
    return next(filter(is_split, reversed(re.split(r"[_\-.\s]", stem))), None)


def _folder(source: Source) -> Iterator[Entry]:
    """Read the `metadata` files in a folder and its subfolders, or files with names of splits."""
    for file in _metadata(source.path) or _files_of_splits(source.path):
        options = ReadOptions(keep_rejected=source.options.keep_rejected)
        inner = Source(file, options, source.tally)
        _, entries = _recognise(inner)
        prefix = file.parent.relative_to(source.path).as_posix()
        name = prefix if file.name in _METADATA else _split_in(file.stem)
        split = inner.split(name, "its name") if name and is_split(name) else None
        for entry in entries:
            name = entry.image if prefix == "." else f"{prefix}/{entry.image}"
            yield entry._replace(image=name, split=entry.split or split)
        place = file.relative_to(source.path).as_posix()
        found = f"{place} ({inner.detail})" if inner.detail else place
        source.detail = f"{source.detail}, {found}" if source.detail else found


_OF_FOLDER: Mapping[str, Callable[[Source], Iterator[Entry]]] = {
    "folder": _folder,
    "texts": read_texts,
}
FORMATS = (*_OF_JSON, *_OF_TEXT, *_OF_SHARDS, *_OF_FOLDER)
"""Names of the formats."""
