"""How the reference tokenizer writes a token, as `jaxcap.text.token_rules` needs it.

Each function takes a token as it stands in the caption and returns its words, in lower case. There
are none if the evaluation drops the token.
"""

import re

# What COCO's evaluation drops. Names of brackets are missing, since it lists them in capitals only.
_PUNCTUATION = frozenset(["", *"'`.?!,:-;", "''", "``", "--", "..."])
_NAMES = {
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "(": "-lrb-",
    ")": "-rrb-",
    "\xa2": "cents",
    "\xa3": "#",
    "\xbc": "1/4",
    "\xbd": "1/2",
    "\xbe": "3/4",
    "\u2153": "1/3",
    "\u2154": "2/3",
    **dict.fromkeys("\x80\xa4\u20a0\u20ac", "$"),
}
_QUOTES = str.maketrans(
    dict.fromkeys("\x91\u2018\u201b\u2039", "`")
    | dict.fromkeys("\x92\u2019\u203a", "'")
    | dict.fromkeys("\x93\u201c\xab", "``")
    | dict.fromkeys('"\x94\u201d\xbb', "''")
)
_AMPERSAND = re.compile("&amp;", re.IGNORECASE)


def as_is(token: str) -> list[str]:
    """Write a token as it is, soft hyphens included."""
    word = token.lower()
    return [] if word in _PUNCTUATION else [word]


def word(token: str) -> list[str]:
    """Write a word or a number without its soft hyphens."""
    return as_is(token.replace("\xad", ""))


def quoted(token: str) -> list[str]:
    """Write quotation marks and apostrophes in ASCII; entities count in lower case only."""
    token = token.replace("&apos;", "'").replace("&quot;", '"')
    return as_is(token.translate(_QUOTES))


def ampersand(token: str) -> list[str]:
    """Write the entity of the ampersand as the character."""
    return as_is(_AMPERSAND.sub("&", token))


def less_than(token: str) -> list[str]:
    """Write a bracket or its entity as `<`."""
    del token
    return ["<"]


def greater_than(token: str) -> list[str]:
    """Write a bracket or its entity as `>`."""
    del token
    return [">"]


def spaced(token: str) -> list[str]:
    """Keep the spaces of a token as no-break spaces."""
    return as_is(token.replace(" ", "\xa0"))


def bracketed(token: str) -> list[str]:
    """Write round brackets by name, and spaces as no-break spaces."""
    return [part.replace("(", "-lrb-").replace(")", "-rrb-") for part in spaced(token)]


def symbol(token: str) -> list[str]:
    """Write one character: by name, as a quotation mark, or as it is."""
    return [_NAMES[token]] if token in _NAMES else quoted(token)


def nothing(token: str) -> list[str]:
    """Drop a token."""
    del token
    return []
