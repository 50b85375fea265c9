"""Captions of a scene: sentence forms filled in with true facts."""

import random

from jaxcap.scenes.grammar import FORMS_OF_ONE, FORMS_OF_TWO, expand
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
from jaxcap.scenes.world import Group, Scene, pick

CAPTIONS_PER_SCENE = 5
MAX_WORDS = 15

_SHARE_WITH_SIZE = 0.5
_SHARE_WITH_COLOUR = 0.92
_SHARE_WITH_ARTICLE = 0.9


def captions(scene: Scene, count: int = CAPTIONS_PER_SCENE) -> tuple[str, ...]:
    """Return `count` different true captions of a scene, always the same for the same scene.

    Every caption names every group of the scene. Captions differ in whether they state sizes,
    colours, places, the relation and the background. A caption has at most `MAX_WORDS` words, in
    lower case, without punctuation.
    """
    chance = random.Random(f"words {scene.look}")
    found: list[str] = []
    while len(found) < count:
        caption = _write(scene, chance)
        if caption not in found and len(caption.split()) <= MAX_WORDS:
            found.append(caption)
    return tuple(found)


def _write(scene: Scene, chance: random.Random) -> str:
    form = pick(chance, FORMS_OF_ONE if len(scene.groups) == 1 else FORMS_OF_TWO)
    row = pick(chance, expand(form))
    if len(row) == 1:
        row = (*row, "B")
    order = _order(row, len(scene.groups), chance)
    return " ".join(_fill(symbol, scene, order, chance) for symbol in row)


def _order(row: tuple[str, ...], groups: int, chance: random.Random) -> list[int]:
    """Return which group of the scene is 1, and which is 2, in a row of symbols.

    The left or the upper group is named first, as in reading order. The order is random if the
    caption opens with a relation or a place, which then locates the group named next.
    """
    order = list(range(groups))
    if row[0] in ("R", "P1"):
        swap = chance.random() < 0.5
    else:
        swap = "G2" in row and row.index("G2") < row.index("G1")
    return order[::-1] if swap else order


def _fill(symbol: str, scene: Scene, order: list[int], chance: random.Random) -> str:
    """Return the words for one symbol; `order` says which group is 1 and which is 2."""
    group = scene.groups[order[int(symbol[1]) - 1]] if symbol[1:].isdigit() else scene.groups[0]
    match symbol[0]:
        case "G":
            return _noun_phrase(group, chance)
        case "V":
            return "is" if group.count == 1 else "are"
        case "P":
            return pick(chance, PLACE_PHRASES[group.place])
        case "B":
            return pick(chance, BACKGROUND_PHRASES[scene.background])
        case "O":
            return pick(chance, OPENERS)
        case "R":
            return pick(chance, RELATION_PHRASES[scene.relation(*order)])
        case "S":
            several = scene.groups[order[1]].count > 1
            return SIDE_PHRASES[scene.relation(*order)].format(
                possessive="their" if several else "its", pronoun="them" if several else "it"
            )
        case _:
            return symbol


def _noun_phrase(group: Group, chance: random.Random) -> str:
    words = [group.kind if group.count == 1 else PLURALS[group.kind]]
    if chance.random() < _SHARE_WITH_COLOUR:
        words.insert(0, group.colour)
    if group.size and chance.random() < _SHARE_WITH_SIZE:
        words.insert(0, pick(chance, SIZE_WORDS[group.size]))
    if group.count == 1 and chance.random() < _SHARE_WITH_ARTICLE:
        return " ".join((article(words[0]), *words))
    return " ".join((NUMBERS[group.count], *words))
