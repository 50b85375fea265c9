"""The same picture under another name: another ending, case, folder, or kind of slash."""

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from jaxcap.formats.entries import PICTURE_ENDING

_NAMED = 5
# Flickr8k's token file has a name that ends in `.jpg.1`.
_ENDINGS = re.compile(rf"(?:{PICTURE_ENDING.pattern}|\.\d+)+$")


def normal(name: str) -> str:
    """Compose letters with marks (NFC), so that both encodings of a name are equal."""
    return unicodedata.normalize("NFC", name)


class NearNames:
    """Names by what is left of them without folder, ending and case.

    Args:
        names: the names.
    """

    def __init__(self, names: Iterable[str]):
        self._by_key: dict[str, list[str]] = {}
        for name in names:
            self._by_key.setdefault(_key(name), []).append(name)

    def find(self, name: str) -> list[str]:
        """List the names that are near one."""
        return self._by_key.get(_key(name), [])

    def list(self, names: Iterable[str], most: int = _NAMED) -> str:
        """List up to `most` names, each with the near one if there is any."""
        all_names = [*names]
        first = [f"{name}{self._near(name)}" for name in all_names[:most]]
        return ", ".join(first) + (", ..." if len(all_names) > most else "")

    def _near(self, name: str) -> str:
        near = self.find(name)
        more = f" and {len(near) - 1} more" if len(near) > 1 else ""
        return f" (there is {near[0]}{more})" if near else ""


def _key(name: str) -> str:
    # A name may be that of a URL.
    last = unquote(normal(name).partition("?")[0])
    last = last.replace("\\", "/").rpartition("/")[2].casefold()
    return _ENDINGS.sub("", re.sub(r"#\d+$", "", last)) or last
