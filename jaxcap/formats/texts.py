"""Folders with a text file beside each picture, or in folders of the same names."""

from collections.abc import Iterator

from jaxcap.files.text import read_text
from jaxcap.formats.entries import Entry, Source

_ENDINGS = (".txt", ".caption")


def read_texts(source: Source) -> Iterator[Entry]:
    """Read the captions of `a/b.jpg` from `a/b.txt` or `a/b.caption`, one a line.

    Raises:
        ValueError: the folder has no such file, or one is not UTF-8.
    """
    files = sorted(
        path
        for path in source.path.rglob("*")
        if path.suffix.lower() in _ENDINGS and path.is_file() and not path.name.startswith(".")
    )
    if not files:
        raise ValueError(
            f"{source.path}: is a folder without captions: it has no Parquet files, no tar files, "
            "no metadata.jsonl or metadata.csv, and no .txt beside a picture"
        )
    for path in files:
        # The picture's ending is not known.
        name = path.relative_to(source.path).with_suffix("").as_posix()
        yield Entry(name)
        for line in read_text(path).split("\n"):
            if line.strip():
                yield Entry(name, line)
