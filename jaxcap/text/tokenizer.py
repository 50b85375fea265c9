"""Split captions into words as the reference scorer does.

`tokenize` returns the tokens of the Penn Treebank tokenizer of Stanford CoreNLP 3.4.1 with
`-preserveLines -lowerCase`, without the punctuation that COCO's evaluation drops. Scores are
comparable only on the same words. At each position all rules are tried. The longest match, counting
the context that the rule requires, wins; the first rule wins a tie.
`tests/fuzz/tokenizer.py` compares both on random captions.
"""

import re
from collections.abc import Iterator

from jaxcap.text import spellings
from jaxcap.text.abbreviations import WITH_PERIOD
from jaxcap.text.characters import SPACE, spell_kinds
from jaxcap.text.token_rules import BETWEEN, FOLLOWED, RULES, TWO_WORDS

# The common case: words of letters and punctuation, with nothing after them that could join them.
_SIMPLE = re.compile(
    r"(?:([A-Za-z]+(?:-[A-Za-z]+)*)(\.(?! \.)|,?)|[,;:!?\"]|\.(?! \.))(?=[ \n])",
)
# An address may begin with any space but these two.
_BLANK = re.compile(rf"[ \t][ \t\xa0{SPACE}]*")


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
    words = list(_words(caption))
    # An address may end with a space outside ASCII. The evaluation strips the end of a line.
    if words and words[-1] != (bare := words[-1].rstrip()):
        rest = spell_kinds(caption.lower().rpartition(words[-1])[2])
        words[-1] = words[-1] if rest.strip(BETWEEN) else bare
    return words


def _words(caption: str) -> Iterator[str]:
    kinds = spell_kinds(caption) + FOLLOWED
    place = 0
    while place < len(caption):
        if simple := _SIMPLE.match(kinds, place):
            word = (simple[1] or "").lower()
            whole = simple[2] != "." or not (len(word) == 1 or word in WITH_PERIOD)
            if whole and word not in TWO_WORDS:
                if word:
                    yield word
                place = simple.end()
                continue
        if blank := _BLANK.match(kinds, place):
            place = blank.end()
            continue
        longest, stop, spelling = place, place + 1, spellings.nothing
        for pattern, spell in RULES:
            match = pattern.match(kinds, place)
            if match and match.end() > longest:
                longest, spelling = match.end(), spell
                stop = match.end(match.lastindex or 0)
        yield from spelling(caption[place:stop])
        place = stop
