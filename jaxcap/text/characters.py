"""Kinds of characters, as the reference tokenizer of `jaxcap.text.tokenizer` sees them.

It knows the characters of Unicode 6 below U+10000. Letters and digits join into words. Each symbol
that it knows is a token. Everything else, emoji included, is a gap. A caption spelled by kinds has
one character for each character of the caption, so positions are the same in both.
"""

import unicodedata

LETTER = "\u00e9"  # any letter outside ASCII
MARK = "\u0301"  # continues a word that begins with a letter
DIGIT = "\u0663"  # any digit outside ASCII
RAISED, LOWERED = "\u00b2", "\u2082"  # superscript and subscript digits, which form numbers
SYMBOL = "\u00a7"  # a separate token
SPACE = "\u3000"  # the wide spaces of typesetting
GAP = "\x7f"  # separates tokens, is not a token

# Characters with their own rules.
_THEMSELVES = frozenset(
    "\x80\x85\x91\x92\x93\x94\x96\x97\xa0\xa2\xa3\xa4\xab\xad\xbb\xbc\xbd\xbe\u058a\u2010\u2011\u2013"
    "\u2014\u2015\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2026\u2039\u203a\u2044\u20a0\u20ac\u2153"
    "\u2154\u066b\u066c\u207a\u207b\u208a\u208b\u3001"
)
_LINE_ENDS = frozenset("\n\r\x0b\x0c\u2028\u2029")
_SYMBOLS = (
    "a1-bf d7 f7 37e 387 589 5be 5c0 5c3 5c6 5f3-5f4 600-603 606-60c 614 61b 61e-61f 66a 66d 6d4 "
    "700-70d 7f6-7f8 964-965 e3f e4f 1fbd 2016-2023 2030-203b 203e-2042 207a-207e 208a-208e 20a4 "
    "2100-2101 2103-2106 2108-2109 2114 2116-2118 211e-2123 2125 2127 2129 212e 213a-213b "
    "2140-2144 214a-214d 214f 2155-215e 2190-2bff 3002 3012 30fb ff01-ff0f ff1a-ff20 ff3b-ff40 "
    "ff5b-ff65 ffe0-ffe1 ffe5-ffe6"
)
_SYMBOL_RANGES = [
    (int(first, 16), int(last or first, 16))
    for first, _, last in (part.partition("-") for part in _SYMBOLS.split())
]
# Marks of later scripts are unknown to the reference.
_LAST_MARK = 0xECD
_MARK_SYMBOLS = frozenset([*range(0x2C2, 0x2C6), *range(0x2D2, 0x2E0), *range(0x2E5, 0x300)])


def spell_kinds(text: str) -> str:
    """Replace each character by the one for its kind.

    ASCII is unchanged, except that control characters become gaps. Line ends become spaces.
    """
    return text.translate(_KINDS)


class _Kinds(dict[int, str]):
    """Translation table, filled on demand."""

    def __missing__(self, code: int) -> str:
        self[code] = _kind_of(chr(code))
        return self[code]


_KINDS = _Kinds()


def _kind_of(character: str) -> str:
    code, category = ord(character), unicodedata.category(character)
    if character in _LINE_ENDS:
        return " "
    if character in _THEMSELVES or character == "\t" or (code < 0x80 and category != "Cc"):
        return character
    if 0x2000 <= code <= 0x200A or code == 0x3000:
        return SPACE
    if code > 0xFFFF or category == "Cc":
        return GAP
    if character in "\u2070\u00b9\u00b2\u00b3" or 0x2074 <= code <= 0x2079:
        return RAISED
    if 0x2080 <= code <= 0x2089:
        return LOWERED
    if any(first <= code <= last for first, last in _SYMBOL_RANGES) and category[0] != "L":
        return SYMBOL
    if category == "Nd":
        return DIGIT
    if category[0] == "L":
        return LETTER
    if (category[0] == "M" and code <= _LAST_MARK) or code in _MARK_SYMBOLS:
        return MARK
    return GAP
