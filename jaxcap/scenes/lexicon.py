"""Words of captions and their meanings, shared by the writer and the reader of captions.

A table maps each meaning to its phrases. The reader understands every phrase that the writer uses.
The vocabulary is the words of all phrases.
"""

from jaxcap.scenes.world import COLOURS, COUNTS, KINDS

PLURALS = {kind: "fish" if kind == "fish" else f"{kind}s" for kind in KINDS}

NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}

SIZE_WORDS = {
    "small": ("small", "little"),
    "large": ("large", "big"),
}

RELATION_PHRASES = {
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}

# "with a red boat to its left": the key is the side; {} is its, their, it or them.
SIDE_PHRASES = {
    "left of": "to {possessive} left",
    "right of": "to {possessive} right",
    "above": "above {pronoun}",
    "below": "below {pronoun}",
}

PLACE_PHRASES = {
    "left": ("on the left", "on the left side"),
    "right": ("on the right", "on the right side"),
    "top": ("at the top",),
    "bottom": ("at the bottom",),
    "middle": ("in the middle", "in the centre"),
}

BACKGROUND_PHRASES = {
    "meadow": ("in a meadow", "on the grass"),
    "sea": ("at sea", "on the water"),
    "night": ("in the night sky", "in the dark"),
    "beach": ("on the beach", "on the sand"),
    "snow": ("in the snow", "on the snow"),
    "wall": ("by a wall", "in front of a wall"),
}

OPENERS = ("a picture of", "we see", "we can see")
CLOSERS = ("can be seen",)


def article(word: str) -> str:
    """Return "a" or "an", whichever goes before a word of the lexicon."""
    return "an" if word[0] in "aeiou" else "a"


def _words() -> tuple[str, ...]:
    phrases = ["a an and there is are with its their it them", *KINDS, *PLURALS.values()]
    phrases += [*COLOURS, *NUMBERS.values(), *SIDE_PHRASES.values(), *OPENERS, *CLOSERS]
    for table in (SIZE_WORDS, RELATION_PHRASES, PLACE_PHRASES, BACKGROUND_PHRASES):
        phrases += [phrase for options in table.values() for phrase in options]
    return tuple(sorted({word for word in " ".join(phrases).split() if word.isalpha()}))


WORDS = _words()
"""Every word that a caption may contain, sorted."""

assert tuple(NUMBERS) == COUNTS
