"""JSON files of data sets: UTF-8 without a byte-order mark, one object at the top."""

import codecs
import json
import re
import sys
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.text import decode, read_file

# UTF-32 little endian begins with the mark of UTF-16 and is reported as UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}

_HALF = re.compile(r"\\u[dD][89a-fA-F]")

# What may be left behind the place of an error in a text that is cut: of a number, of an escape.
_CUT = re.compile(r"\.|[eE][+-]?|u[\da-fA-F]{0,4}")
_LITERALS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")

DEEPEST = 100
"""Most levels of nested JSON; code that walks through it may need many calls a level."""


def read_json(path: AnyPath) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        path: the file.

    Returns:
        The object as a dictionary.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `read_json_value`, or it holds something other than an object.
    """
    value = read_json_value(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path}: holds a {type(value).__name__}, expected a JSON object {{...}}")
    return value


def read_json_value(path: AnyPath) -> Any:
    """Read any JSON value.

    Args:
        path: the file.

    Returns:
        The value, in Python's types.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, begins with a byte-order mark, is not JSON or too large, or
            holds half a character; the message names the file and the place.
        OSError: it cannot be read.
    """
    raw = read_file(path)
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            raise ValueError(
                f"{path}: begins with a byte-order mark of {encoding}; "
                "save it as UTF-8 without a byte-order mark"
            )
    return parse_json(path, decode(path, raw))


def parse_json(path: AnyPath, text: str) -> Any:
    """Parse JSON of at most `DEEPEST` levels.

    Args:
        path: the file, for messages.
        text: all of its text.

    Returns:
        The value, in Python's types.

    Raises:
        ValueError: it is not JSON, nested too deeply, or holds a number of thousands of digits or
            half a character.
    """
    too_deep = f"{path}: nested in more than {DEEPEST} levels; write it with fewer"
    try:
        value = json.loads(text)
        # An escape may be half of a surrogate pair, which no file or terminal accepts.
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(too_deep) from None
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(
            f"{path}: holds {half} without its other half, which is not a character; "
            "write the file again"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON: {_explain(text, error)}") from None
    except ValueError:
        digits = sys.get_int_max_str_digits()
        raise ValueError(
            f"{path}: holds a number of more than {digits} digits; write it with fewer"
        ) from None
    if _is_deeper(value, DEEPEST):
        raise ValueError(too_deep)
    return value


def _explain(text: str, error: json.JSONDecodeError) -> str:
    """Say in what way a text is not JSON, and what to do."""
    rest = text[error.pos :].strip()
    if not text.strip():
        return "it is empty; copy or download it again"
    if error.msg == "Extra data":
        first = text.lstrip().partition("\n")[0]
        if first.startswith(("{", "[")) and _is_json(first):
            return (
                "it is JSON Lines, one value on each line; give one value, such as a list of them"
            )
        return f"{error}, behind a whole value; give one value, such as a list of them"
    ended = error.msg.startswith("Unterminated string") or _CUT.fullmatch(rest)
    if ended or any(word.startswith(rest) for word in _LITERALS):
        return f"{error}, where it ends; it is cut short: copy or download it again"
    if rest.startswith("'"):
        return f"{error}, a single quotation mark; write it with Python's json.dump"
    return f"{error}; mend it there"


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_deeper(value: Any, levels: int) -> bool:
    """Say whether containers are nested in more than `levels` levels."""
    inner = [value] if isinstance(value, dict | list) else []
    while inner and levels > 0:
        levels -= 1
        inner = [
            item
            for outer in inner
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, dict | list)
        ]
    return bool(inner)


def write_json(path: AnyPath, value: dict[str, Any]) -> None:
    """Write one JSON object in ASCII, the same bytes for the same value."""
    Path(path).write_bytes(json.dumps(value).encode("ascii") + b"\n")
