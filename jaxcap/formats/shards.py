"""Files that hold pictures beside their captions: Parquet, and tar shards of image-text samples.

The pictures are unpacked into the folder of images, where a second run finds them. Both need a
package: `pip install 'jaxcap[shards]'`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxcap.files.text import LARGEST_FILE, decode, list_names, one_line
from jaxcap.formats.columns import Columns, find_columns, has_urls_only
from jaxcap.formats.entries import Entry, Source
from jaxcap.formats.records import TO_DOWNLOAD, captions_of

_ROWS = 64
# What a picture begins with; others keep the suffix that they have.
_SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}
_PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "heic", "avif", "tif", "tiff"})
_TEXTS = ("txt", "caption", "text")
_FIELDS = ("caption", "captions", "text")


def read_parquet(source: Source, shards: list[Path]) -> Iterator[Entry]:
    """Read Parquet files with a column of pictures, as Hugging Face's datasets write them.

    The split is that in the name of a file, such as `validation-00000-of-00002.parquet`.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: a file has no pictures or no captions, or is broken.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise _lacks(source, "Parquet", "pyarrow") from None
    for path in shards:
        split = _split_in(path)
        try:
            with parquet.ParquetFile(path) as file:
                schema = file.schema_arrow
                columns = _parquet_columns(path, schema.names)
                source.detail = columns.describe(schema.names)
                row = 0
                for batch in file.iter_batches(_ROWS):
                    for record in batch.to_pylist():
                        yield from _row(source, path, row, list(record.values()), columns, split)
                        row += 1
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{path}: cannot be read as Parquet: {one_line(error)}; copy it again"
            ) from None


def _parquet_columns(path: Path, names: list[str]) -> Columns:
    # A picture's column is named as such; `file_name` beside it is a name.
    columns = find_columns([name if name != "image" else "file_name" for name in names])
    if columns is None:
        if has_urls_only(names):
            raise ValueError(f"{path}: {TO_DOWNLOAD}")
        raise ValueError(
            f"{path}: has no column image or no column caption, only {list_names(names, 12)}; "
            "rename its columns"
        )
    return columns


def _row(
    source: Source, path: Path, row: int, values: list[Any], columns: Columns, split: str | None
) -> Iterator[Entry]:
    where = f"{path.name} row {row}"
    picture, name = values[columns.image], ""
    if isinstance(picture, dict):
        # Hugging Face's form; a path alone is that of a file elsewhere.
        picture, name = picture.get("bytes"), picture.get("path") or ""
    if isinstance(picture, str):
        name, picture = picture, None
    if isinstance(picture, bytes):
        name = _unpack(source, f"{path.stem}/{row:06}", picture)
    elif not name:
        source.tally.leave_out("rows without a picture", where)
        return
    if columns.split is not None:
        split = source.split(values[columns.split], where) or split
    number = None if columns.id is None else source.id(values[columns.id])
    yield Entry(name, None, split, number)
    for place in columns.captions:
        for caption in captions_of(source, where, values[place]):
            yield Entry(name, caption)


def read_tar(source: Source, shards: list[Path]) -> Iterator[Entry]:
    """Read tar shards as webdataset and img2dataset write them: `1.jpg` beside `1.txt` or `1.json`.

    Members are one sample if their names differ in what follows the last dot.

    Raises:
        ModuleNotFoundError: webdataset is not installed.
        ValueError: a shard is compressed or broken.
    """
    try:
        from webdataset.tariterators import group_by_keys, tar_file_expander
    except ImportError:
        raise _lacks(source, "tar", "webdataset") from None
    for path in shards:
        with path.open("rb") as stream:
            if stream.read(2) == b"\x1f\x8b":
                raise ValueError(f"{path}: is compressed; unpack it with gunzip")
            stream.seek(0)
            try:
                files = tar_file_expander([{"url": path.name, "stream": stream}])
                for sample in group_by_keys(files, keys=_key_and_suffix):
                    yield from _sample(source, path, sample)
            except (OSError, EOFError, _tar_error()) as error:
                raise ValueError(
                    f"{path}: cannot be read as tar: {one_line(error.args[0])}; copy it again"
                ) from None


def _sample(source: Source, path: Path, sample: dict[str, Any]) -> Iterator[Entry]:
    key = sample["__key__"]
    where = f"{path.name}: {key}"
    suffix = next((name for name in sample if name in _PICTURES), None)
    if suffix is None:
        source.tally.leave_out("samples without a picture", where)
        return
    about = {}
    if "json" in sample:
        try:
            about = json.loads(decode(where, sample["json"]))
        except (ValueError, RecursionError):
            source.tally.leave_out("JSON members that are not JSON", where)
    text = next((decode(where, sample[name]) for name in _TEXTS if name in sample), None)
    if text is None and isinstance(about, dict):
        text = next((about[name] for name in _FIELDS if about.get(name)), None)
    source.detail = source.detail or f"{suffix} beside " + list_names(set(sample) - {suffix}, 8)
    name = _unpack(source, f"{path.stem}/{key}", sample[suffix], suffix)
    yield Entry(name)
    for caption in captions_of(source, where, text):
        yield Entry(name, caption)


def _unpack(source: Source, name: str, picture: bytes, suffix: str = "") -> str:
    """Write a picture below the folder of images if it is not there; returns its name there."""
    folder = source.options.unpack_to
    if folder is None:
        raise ValueError(f"{source.path}: holds pictures; give `images`, a folder to unpack into")
    # A key may lead out of the folder.
    name = "/".join(part for part in name.split("/") if part.strip(".")).lstrip("/")
    found = next((end for begin, end in _SUFFIXES.items() if picture.startswith(begin)), "")
    name += f".{suffix}" if suffix else found
    if len(picture) > LARGEST_FILE:
        source.tally.leave_out("pictures above the limit", name)
        return name
    path = Path(folder, name)
    if not path.is_file() or path.stat().st_size != len(picture):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    return name


def _key_and_suffix(name: str) -> tuple[str, str]:
    key, _, suffix = name.rpartition(".")
    return key.removeprefix("./"), suffix


def _split_in(path: Path) -> str | None:
    """Find the split in the name of a file, or of its folder."""
    for text in (path.name, path.parent.name):
        found = re.match(r"(train|validation|valid|val|test)(?![a-z])", text, re.IGNORECASE)
        if found:
            return Source(path).split(found[1], "name")
    return None


def _tar_error() -> type[Exception]:
    import tarfile

    return tarfile.TarError


def _lacks(source: Source, kind: str, package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{source.path}: {kind} files need the package {package}: pip install 'jaxcap[shards]'"
    )
