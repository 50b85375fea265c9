"""Folders with a text file beside each picture, or in folders of the same names."""

from collections.abc import Iterator

from jaxcap.files.text import read_text
from jaxcap.formats.entries import Entry, Source
from jaxcap.formats.tables import is_picture

_ENDINGS = (".txt", ".caption")


def read_texts(source: Source) -> Iterator[Entry]:
    """Read the captions of `a/b.jpg` from `a/b.txt` or `a/b.caption`, one a line.

    Raises:
        ValueError: the folder has no such file, or one is not UTF-8.
    """
    inside = [path for path in source.path.rglob("*") if not path.name.startswith(".")]
    files = sorted(path for path in inside if path.suffix.lower() in _ENDINGS and path.is_file())
    pictures = [path for path in inside if is_picture(path.name)]
    named = {*pictures, *(path.with_suffix("") for path in pictures)}
    if not files:
        raise ValueError(
            f"{source.path}: is a folder without captions: it has no Parquet files, no tar files, "
            "no metadata.jsonl or metadata.csv, no .txt beside a picture, and no train.json and "
            "val.json or the like; give a file"
        )
    for path in files:
        if named and path.with_suffix("") not in named:
            source.tally.leave_out("text files without a picture beside them", path.name)
            continue
        # The picture's ending is not known.
        name = path.relative_to(source.path).with_suffix("").as_posix()
        yield Entry(name)
        for line in read_text(path).split("\n"):
            if line.strip():
                yield Entry(name, line)
