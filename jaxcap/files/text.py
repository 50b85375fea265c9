"""Small files read whole, and what is found in them quoted in messages, both within bounds."""

import os
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

LARGEST_FILE = 1 << 30
"""Bytes of the largest caption, vocabulary or result file that is read."""

LONGEST_CAPTION = 5_000
"""Characters of the longest caption that is read, since splitting it takes their square in time."""

_LONGEST_QUOTE = 200
_QUOTED = reprlib.Repr()
_QUOTED.maxlevel = 3
_QUOTED.maxstring = _QUOTED.maxother = _QUOTED.maxlong = 80
_QUOTED.maxdict = _QUOTED.maxlist = 12


def read_file(path: Path, *, expected: str = "") -> bytes:
    """Read a file whole.

    Args:
        path: the file.
        expected: what messages say that it should have been, such as "one with captions".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, a pipe or the like, or larger than `LARGEST_FILE`.
        OSError: it cannot be read.
    """
    remedy = f", expected {expected}" if expected else ""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file{remedy}")
    # A pipe would be waited for, perhaps for ever.
    if not path.is_file():
        raise ValueError(f"{path}: is not a file{remedy or '; give the path of a file'}")
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE:
                raise ValueError(
                    f"{path}: has {size:,} bytes, more than the {LARGEST_FILE:,} that are read; "
                    "take a part of it"
                )
            return file.read()
    except OSError as error:
        raise OSError(f"{path}: cannot be read: {error.strerror}; see its permissions") from error


def quote(value: Any) -> str:
    """Spell a value for a message, however large or deeply nested it is."""
    text = _QUOTED.repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def list_names(names: Iterable[str], most: int) -> str:
    """The first of the names in a file, sorted, on one line, or "nothing".

    A name may hold anything, line breaks too, and be of any length.
    """

    def spell(name: str) -> str:
        plain = name.isprintable() and len(name) <= _QUOTED.maxstring
        return name if plain else _QUOTED.repr(name)

    found = sorted(names)
    listed = ", ".join(map(spell, found[:most])) + (", ..." if found[most:] else "")
    return listed or "nothing"


def too_long(caption: str, where: str) -> ValueError:
    """The error of a caption of more than `LONGEST_CAPTION` characters; it begins with `where`."""
    return ValueError(
        f"{where} has a caption of {len(caption):,} characters, expected at most "
        f"{LONGEST_CAPTION:,}: {quote(caption)}; does a line end or a quotation mark lack?"
    )
