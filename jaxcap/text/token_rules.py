"""The rules of `jaxcap.text.tokenizer`: what is a token, and how it is written.

A pattern is read on a caption spelled by kinds (`jaxcap.text.characters`) with `FOLLOWED` behind
it. It matches a token, or has one group for the token and its required context around it. Of two
matches of the same length the earlier rule's counts, so the order is part of the rules.
"""

import re
from collections.abc import Callable, Iterable

from jaxcap.text import spellings
from jaxcap.text.abbreviations import APART, NUMBERED, SENTENCE_STARTS, TITLES
from jaxcap.text.characters import DIGIT, GAP, LETTER, LOWERED, MARK, PAIR, RAISED, SPACE, TWINS

FOLLOWED = "\nx\n"
"""The next caption, as far as a rule may look into it."""
BETWEEN = f" \t\n\xa0\u058a\u066b\u066c\u2010\u2011{SPACE}{GAP}{PAIR}"
"""Characters that are no token by themselves."""

_TWO_WORDS = [
    ("can", "not"),
    ("gim", "me"),
    ("gon", "na"),
    ("got", "ta"),
    ("lem", "me"),
    ("wan", "na"),
    ("'t", "is"),
    ("'t", "was"),
]
TWO_WORDS = frozenset(first + second for first, second in _TWO_WORDS)


def _any(words: Iterable[str]) -> str:
    """Match one of the words, a capital at the beginning as it is, the rest in any case."""
    parts = [(word[0], word[1:]) if word[0].isupper() else ("", word) for word in words]
    return "|".join(f"{first}(?i:{re.escape(rest)})" for first, rest in parts)


# Letters and digits. Letters within a word (`_W`) may carry marks, be entities, or be divided by
# soft hyphens; those of `_L` may not.
_LETTERS = f"A-Za-z{LETTER}{TWINS}"
_L = rf"[{_LETTERS}]"
_A = rf"[0-9{_LETTERS}{DIGIT}]"
_D = rf"[0-9{DIGIT}]"
_ACCENTED = "&[aeiouAEIOU](?i:acute|grave|uml);"
_W = rf"(?:[{_LETTERS}{MARK}\xad]|{_ACCENTED})"
_WD = rf"(?:[0-9{_LETTERS}{MARK}{DIGIT}\xad]++|{_ACCENTED})"
_WORD = rf"{_W}{_WD}*+(?:[.!?]{_W}{_WD}*+)*"
# Context.
_SPACE = rf"[ \t\xa0{SPACE}]"
_END = rf"[ \t\n\x85\xa0{SPACE}]"
_PAUSE = "[,;:\u3001]"
# Apostrophes.
_AP = "(?:['\x92\u2019]|(?i:&apos;))"
_QUOTE = "(?:['\x92\u2019`\x91\u2018\u201b]|(?i:&apos;))"
_SUFFIX = rf"{_AP}(?:[msdMSD]|(?i:re|ve|ll))"
_NOT = rf"[nN]{_QUOTE}[tT]"
# Words with hyphens, slashes and ampersands.
_ELISION = rf"(?:[dDoOlL]{_QUOTE}{_A})?"
_THING = rf"{_ELISION}{_A}+(?:[_\u058a\u2010\u2011-]{_ELISION}{_A}+)*"
_INITIALS = r"[A-Za-z](?:\.[A-Za-z])+"
_JOINED = rf"[A-Za-z0-9][A-Za-z0-9.,\xad]*+(?:-(?:{_INITIALS}\.|[A-Za-z0-9\xad]+))+"
_NAMES_WITH_AND = r"[A-Z]+(?:(?:(?i:&amp;)|[&+])[A-Z]+)+"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_NATION = r"(?i:(?:canada|sino|korean|eu|japan|non)-u\.s|u\.s\.-u\.(?:k|s\.s\.r))"
# Markup and addresses.
_NAME = r"[A-Za-z][A-Za-z0-9_:.-]*+"
_ATTRIBUTE = rf"""{_NAME}(?: *= *(?:'[^']*'|"[^"]*"))?"""
_TAG = rf"<(?:[!?][A-Za-z-][^>\n]*|{_NAME}(?: +{_ATTRIBUTE})* *(?:/ *)?|/{_NAME} *)>"
_PATH = rf'/(?:[^ \t\n"<>|()]+[^ \t\n"<>|.!?(){{}},-]|{PAIR})'
_WWW = r'(?i:www)\.(?:[^ \t\n"<>|.!?(){},]+\.)+[A-Za-z]{2,4}'
_SITE = r"""(?:[^ \t\n"`'<>|!?(){},-_$]+\.)+(?i:com|net|org|edu)"""
_MAIL, _HOST = r'[^ \t\n"<>|(){}\xa0]', r'[^ \t\n"<>|(){}.\xa0]'
_EXTENSION = (
    "(?i:bat|bmp|cgi|class|cpp|c|dll|docx?|exe|gif|gz|html?|h|jar|java|jpe?g|mov|mp3|pdf|php|pl|"
    "png|ppt|ps|py|sql|tar|txt|wav|xml|x|zip)"
)
# Numbers.
_FRACTION = rf"(?:{_D}{{1,4}}[ \xa0-])?{_D}{{1,4}}(?:\\?/|\u2044){_D}{{1,4}}"
_PHONE = (
    r"(?:\([0-9]{2,3}\)[ \xa0]?|(?:\+\+?)?(?:[0-9]{2,4}[ \xa0-])?[0-9]{2,4}[ \xa0-])"
    r"[0-9]{3,4}[ \xa0-]?[0-9]{3,5}"
)
_DOTTED_PHONE = r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
# Faces.
_SIDE, _CHEEK = "[=~<>^x'-]", "[=~<>^x']"
_CURLED = "`\x91-\x94\u2018-\u201f\u2039\u203a\xab\xbb"

_Spelling = Callable[[str], list[str]]
_PATTERNS: list[tuple[_Spelling, list[str]]] = [
    (spellings.as_is, [r"[Cc]\+\+|[CcFf]#"]),
    (spellings.as_is, [f"(?i:({first}){second})" for first, second in _TWO_WORDS]),
    (spellings.spaced, [_TAG]),
    (spellings.nothing, ["(?i:&(?:md|mdash|ndash|nbsp);)"]),
    (spellings.ampersand, ["(?i:&amp;)"]),
    (spellings.as_is, ["&(?i:ht|tl|ur|lr|qc|ql|qr|odq|cdq|#[0-9]+);"]),
    (
        spellings.word,
        [rf"({_WORD}){_SUFFIX}", rf"([A-Za-z\xad]*[A-MO-Za-mo-z]\xad*){_NOT}", _WORD],
    ),
    (
        spellings.as_is,
        [
            # words with an apostrophe
            rf"{_AP}(?i:n){_AP}?|[lLdDjJ]{_AP}|(?i:dunkin|somethin|ol){_AP}",
            rf"{_AP}(?i:em|till?|cause|[2-9]0s)",
            rf"[A-HJ-XZn]{_QUOTE}{_L}{{2,}}|{_L}+[aeiouyAEIOUY]{_QUOTE}[aeiouA-Z]{_L}*",
            r"(?i:cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l)",
            rf"[oO]{_QUOTE}[oO]|([yY]{_AP}){_L}",
            # addresses
            rf'(?i:https?)://(?:[^ \t\n"<>|(){{}}]+[^ \t\n"<>|.!?(){{}},-]|{PAIR})',
            _WWW,
            rf"{_WWW}{_PATH}",
            _SITE,
            rf"{_SITE}{_PATH}",
            rf"(?:<|(?i:&lt;))?[A-Za-z0-9]{_MAIL}*@(?:{_HOST}+\.)*{_HOST}+(?:>|(?i:&gt;))?",
            rf"@[A-Za-z_][A-Za-z_0-9]*|#{_W}+",
        ],
    ),
    (spellings.quoted, [rf"({_SUFFIX}|{_NOT})[^A-Za-z]"]),
    (spellings.as_is, [rf"{_D}{{1,2}}[/-]{_D}{{1,2}}[/-]{_D}{{2,4}}"]),
    (spellings.word, [rf"[+-]?(?:{_D}*(?:[.:,\xad\u066b\u066c]{_D}+)+|{_D}+)"]),
    (spellings.as_is, [rf"[\u207a\u207b\u208a\u208b]?(?:{RAISED}+|{LOWERED}+)"]),
    (spellings.spaced, [_FRACTION]),
    (
        spellings.ampersand,
        [rf"(?i:-[lr][rcs]b-|pro-|anti-|s(?:&|&amp;)(?:p-500|ls))|(?i:(?:cap{_AP}n|c{_AP}est))"],
    ),
    (
        spellings.as_is,
        [
            rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}",
            r"[A-Z]*\$",
            # abbreviations
            rf"([A-Za-z])\.{_END}+(?:{_any(SENTENCE_STARTS)}|{_TAG}){_END}",
            rf"((?i:{'|'.join(NUMBERED)})\.){_END}?{_D}",
            rf"((?i:pt)[eyEY]\.|(?i:co)\.){_SPACE}(?i:ltd|lim)",
            rf"((?:{_any(APART)}|(?i:pp?t)[ey](?i:s?))\.)[\s\S]{{2}}",
            rf"(?:{_any(TITLES)}|[mM][ft][gG])\.",
            rf"{_INITIALS}\.|[A-Za-z]\.",
            rf"({_NATION}){_END}",
            rf"({_AP}[0-9]{{2}}){_END}",
            rf"((?:{_WD}+\.)+{_EXTENSION})(?:{_END}|[.?!,])",
        ],
    ),
    (spellings.word, [rf"({_WORD}\.){_PAUSE}"]),
    (spellings.bracketed, [_PHONE, _DOTTED_PHONE]),
    (spellings.quoted, ['"|(?i:&quot;)']),
    (spellings.less_than, ["<|(?i:&lt;)"]),
    (spellings.greater_than, [">|(?i:&gt;)"]),
    (
        spellings.bracketed,
        [
            r"([<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]])[^A-Za-z0-9]",
            rf"{_SIDE}_{_SIDE}|\({_SIDE}[_.]?{_SIDE}\)|\({_CHEEK}-(?:{_CHEEK}|`)\)",
        ],
    ),
    (spellings.nothing, [f"{_SPACE}+"]),
    (spellings.nothing, [r"-{2,4}|\.{3,5}|(?:\.[ \xa0]){2,4}\.|[\x85\u2026]"]),
    (spellings.nothing, ["[\x96\x97\u2013-\u2015]"]),
    (spellings.as_is, [r"-{5,}|@+|#+|_+|\*+|(?:\\\*){1,3}|[!?]+|<<|>>"]),
    (spellings.word, [rf"({_JOINED}\.){_PAUSE}", _JOINED]),
    (spellings.as_is, [rf"({_THING}\.){_PAUSE}", _THING]),
    (spellings.ampersand, [rf"({_NAMES_WITH_AND}\.){_PAUSE}", _NAMES_WITH_AND]),
    (spellings.nothing, [r"(')[A-Za-z][^ \t\n\xa0]"]),
    (spellings.quoted, [f"{_SUFFIX}|{_NOT}|[{_CURLED}]{{1,2}}|''|{_AP}"]),
    (spellings.symbol, [f"[^{BETWEEN}]"]),
]
RULES = [(re.compile(pattern), spell) for spell, patterns in _PATTERNS for pattern in patterns]
