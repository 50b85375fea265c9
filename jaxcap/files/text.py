"""Small files, read whole, and their contents quoted in messages, both within limits."""

import errno
import os
import reprlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.kinds import kind_of

LARGEST_FILE = 1 << 30
"""Most bytes of a text, JSON or image file."""

LONGEST_CAPTION = 5_000
"""Most characters of a caption; splitting it takes time in their square."""

_PERMISSION = "check its permissions and those of its folder"
_DISK = "check the disk or the network drive, or read a copy from elsewhere"
_REMEDIES = {
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    **dict.fromkeys((errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO), _DISK),
    errno.EAGAIN: "another program has locked it: wait for that program to end, or close it",
    errno.EMFILE: "too many files are open: raise the limit with ulimit -n",
    errno.ENAMETOOLONG: "shorten the name",
}

_HEAD = 512
_LONGEST_QUOTE = 200
_QUOTED = reprlib.Repr()
_QUOTED.maxlevel = 3
_QUOTED.maxstring = _QUOTED.maxother = _QUOTED.maxlong = 80
_QUOTED.maxdict = _QUOTED.maxlist = 12


def check_file(path: AnyPath, *, expected: str = "") -> Path:
    """Check that a path is a regular file, before it is opened.

    Args:
        path: the file.
        expected: what the file should be, for messages, such as "one with captions".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, a pipe or the like.
        OSError: the system does not let it be looked at.
    """
    path = Path(path)
    remedy = f", expected {expected}" if expected else ""
    try:
        exists = path.exists()
    except OSError as error:
        raise unreadable(path, error) from error
    if not exists:
        raise FileNotFoundError(f"{path}: no such file{remedy}")
    # Opening a pipe could wait for ever.
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise ValueError(f"{path}: is {kind}{remedy or '; give the path of a file'}")
    return path


def read_file(path: AnyPath, *, expected: str = "") -> bytes:
    """Read a whole file.

    Args:
        path: the file.
        expected: what it should be, as for `check_file`.

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
                    f"{path}: has {size:,} bytes, more than the limit of {LARGEST_FILE:,}; "
                    "make it smaller"
                )
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: AnyPath, error: OSError) -> OSError:
    """Make the error for a file that the system does not give, with advice by the cause."""
    remedy = _REMEDIES.get(error.errno or 0, "look into that and try again")
    return OSError(f"{path}: cannot be read: {error.strerror or one_line(error)}; {remedy}")


def read_text(path: AnyPath, *, expected: str = "") -> str:
    """Read a whole text file; a byte-order mark of UTF-8 is skipped.

    Args:
        path: the file.
        expected: what it should be, as for `check_file`.

    Raises:
        ValueError: as `read_file`, or the file is of another kind than text, or not UTF-8; the
            message names the kind or the line.
        OSError: as `read_file`.
    """
    return decode(path, read_file(path, expected=expected), "utf-8-sig")


def decode(path: AnyPath, raw: bytes, encoding: str = "utf-8") -> str:
    """Decode the bytes of a text file.

    Args:
        path: the file, for messages.
        raw: its bytes.
        encoding: a name of UTF-8 in Python.

    Raises:
        ValueError: the file is of another kind, such as gzip or a web page, or not UTF-8; the
            message names the kind or the line.
    """
    if kind := kind_of(raw):
        raise ValueError(f"{path}: is {kind.name}; {kind.remedy}")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        # The codec that skips a mark counts from after it.
        start = error.start + len(raw) - len(error.object)
        line = raw[:start].count(b"\n") + 1
        if b"\0" in raw[:_HEAD]:
            raise ValueError(
                f"{path}: is a binary file of an unknown kind: it begins with {raw[:12]!r}; give "
                "a text file in UTF-8"
            ) from None
        raise ValueError(
            f"{path}: line {line} is not UTF-8 (byte 0x{raw[start]:02x}); save it as UTF-8"
        ) from None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Iterate over the lines that are not blank, with their numbers from 1."""
    # Not splitlines, which also breaks at characters that a caption may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line.strip():
            yield number, line


def quote(value: Any) -> str:
    """Show a value in a message, shortened if it is large or deeply nested."""
    text = _QUOTED.repr(value)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def plain(text: str, most: int = 80) -> str:
    """Show a name in a message: unchanged if printable and short, otherwise quoted."""
    return text if text.isprintable() and len(text) <= most else quote(text)


def list_names(names: Iterable[str], most: int) -> str:
    """List up to `most` of the names in a file, sorted, on one line, or "nothing"."""
    found = sorted(names)
    return ", ".join(map(plain, found[:most])) + (", ..." if found[most:] else "") or "nothing"


def one_line(error: object) -> str:
    """Write an error or any other object on one line."""
    return " ".join(str(error).split())


def too_long(caption: str, where: str) -> ValueError:
    """Make the error for a caption of more than `LONGEST_CAPTION` characters."""
    return ValueError(
        f"{where} has a caption of {len(caption):,} characters, expected at most "
        f"{LONGEST_CAPTION:,}: {quote(caption)}; look for a missing line end or quotation mark"
    )
