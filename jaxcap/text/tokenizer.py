"""Split captions into words as the reference scorer does.

`tokenize` returns the tokens of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 with
`-preserveLines -lowerCase`, without the punctuation that COCO's evaluation drops. Scores are
comparable only on the same words. The rules were found by running that tokenizer on millions of
short strings. At each position all rules are tried. The longest match, counting the context that
the rule requires, wins; the first rule wins a tie.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator

from jaxcap.text.characters import DIGIT, GAP, LETTER, LOWERED, MARK, RAISED, SPACE, spell_kinds

# Brackets are missing, since the evaluation lists their names in capitals only.
_PUNCTUATION = frozenset(
    ["", *"'`.?!,:-;\"\x85\x91\x92\x93\x94\x96\x97\xab\xad\xbb\u058a"]
    + [*"\u2010\u2011\u2013\u2014\u2015\u2018\u2019\u201b\u201c\u201d\u2026\u2039\u203a"]
    + ["''", "``", "&quot;", "&apos;", "&nbsp;", "&mdash;", "&ndash;"]
)
_SPLIT = {
    "cannot": ["can", "not"],
    "gimme": ["gim", "me"],
    "gonna": ["gon", "na"],
    "gotta": ["got", "ta"],
    "lemme": ["lem", "me"],
    "wanna": ["wan", "na"],
}
_SPELLED = {
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
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
    | dict.fromkeys("\x94\u201d\xbb", "''")
)
# Abbreviations whose period is kept, in lower case without the period.
_ABBREVIATIONS = frozenset(
    # months and days
    "jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri "
    # places
    "al ala alex ariz az ark calif cf colo conn ct dak del fla ga ill ind kan kans ky la mass md "
    "mich minn miss mo mont neb nev okla ore pa penn tenn tex va vt wash wis wisc wyo "
    # ranks and titles
    "adm asst atty attys brig capt cmdr col comdr cpl det dr drs ens esq gen gov govs hon insp jr "
    "lieut lt maj messrs mlle mme mr mrs ms msgr pfc pres prof profs pvt rep reps rev sen sens sfc "
    "sgt spc sr st ste supt supts wm "
    # firms and streets
    "assn assoc ave bhd bldg blvd bros cie co corp cos dept elec ext inc intl invt ltd mfg mtg "
    "natl plc ppte ppty pte ptes pty ptys rd rt sys univ "
    # others
    "adj adv est etc ft jos mt ph seq sq tel vs".split()
)
# Abbreviations only where the first letter is a capital.
_CAPITAL_ONLY = frozenset("ark az del ill la mass miss ore pa tex wash".split())
# Abbreviations only where a number follows.
_BEFORE_NUMBER = frozenset("art ca fig figs no nos op pp prop".split())
# A single letter, as in "plan B.", loses its period before one of these words.
_SENTENCE_STARTS = tuple(
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last "
    "Many More Mr. Ms. Now Once One Other Our She Since So Some Such That The Their Then There "
    "These They This We What When While Yet You".split()
)
_WITH_PERIOD = _ABBREVIATIONS | _BEFORE_NUMBER


def _plain(token: str) -> list[str]:
    word = token.lower().replace("\xad", "")
    if word in _PUNCTUATION:
        return []
    return [_SPELLED.get(word) or word.replace("(", "-lrb-").replace(")", "-rrb-")]


def _split(token: str) -> list[str]:
    return _SPLIT[token.lower()]


def _contraction(token: str) -> list[str]:
    word = token.lower().replace("&apos;", "'").translate(_QUOTES)
    return [] if word in _PUNCTUATION else [word]


def _entity(token: str) -> list[str]:
    return [html.unescape(token.lower())]


def _spaced(token: str) -> list[str]:
    return _plain(token.replace(" ", "\xa0"))


def _nothing(token: str) -> list[str]:
    del token
    return []


# Parts of the rules. A soft hyphen may occur within a word and is dropped.
_L = rf"[A-Za-z{LETTER}{MARK}\xad]"
_LD = rf"[A-Za-z0-9{LETTER}{MARK}{DIGIT}\xad]"
_A = rf"[A-Za-z0-9{LETTER}{DIGIT}]"
_D = rf"[0-9{DIGIT}]"
_AP = "(?:['\x92\u2019]|&apos;)"
_QUOTE = "(?:['\x92\u2019`\x91\u2018\u201b]|&apos;)"
_CURLED = "`\x91-\x94\u2018\u2019\u201b-\u201f\u2039\u203a\xab\xbb"
_WORD = rf"{_L}{_LD}*(?:[.!?]{_L}{_LD}*)*"
_ELISION = rf"(?:[dDoOlL]{_QUOTE}{_A})"
_THING = rf"{_ELISION}?{_A}+(?:[_\u058a\u2010\u2011-]{_ELISION}?{_A}+)*"
_INITIALS = r"[A-Za-z](?:\.[A-Za-z])+"
_JOINED = rf"[A-Za-z0-9][A-Za-z0-9.,\xad]*(?:-(?:{_INITIALS}\.|[A-Za-z0-9\xad]+))+"
_SLASHED = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}"
_NOT_LETTER = r"(?:[^A-Za-z]|$)"
_SPACE = rf"[ \t\xa0{SPACE}]"
_END = rf"(?:{_SPACE}|$)"
_SUFFIX = rf"{_AP}(?i:[msd]|re|ve|ll)"
_TAG = r"</?[A-Za-z][A-Za-z0-9.:_-]*(?: [^<>]*)?/?>|<[!?][^<>]*>"
_NEGATION = rf"[nN]{_QUOTE}[tT]"
_URL_END = r'[^ \t"<>|.!?(){},-]'
_PATH = rf'(?:/[^ \t"<>|()]+{_URL_END})?'
_MAIL, _MAIL_HOST = r'[^ \t"<>|(){}\xa0]', r'[^ \t"<>|(){}.\xa0]'
_EXTENSION = (
    "(?i:bat|bmp|cgi|class|cpp|c|dll|docx?|exe|gif|gz|html?|h|jar|java|jpe?g|mov|mp3|pdf|php|pl|"
    "png|ppt|ps|py|sql|tar|txt|wav|wmv|xml|x|zip)"
)
_FACE = "[=~<>^x'-]"


def _any(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted(words)))


# A pattern matches a token, or has a group for the token and its required context around it.
_RULES: list[tuple[Callable[[str], list[str]], list[str]]] = [
    (_split, ["(?i:cannot|gimme|gonna|gotta|lemme|wanna)"]),
    (
        _plain,
        [
            rf"({_WORD}){_SUFFIX}",
            rf"([A-Za-z]*[A-MO-Za-mo-z]){_NEGATION}",
            rf"[A-HJ-XZn]{_QUOTE}{_L}{{2,}}",
        ],
    ),
    (
        _contraction,
        [
            rf"({_NEGATION}){_NOT_LETTER}",
            rf"({_SUFFIX}){_NOT_LETTER}|[\x92\u2019](?i:[msd]|re|ve|ll)",
            f"[{_CURLED}]{{2}}",
            rf"[yY]{_AP}",
        ],
    ),
    (
        _plain,
        [
            # words
            rf"([mM]ore){_AP}n{_NOT_LETTER}",
            _WORD,
            _THING,
            _JOINED,
            rf"((?:{_WORD}|{_THING}|{_JOINED})\.)[,;:\u3001]",
            rf"{_SLASHED}(?:\\?/{_SLASHED}){{1,2}}",
            # abbreviations
            rf"(?i:{_any(_ABBREVIATIONS - _CAPITAL_ONLY)})\.|(?=[A-Z])(?i:{_any(_CAPITAL_ONLY)})\.",
            rf"((?i:{_any(_BEFORE_NUMBER)})\.){_SPACE}?{_D}",
            rf"{_INITIALS}\.|[A-Za-z]\.|(?i:ph|ed)\.[dD]\.",
            rf"([A-Za-z])\.{_SPACE}+(?:(?:{_any(_SENTENCE_STARTS)})|{_TAG}){_END}",
            # apostrophes
            rf"{_L}+[aeiouyAEIOUY]{_QUOTE}[aeiouA-Z]{_L}*",
            rf"[lLdDjJ]{_AP}|(?i:ol|dunkin|somethin){_AP}",
            rf"(?i:cont{_AP}d|nor{_AP}easter|c{_AP}mon|e{_AP}er|s{_AP}mores|ev{_AP}ry|li{_AP}l)",
            rf"(?i:nat{_AP}l|cap{_AP}n|c{_AP}est|d{_AP}ye)",
            rf"(?i:{_AP}(?:n{_AP}|em|till?|cause))|{_AP}[2-9]0[sS]|[\x92\u2019][nN]",
            rf"('[nN]){_END}",
            rf"({_AP}[0-9]{{2}}){_END}",
            "(?i:('t)(?:is|was))",
            # names
            rf'(?i:https?)://[^ \t"<>|(){{}}]+{_URL_END}',
            rf'(?i:www\.(?:[^ \t"<>|.!?(){{}},]+\.)+[a-z]{{2,4}}){_PATH}',
            rf'(?:[^ \t"`\'<>|!?(){{}},-_$]+\.)+(?:com|net|org|edu){_PATH}',
            rf"(?:<|&lt;)?[A-Za-z0-9]{_MAIL}*@(?:{_MAIL_HOST}+\.)*{_MAIL_HOST}+(?:>|&gt;)?",
            rf"((?:{_LD}+\.)+{_EXTENSION})(?:[.?!,]|{_END})",
            rf"@[A-Za-z_][A-Za-z_0-9]*|#{_L}+",
            r"(?i:pro-|anti-)|S&P-500|S&Ls|[Cc]\+\+|[CcFf]#|[A-Z]+\$",
            # numbers
            rf"[+-]?(?:{_D}*(?:[.:,\xad\u066b\u066c]{_D}+)+|{_D}+)",
            rf"{RAISED}+|{LOWERED}+",
        ],
    ),
    (
        _spaced,
        [
            rf"(?:{_D}{{1,4}}[ \xa0-])?{_D}{{1,4}}(?:\\?/|\u2044){_D}{{1,4}}",
            r"(?:\([0-9]{2,3}\)[ \xa0]?|(?:\+\+?)?(?:[0-9]{2,4}[ \xa0-])?[0-9]{2,4}[ \xa0-])"
            r"[0-9]{3,4}[ \xa0-]?[0-9]{3,5}",
            r"(?:(?:\+\+?)?[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}",
            _TAG,
        ],
    ),
    (_entity, ["&(?:amp|lt|gt);", r"[A-Z]+(?:(?:[&+]|&amp;)[A-Z]+)+"]),
    (_nothing, [r"\.{3,5}|(?:\.[ \xa0]){2,4}\.|-{2,4}|&(?:quot|apos|nbsp|mdash|ndash);"]),
    (
        _plain,
        [
            r"\\\*|[!?]+|-{5,}|_+|\*+|``|''|<<|>>|##+|@@+|&#[0-9]+;",
            r"([<>]?[:;=][\-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z0-9]|$)",
            rf"{_FACE}_{_FACE}|\({_FACE}[_.-]?{_FACE}\)",
            rf"[^ \t\xa0{SPACE}{GAP}]",
        ],
    ),
]
_COMPILED = [(re.compile(pattern), spell) for spell, patterns in _RULES for pattern in patterns]
# The common case: words of letters, with nothing after them that could join them.
_SIMPLE = re.compile(r"([A-Za-z]+(?:-[A-Za-z]+)*)([.,]?)(?= |$)")
_BLANK = re.compile(rf"[ \t]{_SPACE}*")


def tokenize(caption: str) -> list[str]:
    """Split a caption into words as the reference scorer does.

    Args:
        caption: any text; line ends count as spaces.

    Returns:
        The words in lower case, without punctuation; an empty list if none are left. A fraction
        such as "1 1/2" and a telephone number are one word, with no-break spaces inside. Captions
        are independent; the reference reads into the next one where a caption ends with a single
        letter and a period, as in "plan B.".

    >>> tokenize("A man's dog isn't here.")
    ['a', 'man', "'s", 'dog', 'is', "n't", 'here']
    """
    words = list(_tokens(caption))
    # An address may end with a space outside ASCII, which the evaluation strips.
    return [*words[:-1], *filter(None, [words[-1].rstrip()])] if words else []


def _tokens(caption: str) -> Iterator[str]:
    kinds = spell_kinds(caption)
    place = 0
    while place < len(kinds):
        if simple := _SIMPLE.match(kinds, place):
            word = simple[1].lower()
            whole = simple[2] != "." or not (len(word) == 1 or word in _WITH_PERIOD)
            if whole and word not in _SPLIT:
                yield word
                place = simple.end()
                continue
        if blank := _BLANK.match(kinds, place):
            place = blank.end()
            continue
        longest, stop, spelling = place, place + 1, _nothing
        for pattern, spell in _COMPILED:
            match = pattern.match(kinds, place)
            if match and match.end() > longest:
                longest, spelling = match.end(), spell
                stop = match.end(1) if match.lastindex else match.end()
        yield from spelling(caption[place:stop])
        place = stop
