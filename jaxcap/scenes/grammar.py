"""The sentence forms of captions, and the reader that turns a caption into facts.

A form is a row of symbols. G1 and G2 are noun phrases, V1 and V2 the verbs that agree with them,
R is the relation of G1 to G2, S the side of G2 on which G1 is ("to its left"), P1 and P2 are the
places of G1 and G2, B is the background and O an opener such as "we see". A word in lower case is
literal. Symbols in brackets are optional. The writer in `language` fills in the same forms.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jaxcap.scenes.lexicon import (
    BACKGROUND_PHRASES,
    NUMBERS,
    OPENERS,
    PLACE_PHRASES,
    PLURALS,
    RELATION_PHRASES,
    SIDE_PHRASES,
    SIZE_WORDS,
    article,
)
from jaxcap.scenes.world import COLOURS

FORMS_OF_ONE = (
    "[O] G1 [P1] [B]",
    "there V1 G1 [P1] [B]",
    "G1 V1 P1 [B]",
    "G1 V1 B",
    "G1 can be seen [P1] [B]",
    "P1 [there] V1 G1 [B]",
    "B there V1 G1 [P1]",
    "B we [can] see G1 [P1]",
)
FORMS_OF_TWO = (
    "[O] G1 R G2 [B]",
    "there V1 G1 R G2 [B]",
    "G1 V1 R G2 [B]",
    "G1 can be seen R G2 [B]",
    "R G2 [there] V1 G1 [B]",
    "B there V1 G1 R G2",
    "B we [can] see G1 R G2",
    "[O] G2 with G1 S [B]",
    "there V2 G2 with G1 S [B]",
    "B we [can] see G2 with G1 S",
    "[O] G1 and G2 [B]",
    "there V1 G1 and G2 [B]",
    "B there V1 G1 and G2",
    "G1 and G2 are B",
    "G1 and G2 can be seen [B]",
    "[O] G1 P1 and G2 P2 [B]",
    "there V1 G1 P1 and G2 P2 [B]",
    "P1 [there] V1 G1 and P2 [there] V2 G2",
)


class Fact(NamedTuple):
    """One fact that a caption states.

    Attributes:
        kind: thing, colour, count, size, place, relation or background.
        text: the words that state it.
        value: their meaning, in the terms of `world`; a count as its digit.
        subject: number of the noun phrase it is about, 1 or 2; 0 if none.
        other: number of the other noun phrase of a relation; 0 if none.
    """

    kind: str
    text: str
    value: str
    subject: int = 0
    other: int = 0


Reading = tuple[tuple[Fact, ...], int]
"""Facts, and the position after the words that state them."""


def expand(form: str) -> tuple[tuple[str, ...], ...]:
    """Return all rows of symbols of a form, the longest first.

    >>> expand("G1 [B]")
    (('G1', 'B'), ('G1',))
    """
    parts = re.findall(r"\[[^]]*\]|[^\s\[\]]+", form)
    options = [(part.strip("[]"), "") if part[0] == "[" else (part,) for part in parts]
    return tuple(tuple(filter(None, row)) for row in itertools.product(*options))


def _by_phrase(table: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], str]:
    return {
        tuple(phrase.split()): meaning for meaning, phrases in table.items() for phrase in phrases
    }


_PHRASES = {
    "R": ("relation", _by_phrase(RELATION_PHRASES)),
    "P": ("place", _by_phrase(PLACE_PHRASES)),
    "B": ("background", _by_phrase(BACKGROUND_PHRASES)),
    "O": ("", _by_phrase({"": OPENERS})),
}
_SIDES = {
    plural: _by_phrase(
        {
            relation: (phrase.format(possessive=possessive, pronoun=pronoun),)
            for relation, phrase in SIDE_PHRASES.items()
        }
    )
    for plural, possessive, pronoun in ((False, "its", "it"), (True, "their", "them"))
}
# A verb may precede the noun phrase with which it agrees, so it is kept as a separate fact until
# the whole caption is read.
_VERB = "verb"
_COUNT_OF_WORD = {word: count for count, word in NUMBERS.items()}
_SIZE_OF_WORD = {word: size for size, words in SIZE_WORDS.items() for word in words}
_KIND_OF_SINGULAR = {kind: kind for kind in PLURALS}
_KIND_OF_PLURAL = {plural: kind for kind, plural in PLURALS.items()}
_END = ""


def _tree_of_forms() -> dict[str, dict]:
    """Build a prefix tree of rows: symbols lead to those that may follow, `_END` to none."""
    tree: dict[str, dict] = {}
    for form in (*FORMS_OF_TWO, *FORMS_OF_ONE):
        for row in expand(form):
            node = tree
            for symbol in (*row, _END):
                node = node.setdefault(symbol, {})
    return tree


_FORMS = _tree_of_forms()


def read_caption(caption: str) -> tuple[Fact, ...]:
    """Return the facts of a caption, in the order of its words; none if it is not a sentence.

    A sentence matches one of the forms as a whole, with correct articles, plurals and verbs.
    "a orange boat", "two boat" and "there is two boats" are not sentences.
    """
    words = caption.split()
    for facts in _read_rows(_FORMS, words, 0, ()):
        if _verbs_agree(facts):
            return tuple(fact for fact in facts if fact.kind != _VERB)
    return ()


def _read_rows(
    tree: dict[str, dict], words: list[str], at: int, before: tuple[Fact, ...]
) -> Iterator[tuple[Fact, ...]]:
    """Yield the facts of each way to read all words from index `at` as a row of the tree."""
    for symbol, rest in tree.items():
        if symbol != _END:
            for facts, end in _read_symbol(symbol, words, at, before):
                yield from _read_rows(rest, words, end, before + facts)
        elif at == len(words):
            yield before


def _read_symbol(
    symbol: str, words: list[str], at: int, before: tuple[Fact, ...]
) -> Iterator[Reading]:
    if symbol.islower():
        if words[at : at + 1] == [symbol]:
            yield (), at + 1
        return
    number = int(symbol[1]) if symbol[1:].isdigit() else 0
    if symbol[0] == "G":
        yield from _read_noun_phrase(words, at, number)
    elif symbol == "S":
        yield from _read_phrase("relation", _SIDES[_is_plural(before, 2)], words, at, 1, 2)
    elif symbol[0] in _PHRASES:
        kind, table = _PHRASES[symbol[0]]
        subjects = (1, 2) if symbol == "R" else (number, 0)
        yield from _read_phrase(kind, table, words, at, *subjects)
    elif symbol[0] == "V":
        if words[at : at + 1] in (["is"], ["are"]):
            yield (Fact(_VERB, words[at], words[at], number),), at + 1


def _read_phrase(
    kind: str,
    table: Mapping[tuple[str, ...], str],
    words: list[str],
    at: int,
    subject: int,
    other: int,
) -> Iterator[Reading]:
    for phrase, meaning in table.items():
        if tuple(words[at : at + len(phrase)]) == phrase:
            fact = Fact(kind, " ".join(phrase), meaning, subject, other)
            yield (fact,) if kind else (), at + len(phrase)


def _read_noun_phrase(words: list[str], at: int, number: int) -> Iterator[Reading]:
    """Read a determiner, perhaps a size, perhaps a colour, and a noun in the right number."""
    if len(words) < at + 2:
        return
    first = words[at]
    if first in ("a", "an"):
        if first != article(words[at + 1]):
            return
        count = 1
    elif first in _COUNT_OF_WORD:
        count = _COUNT_OF_WORD[first]
    else:
        return
    facts = [Fact("count", first, str(count), number)]
    at += 1
    if words[at] in _SIZE_OF_WORD:
        facts.append(Fact("size", words[at], _SIZE_OF_WORD[words[at]], number))
        at += 1
    if at < len(words) and words[at] in COLOURS:
        facts.append(Fact("colour", words[at], words[at], number))
        at += 1
    nouns = _KIND_OF_SINGULAR if count == 1 else _KIND_OF_PLURAL
    if at < len(words) and words[at] in nouns:
        facts.append(Fact("thing", words[at], nouns[words[at]], number))
        yield tuple(facts), at + 1


def _is_plural(facts: Sequence[Fact], number: int) -> bool:
    return any(f.kind == "count" and f.subject == number and f.value != "1" for f in facts)


def _verbs_agree(facts: Sequence[Fact]) -> bool:
    return all(
        (fact.text == "are") == _is_plural(facts, fact.subject)
        for fact in facts
        if fact.kind == _VERB
    )
