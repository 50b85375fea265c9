"""How captions become words when they are scored."""

import re
import warnings
from collections.abc import Callable, Iterable

from jaxcap.text.scripts import lack_spaces
from jaxcap.text.tokenizer import tokenize
from jaxcap.text.words import TOKENIZERS, split_words

_UNKNOWN = re.compile("(<unk>)", re.IGNORECASE)


def word_splitter(tokenizer: str) -> Callable[[str], list[str]]:
    """Make a function that splits captions into words.

    Args:
        tokenizer: "ptb", the reference scorer's; "space", at white space alone; or "character", as
            the reference scorer splits captions with a space between every two characters. `<UNK>`
            is one word.

    Raises:
        ValueError: there is no such tokenizer.
    """
    if tokenizer not in TOKENIZERS:
        raise ValueError(f"`tokenizer` is {tokenizer!r}, expected one of {', '.join(TOKENIZERS)}")
    if tokenizer == "character":
        return _by_character
    return tokenize if tokenizer == "ptb" else _by_space


def warn_without_spaces(captions: Iterable[str], references: Iterable[str], tokenizer: str) -> None:
    """Warn if text that is written without spaces is to be split at spaces."""
    if tokenizer == "character":
        return
    sides = {"captions": captions, "references": references}
    if found := [name for name, texts in sides.items() if lack_spaces(texts)]:
        warnings.warn(
            f"the {' and the '.join(found)} are mostly in a script without spaces, so that "
            f"`tokenizer={tokenizer}` takes whole phrases for words and finds few that match: "
            "score them by `tokenizer=character`, or put spaces between the words of both sides",
            stacklevel=3,
        )


def _by_space(caption: str) -> list[str]:
    return list(split_words(caption, "space"))


def _by_character(caption: str) -> list[str]:
    parts = _UNKNOWN.split(caption)
    spaced = [
        [part] if _UNKNOWN.fullmatch(part) else split_words(part, "character") for part in parts
    ]
    return tokenize(" ".join(word for words in spaced for word in words))
