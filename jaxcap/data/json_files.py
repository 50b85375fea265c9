"""JSON files as data sets carry them: UTF-8 without a byte-order mark, one object at the top."""

import codecs
import json
from pathlib import Path
from typing import Any

# UTF-32 little endian begins with the mark of UTF-16, so that it counts as one.
_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        path: the file.

    Returns:
        The object as a dictionary.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, begins with a byte-order mark, is not JSON, or holds something
            other than an object; the message names the file and the place.
    """
    value = read_json_value(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a {type(value).__name__}, expected a JSON object {{...}}")
    return value


def read_json_value(path: Path) -> Any:
    """Read any JSON value.

    Args:
        path: the file.

    Returns:
        The value, in Python's types.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, begins with a byte-order mark, or is not JSON; the message
            names the file and the place.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            raise ValueError(
                f"{path}: begins with a byte-order mark of {encoding}; "
                "save it as UTF-8 without a byte-order mark"
            )
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: byte {error.start} is not UTF-8 (0x{raw[error.start]:02x}); save it as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}; the file may be cut short") from None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write one JSON object in ASCII, the same bytes for the same value."""
    path.write_bytes(json.dumps(value).encode("ascii") + b"\n")
