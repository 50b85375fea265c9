"""Kinds of characters, as the reference tokenizer of `jaxcap.text.tokenizer` sees them.

It knows the characters of Unicode 6 below U+10000. Letters and digits join into words. Each symbol
that it knows is a token. Everything else, emoji included, is a gap. A caption spelled by kinds has
one character for each character of the caption, so positions are the same in both.
"""

import unicodedata

LETTER = "\u00e9"  # any letter outside ASCII
TWINS = "\u0130\u0131\u017f\u212a"  # letters that are an i, s or k where case does not count
MARK = "\u0301"  # continues a word that begins with a letter
DIGIT = "\u0663"  # any digit outside ASCII
RAISED, LOWERED = "\u00b2", "\u2082"  # superscript and subscript digits, which form numbers
SYMBOL = "\u00a7"  # a separate token
SPACE = "\u3000"  # the wide spaces of typesetting
GAP = "\x7f"  # separates tokens, is not a token
PAIR = "\x1f"  # a gap of two units of UTF-16, emoji among them

# Characters with their own rules.
_THEMSELVES = frozenset(
    "\x80\x85\x91\x92\x93\x94\x96\x97\xa0\xa2\xa3\xa4\xab\xad\xbb\xbc\xbd\xbe\u058a\u2010\u2011\u2013"
    "\u2014\u2015\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2026\u2039\u203a\u2044\u20a0\u20ac\u2153"
    f"\u2154\u066b\u066c\u207a\u207b\u208a\u208b\u3001{TWINS}"
)
_LINE_ENDS = frozenset("\n\r\x0b\x0c\u2028\u2029")


def _ranges(text: str) -> frozenset[int]:
    bounds = [part.partition("-") for part in text.split()]
    return frozenset(c for a, _, b in bounds for c in range(int(a, 16), int(b or a, 16) + 1))


_SYMBOLS = _ranges(
    "a1-bf d7 f7 37e 387 589 5be 5c0 5c3 5c6 5f3-5f4 600-603 606-60c 614 61b 61e-61f 66a 66d 6d4 "
    "700-70d 7f6-7f8 964-965 e3f e4f 1fbd 2016-2023 2030-203b 203e-2042 207a-207e 208a-208e 20a4 "
    "2100-2101 2103-2106 2108-2109 2114 2116-2118 211e-2123 2125 2127 2129 212e 213a-213b "
    "2140-2144 214a-214d 214f 2155-215e 2190-2bff 3002 3012 30fb ff01-ff0f ff1a-ff20 ff3b-ff40 "
    "ff5b-ff65 ffe0-ffe1 ffe5-ffe6"
)
_MARKS = _ranges(
    "2c2-2c5 2d2-2df 2e5-2eb 2ed 2ef-36f 375 378-379 384-385 3f6 483-487 55a-55f 591-5bd 5bf "
    "5c1-5c2 5c4-5c5 5c7 615-61a 64b-65e 670 6d6-6e4 6e7-6ed 6fd-6fe 70f 711 730-74c 7a6-7b0 "
    "7eb-7f3 900-903 93c 93e-94e 951-955 962-963 981-983 9bc 9be-9c4 9c7-9c8 9cb-9cd 9d7 9e2-9e3 "
    "a01-a03 a3c a3e-a4f a81-a83 abc abe-acf b82 bbe-bc2 bc6-bc8 bca-bcd c01-c03 c3e-c56 d3e-d44 "
    "d46-d48 e31 e34-e3a e47-e4e eb1 eb4-ebc ec8-ecd"
)
# Letters and digits of later versions of Unicode, which the reference does not know.
_LATER = _ranges(
    "37f 528-52f 560 588 5ef 860-88e 8a1 8ad-8c9 978 980 9fc af9 c34 c5a-c5d c80 cdd d04 d54-d5f "
    "de6-def e86 e89 e8c e8e-e93 e98 ea0 ea8-ea9 eac 13f5-13fd 16f1-16f8 170d 171f 1878 191d-191e "
    "19b0-19c0 19c8-19c9 1b4c 1c80-1cbf 1cf2-1cf3 1cfa 2c2f 2c5f 312e-312f 31bb-31bf 4db6-4dbf "
    "9fcd-9fff a698-a69d a78f a794-a79f a7ab-a7f7 a8fd-a8fe a9e0-a9fe aa7e-aa7f ab30-abbf"
)


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
    if code > 0xFFFF:
        return PAIR
    if category == "Cc":
        return GAP
    if character in "\u2070\u00b9\u00b2\u00b3" or 0x2074 <= code <= 0x2079:
        return RAISED
    if 0x2080 <= code <= 0x2089:
        return LOWERED
    if code in _MARKS:
        return MARK
    if code in _LATER:
        return GAP
    if category[0] == "L" or code in (0x1885, 0x1886):  # a mark since Unicode 9
        return LETTER
    if category == "Nd":
        return DIGIT
    return SYMBOL if code in _SYMBOLS else GAP
