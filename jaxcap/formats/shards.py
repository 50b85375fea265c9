"""Files that hold pictures beside their captions: Parquet, and tar shards of image-text samples.

The pictures are unpacked into the folder of images, where a second run finds them. Both need a
package: `pip install 'jaxcap[shards]'`.
"""

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from jaxcap.files.json import parse_json
from jaxcap.files.kinds import kind_of
from jaxcap.files.text import LARGEST_FILE, decode, list_names, one_line, unreadable
from jaxcap.files.whole import replacing, writing
from jaxcap.formats.columns import Columns, find_columns, has_urls_only
from jaxcap.formats.entries import PICTURE_ENDING, Entry, Source
from jaxcap.formats.records import TO_DOWNLOAD, captions_of

_T = TypeVar("_T")

_ROWS = 64
# What a picture in Parquet begins with; others are unpacked without an ending.
_ENDINGS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}
_TEXTS = ("txt", "caption", "text")
_FIELDS = ("caption", "captions", "text")


def read_parquet(source: Source, shards: list[Path]) -> Iterator[Entry]:
    """Read Parquet files with a column of pictures, as Hugging Face's datasets write them.

    The split is that in the name of a file, such as `validation-00000-of-00002.parquet`, or of its
    folder. Rows of a split with the same picture are one image.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        ValueError: a file has no pictures or no captions, or is broken.
        OSError: a file cannot be read, or a picture cannot be written.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise _lacks(source, "Parquet", "pyarrow") from None
    seen: dict[tuple[str | None, bytes], str] = {}
    for path in shards:
        split, row = _split_in(source, path), 0
        batches = _naming(path, "Parquet", _batches(path, parquet.ParquetFile), pa.ArrowException)
        for schema, records in batches:
            columns = _parquet_columns(path, schema)
            source.detail = columns.describe(schema.names)
            for record in records:
                yield from _row(source, path, row, list(record.values()), columns, split, seen)
                row += 1


def _batches(path: Path, open_parquet: Any) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    """Iterate over the schema and some rows."""
    with open_parquet(path) as file:
        for batch in file.iter_batches(_ROWS):
            yield file.schema_arrow, batch.to_pylist()


def _parquet_columns(path: Path, schema: Any) -> Columns:
    names = schema.names
    # A picture's column is named as such; `file_name` beside it is a name.
    columns = find_columns([name if name != "image" else "file_name" for name in names])
    if columns is None:
        if has_urls_only(names):
            raise ValueError(f"{path}: {TO_DOWNLOAD}")
        raise ValueError(
            f"{path}: has no column image or no column caption, only {list_names(names, 12)}; "
            "rename its columns"
        )
    # Bytes are of pictures, and Hugging Face's are structs with bytes.
    pictures = [i for i, field in enumerate(schema) if re.search(r"\bbinary\b", str(field.type))]
    if columns.image in pictures:
        return columns
    pictures = [i for i in pictures if i not in columns.captions]
    return columns._replace(image=next(iter(pictures), columns.image))


def _row(
    source: Source,
    path: Path,
    row: int,
    values: list[Any],
    columns: Columns,
    split: str | None,
    seen: dict[tuple[str | None, bytes], str],
) -> Iterator[Entry]:
    where = f"{path.name} row {row}"
    picture, name = values[columns.image], ""
    if isinstance(picture, dict):
        # Hugging Face's form; a path alone is that of a file elsewhere.
        picture, name = picture.get("bytes"), picture.get("path") or ""
    if isinstance(picture, str):
        name, picture = picture, None
    if isinstance(picture, bytes):
        ending = next((end for begin, end in _ENDINGS.items() if picture.startswith(begin)), "")
        key = split, hashlib.sha256(picture).digest()
        if key in seen:
            source.tally.mend("rows with the picture of an earlier row, joined to it", where)
        else:
            seen[key] = _unpack(source, path, f"{row:06}{ending}", picture)
        name = seen[key]
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

    Members are one sample if their names differ in what follows the last dot. The split is that in
    the name of a shard or of its folder.

    Raises:
        ModuleNotFoundError: webdataset is not installed.
        ValueError: a shard is compressed or broken.
        OSError: a shard cannot be read, or a picture cannot be written.
    """
    try:
        from webdataset.tariterators import group_by_keys, tar_file_expander
    except ImportError:
        raise _lacks(source, "tar", "webdataset") from None

    def leave_out(error: Exception) -> bool:
        name = one_line(error.args[0]).partition(": duplicate")[0]
        source.tally.leave_out("members of a name that its sample has already", name)
        return True

    for path in shards:
        files = tar_file_expander(_open_tar(path))
        samples = group_by_keys(files, keys=_key_and_suffix, handler=leave_out)
        keys = set()
        for sample in _naming(path, "tar", samples, tarfile.TarError, EOFError):
            key = sample["__key__"]
            if key in keys:
                what = "samples with the key of an earlier one, or apart from its picture"
                source.tally.leave_out(what, f"{path.name}: {key}")
            else:
                keys.add(key)
                yield from _sample(source, path, sample)


def _open_tar(path: Path) -> Iterator[dict[str, Any]]:
    """Open a shard, as webdataset takes it, and close it behind the last member."""
    with path.open("rb") as stream:
        head = stream.read(512)
        if (kind := kind_of(head)) and not head[257:].startswith(b"ustar"):
            raise ValueError(f"{path}: is {kind.name}; {kind.remedy}")
        stream.seek(0)
        yield {"url": path.name, "stream": stream}


def _sample(source: Source, path: Path, sample: dict[str, Any]) -> Iterator[Entry]:
    key = sample["__key__"]
    members = {name: data for name, data in sample.items() if not name.startswith("__")}
    where = f"{path.name}: {key}"
    ending = next((name for name in members if PICTURE_ENDING.fullmatch(f".{name}")), None)
    if ending is None:
        source.tally.leave_out("samples without a picture", where)
        return
    about = {}
    if "json" in members:
        try:
            about = parse_json(where, decode(f"{path}: {key}", members["json"]))
        except ValueError:
            source.tally.leave_out("JSON members that are not JSON", where)
    text: Any = [decode(f"{path}: {key}", members[name]) for name in _TEXTS if name in members]
    if not text and isinstance(about, dict):
        text = next((about[name] for name in _FIELDS if about.get(name)), None)
    source.detail = source.detail or f"{ending} beside " + list_names(set(members) - {ending}, 8)
    name = _unpack(source, path, f"{key}.{ending}", members[ending])
    yield Entry(name, split=_split_in(source, path))
    for caption in captions_of(source, where, text):
        yield Entry(name, caption)


def _key_and_suffix(name: str) -> tuple[str | None, str | None]:
    key, _, suffix = name.rpartition(".")
    if name.rpartition("/")[2].startswith("."):
        return None, None  # What macOS writes beside a file.
    return key.removeprefix("./"), suffix


def _unpack(source: Source, shard: Path, name: str, picture: bytes) -> str:
    """Write a picture below the folder of images, if there is one; returns its name there.

    The name begins with that of the shard, since shards may have pictures of the same name, and
    folders shards of the same name.

    Raises:
        ValueError: another picture has that name.
        OSError: the picture cannot be written.
    """
    folder = source.options.unpack_to
    name = f"{_below(source, shard).with_suffix('').as_posix()}/{name}"
    # A key may lead out of the folder.
    name = "/".join(part for part in name.split("/") if part.strip("."))
    if len(picture) > LARGEST_FILE:
        source.tally.leave_out("pictures above the limit", name)
        return name
    if folder is None:
        return name
    path = Path(folder, name)
    with writing(path, "free some space, or give another folder as `images`"):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as partial:
                partial.write_bytes(picture)
        elif path.stat().st_size != len(picture) or path.read_bytes() != picture:
            raise ValueError(
                f"{path}: is another picture than that of {shard}; give another folder as `images`"
            )
    return name


def _below(source: Source, shard: Path) -> Path:
    """Return the path of a shard below the folder that was given, or its name."""
    return Path(shard.name) if shard == source.path else shard.relative_to(source.path)


def _split_in(source: Source, shard: Path) -> str | None:
    """Find the split in the name of a shard, or of its folder."""
    below = _below(source, shard)
    for text in (below.name, below.parent.name):
        found = re.match(r"(train|validation|valid|val|test)(?![a-z])", text, re.IGNORECASE)
        if found:
            return source.split(found[1], "name")
    return None


def _naming(path: Path, kind: str, items: Iterable[_T], *errors: type[Exception]) -> Iterator[_T]:
    """Iterate over what a library reads from a file; its errors name the file and the remedy."""
    try:
        yield from items
    except (OSError, *errors) as error:
        if isinstance(error, OSError) and error.errno:
            raise unreadable(path, error) from error
        # webdataset adds the open file.
        cause = one_line(error.args[0] if error.args else error).partition(" @ <")[0]
        raise ValueError(f"{path}: cannot be read as {kind}: {cause}; copy it again") from None


def _lacks(source: Source, kind: str, package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(
        f"{source.path}: {kind} files need the package {package}: pip install 'jaxcap[shards]'"
    )
