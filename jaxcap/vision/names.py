"""Names that stand in files, for messages."""

import reprlib
from collections.abc import Iterable

_QUOTED = reprlib.Repr()
_QUOTED.maxstring = 80


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
