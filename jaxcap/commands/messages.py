"""Messages of the library as the user of a command reads them: arguments become flags.

The library names an argument in backticks, as in `` `batch_size=32` ``, since it is called from
Python too.
"""

import re
from collections.abc import Mapping

_QUOTES = "'\""
_ARGUMENT = re.compile(r"`([a-z][a-z0-9_]*)(?:=([^`]*))?`")


def in_flags(message: str, flags: Mapping[str, bool]) -> str:
    """Write the arguments that a message names as flags.

    `` `name` `` becomes `--name`, `` `name=value` `` `--name=value`, and of a switch
    `` `name=True` `` `--name` and `` `name=False` `` `--noname`. Names of no flag stay.

    Args:
        message: any text.
        flags: the flags of the command by name, and whether each is a switch.
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in flags:
            return match[0]
        if flags[name] and value in ("True", "False"):
            return f"--{name}" if value == "True" else f"--no{name}"
        return f"--{name}" if value is None else f"--{name}={value.strip(_QUOTES)}"

    return _ARGUMENT.sub(flag, message)
