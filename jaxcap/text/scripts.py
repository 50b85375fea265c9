"""Scripts written without spaces between words, such as those of Chinese, Japanese and Thai."""

import re
from collections.abc import Iterable

# Han with its radicals and compatibility forms, the kana, and Bopomofo.
_EAST_ASIAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
)
# Thai, Lao, Tibetan, Myanmar, Khmer.
_SOUTH_EAST_ASIAN = "\u0e01-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"
_SPACELESS = re.compile(f"[{_EAST_ASIAN}{_SOUTH_EAST_ASIAN}]")
_RUNS = (
    # Words are seldom longer on average: a letter is a syllable or more, or part of one.
    (re.compile(f"[{_EAST_ASIAN}]+"), 3.5),
    (re.compile(f"[{_SOUTH_EAST_ASIAN}]+"), 9.0),
)


def is_spaceless(text: str) -> bool:
    """Say whether a text has a character of a script that is written without spaces."""
    return _SPACELESS.search(text) is not None


def lack_spaces(captions: Iterable[str]) -> bool:
    """Say whether captions are mostly of such scripts, without spaces between their words.

    Captions whose words somebody has separated by spaces have short runs of characters.
    """
    captions = list(captions)
    written = [text for text in captions if _share(text) > 0.5]
    if 2 * len(written) <= len(captions):
        return False
    # A caption that is one word to its reader is rare, and one that is one word by its spaces is
    # not split.
    if sum(len(text.split()) for text in written) < 2 * len(written):
        return True
    for pattern, most in _RUNS:
        runs = [run for text in written for run in pattern.findall(text)]
        if runs and sum(map(len, runs)) / len(runs) > most:
            return True
    return False


def _share(text: str) -> float:
    """Give the share of such characters among the letters and marks of a text."""
    if text.isascii() or not is_spaceless(text):
        return 0.0
    spaceless = len(_SPACELESS.findall(text))
    letters = sum(character.isalpha() for character in _SPACELESS.sub("", text))
    return spaceless / (spaceless + letters)
