"""Small files read whole, and what is found in them quoted in messages, both within bounds."""

import os
import reprlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath

LARGEST_FILE = 1 << 30
"""Bytes of the largest text, JSON or image file that is read."""

LONGEST_CAPTION = 5_000
"""Characters of the longest caption that is read, since splitting it takes their square in time."""

_LONGEST_QUOTE = 200
_QUOTED = reprlib.Repr()
_QUOTED.maxlevel = 3
_QUOTED.maxstring = _QUOTED.maxother = _QUOTED.maxlong = 80
_QUOTED.maxdict = _QUOTED.maxlist = 12


def check_file(path: AnyPath, *, expected: str = "") -> Path:
    """Find a file before it is opened.

    Args:
        path: the file.
        expected: what messages say that it should have been, such as "one with captions".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, a pipe or the like.
    """
    path = Path(path)
    remedy = f", expected {expected}" if expected else ""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file{remedy}")
    # A pipe would be waited for, perhaps for ever.
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise ValueError(f"{path}: is {kind}{remedy or '; give the path of a file'}")
    return path


def read_file(path: AnyPath, *, expected: str = "") -> bytes:
    """Read a file whole.

    Args:
        path, expected: as `check_file` takes them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, a pipe or the like, or larger than `LARGEST_FILE`.
        OSError: it cannot be read.
    """
    path = check_file(path, expected=expected)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST_FILE:
                raise ValueError(
                    f"{path}: has {size:,} bytes, more than the {LARGEST_FILE:,} that are read; "
                    "make it smaller"
                )
            return file.read()
    except OSError as error:
        raise OSError(f"{path}: cannot be read: {error.strerror}; see its permissions") from error


def read_text(path: AnyPath, *, expected: str = "") -> str:
    """Read a text file whole; a byte-order mark of UTF-8 is passed over.

    Args:
        path, expected: as `check_file` takes them.

    Raises:
        ValueError: as `read_file`, or it is not UTF-8; the message names the line.
        OSError: as `read_file`.
    """
    return decode(path, read_file(path, expected=expected), "utf-8-sig")


def decode(path: AnyPath, raw: bytes, encoding: str = "utf-8") -> str:
    """Decode what a file holds; a ValueError names the file and the line that is not UTF-8."""
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        # The codec that passes over a mark counts from behind it.
        start = error.start + len(raw) - len(error.object)
        line = raw[:start].count(b"\n") + 1
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte 0x{raw[start]:02x}); save it as UTF-8"
        ) from None


def quote(value: Any) -> str:
    """Spell a value for a message, however large or deeply nested it is."""
    text = _QUOTED.repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def plain(text: str, most: int = 80) -> str:
    """Spell a name for a message: as it stands if printable and short, else quoted."""
    return text if text.isprintable() and len(text) <= most else quote(text)


def list_names(names: Iterable[str], most: int) -> str:
    """Name the first of the names in a file, sorted, on one line, or "nothing"."""
    found = sorted(names)
    return ", ".join(map(plain, found[:most])) + (", ..." if found[most:] else "") or "nothing"


def one_line(error: object) -> str:
    """Spell an error, or what else there is to say, on one line."""
    return " ".join(str(error).split())


def too_long(caption: str, where: str) -> ValueError:
    """Make the error of a caption of more than `LONGEST_CAPTION` characters."""
    return ValueError(
        f"{where} has a caption of {len(caption):,} characters, expected at most "
        f"{LONGEST_CAPTION:,}: {quote(caption)}; does a line end or a quotation mark lack?"
    )
