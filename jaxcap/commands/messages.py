"""Messages of the library rewritten for a command line: arguments become flags.

The library also serves Python callers, so it names arguments in backticks, as in
`` `batch_size=32` ``.
"""

import re
from collections.abc import Mapping

_QUOTES = "'\""
_ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")


def in_flags(message: str, flags: Mapping[str, bool]) -> str:
    """Rewrite the arguments in a message as flags.

    `` `name` `` becomes `--name`, and `` `name=value` `` becomes `--name=value`. For a switch,
    `` `name=True` `` becomes `--name` and `` `name=False` `` becomes `--noname`. Names that are not
    flags are unchanged.

    Args:
        message: any text.
        flags: names of the flags of the command, and whether each is a switch.

    >>> in_flags("lower `batch_size` or give `resume=True`", {"batch_size": False, "resume": True})
    'lower --batch_size or give --resume'
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in flags:
            return match[0]
        if flags[name] and value in ("True", "False"):
            return f"--{name}" if value == "True" else f"--no{name}"
        return f"--{name}" if value is None else f"--{name}={value.strip(_QUOTES)}"

    return _ARGUMENT.sub(flag, message)
