"""Compares the tokenizer with the reference one on random joins of awkward pieces (needs Java).

    pip install 'jaxcap[eval]'
    python tests/fuzz/tokenizer.py --minutes 60 --seed 0

Prints how many strings were compared and how many differ, and shrinks those that differ. The exit
code is 1 if a string differs for a reason that is not in `KNOWN`.
"""

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from golden_tokens import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    GOLDEN,
    reference_words,
)

from jaxcap.text.abbreviations import APART, NUMBERED, SENTENCE_STARTS, TITLES  # noqa: E402
from jaxcap.text.tokenizer import tokenize  # noqa: E402

KNOWN: dict[str, Callable[[str], str]] = {
    "Java and Python lower a capital sigma beside digits and marks in two ways": (
        lambda word: word.replace("\u03c2", "\u03c3")
    ),
    "This Java does not know the small form of a letter that is new in Unicode": str.lower,
}
"""Why words may differ, and what makes such words equal."""
_RUNS_ON = re.compile(r"[x=~<>^]\.\[\^x=", re.IGNORECASE)
"""Not compared: a face of the reference, which goes on to the next "<>]", over ends of lines."""
_BATCH = 40_000
_SHOWN, _MOST = 40, 10_000
_LENGTHS = [1, 2, 2, 3, 3, 4, 5, 6]

_PUNCTUATION = [
    [
        *"-_\u058a\u2010\u2011\u2013\u2014\u2015\x96\x97.,;:!?\u3001\u2026\x85",
        ". . .",
        ". .",
        ".\xa0.",
    ],
    "-- --- ---- ----- .. ... .... ...... &mdash; &ndash; &MD; !! ?! -5 co-ed a-b x-y.z".split(),
]
_PIECES = [
    # words, and those that are split
    "a dog The cats B plan x y wanna gonna gotta gimme lemme cannot more no n t s A I".split(),
    # apostrophes, contractions and quotation marks
    [*"'`\"\x91\x92\x93\x94\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a\xab\xbb"],
    "'' `` &apos; &quot; &APOS; &QUOT; &Quot; '\" \"'".split(),
    "'s 'd 'm 'll 're 've n't N'T n`t \u2019s n\u2019t n\u2018t &apos;s n&apos;t \u2019ll".split(),
    "'S don't y'all y\u2019all o'clock d'ye l'a 'twas 'tis 'tissue 'em 'til 'n' 'n \u2019n 'cause "
    "'90s '90 \u201990 ol' dunkin' somethin' cont'd cont'd. nor'easter c'mon e'er s'mores ev'ry "
    "li'l nat'l cap'n c'est O'o Shi'ite B'Gosh O'Neill L'Oreal d'Or n'ts rock'n'roll".split(),
    # abbreviations
    [f"{word}." for word in (*APART, *TITLES, *NUMBERED)],
    "p.m. U.S. e.g. Ph.D. Ed.D. a.k.a. non-U.S. U.S.-U.K. U.S.S.R EU-U.S U.S.-U.S.S.R. Canada-U.S "
    "Pty. PTY. ltd lim mfg. May. may A.B U.S C.D.s".split(),
    list(SENTENCE_STARTS),
    *_PUNCTUATION,
    # soft hyphens, accents, other scripts, spaces
    ["\xad", "so\xadft", "do\xadn't", "a\xad", "\xadb", "1\xad2", "\xad\xad"],
    [
        *"\xe9\xc9\xdf\xf1\u0130\u03a3\u03c3\u0436\u05d0\u0627\u0905\u4e00\u3042\u30fc\ufb01\u0131\u017f\u212a\u0301\u0308"
    ],
    [*"\u0663\u0967\u07c1\uff11\u066b\u066c\u0660"],
    [*" \xa0\u2003\u3000\u200b\u200e\ufeff\u202f\u1680\t\x7f\x01"],
    ["\U0001f600", "\U0001d400", "\u2764\ufe0f", *"\u2122\xae\xb0\u2190\uffe5\U00020000"],
    # numbers
    "0 1 5 12 90 123 1990 12345 1,000 3.14 .5 10:30 1/2 1\\/2 24/7 20-20 5-3/4 1/2/2003 10-12-99 "
    "\xbd \xbc \xbe \u2153 \u2154 \u2155 \u215b \u2044 +1 -3 1st 2nd 3D 4x4 16:9".split(),
    [*"\xb2\xb3\xb9\u2070\u207a\u207b\u2081\u208a\u208b", "\u207b\xb3", "\u208b\u2081", "x\xb2"],
    ["(555) 123-4567", "555-1234", "+1 800 555 1234", "555.123.4567", "1 1/2", "12 345 6789"],
    [*"$#\xa2\xa3\xa4\xa5\x80\u20ac\u20a0\u20a4\u060b\u0e3f%&", "US$", "A$", "$5", "#1", "(20)"],
    # emoticons and brackets
    ":) :-) ;-( :D =P :o) :'( >:| <3 :\\ ^_^ (^_^) =_= x_x (---) (-_-) (^.^) ('-') (^-`) -_- :P "
    "(x-x) ~_~ <_< >_> 'x_x'".split(),
    [*"()[]{}<>=/\\|~^*+@#", *"<< >> \\* \\*\\* ** @@ ## __ -LRB- -rsb-".split()],
    # addresses, tags and entities
    "http://a.b/c https://x.com/a-b. HTTP://X.ORG www.example.com WWW.X.ab example.com/cats x.ORG "
    "site.net/a(b) www.a.com/d.e a@b a.b@c.de <me@x.com> &lt;a@b&gt; @user @_x #tag #tagg\xe9 c++ "
    "C# f# F# a.txt photo.jpg b.zip x.c y.h".split(),
    "<b> </b> <br/> <!-- <!x> <?xml?> <p </p /> href= ='x' =\"".split(),
    ["<a b = 'c d'>", "<!-- a b -->", '<a href="u" >', "<a href='x'>", "<a b c>", "<p >", "< b>"],
    "&amp; &AMP; &lt; &gt; &LT; &GT; &nbsp; &NBSP; &eacute; &Egrave; &UUML; &iuml; &HT; &lr; &QC; "
    "&odq; &#39; &#x27; &copy; &amp AT&T AT&amp;T A+B S&P-500 S&amp;P-500 S&Ls s&l pro- anti- "
    "pro-life R&D. B&B".split(),
    # paths of words
    "and/or he/she a/b/c a-b/c-d a\\/b 1/a w/o".split(),
]


def pieces() -> list[list[str]]:
    """The kinds of pieces, with the fragments of the golden captions as one kind."""
    golden = [entry["caption"] for entry in json.loads(GOLDEN.read_text(encoding="utf-8"))]
    words = {word for caption in golden for word in caption.split(" ") if word}
    return [*_PIECES, sorted(words)]


def captions(rng: random.Random) -> Iterator[str]:
    """Join random pieces, or characters of a few of them, without end."""
    kinds = pieces()
    while True:
        chosen = [_vary(rng, rng.choice(rng.choice(kinds))) for _ in range(rng.choice(_LENGTHS))]
        if rng.random() < 0.3:
            letters = sorted(set("".join(chosen))) or ["a"]
            text = "".join(rng.choices(letters, k=rng.randint(2, 12)))
        else:
            joins = ["", "", "", "", " ", " ", rng.choice(rng.choice(_PUNCTUATION))]
            text = "".join(piece + rng.choice(joins) for piece in chosen)
        # The reference's caption ends where a line ends.
        text = re.sub("[\n\r\x0b\x0c\u2028\u2029]", " ", text)
        if text.strip() and not _RUNS_ON.search(text):
            yield text


def _vary(rng: random.Random, piece: str) -> str:
    if rng.random() < 0.02:
        piece = chr(rng.choice([*range(0x80, 0xD800), *range(0xE000, 0x10000)]))
    if rng.random() < 0.1:
        cut = rng.randrange(len(piece) + 1)
        piece = rng.choice([piece[:cut], piece[cut:]])
    return rng.choice([str, str, str, str.upper, str.lower, str.title, str.swapcase])(piece)


def differing(texts: list[str]) -> dict[str, str]:
    """Return the captions whose words are not the reference's, with the reason if it is known."""
    found = {}
    for text, words in zip(texts, reference_words(texts), strict=True):
        if (ours := tokenize(text)) != words:
            reasons = [
                why for why, same in KNOWN.items() if [*map(same, ours)] == [*map(same, words)]
            ]
            found[text] = reasons[0] if reasons else ""
    return found


def shrink(texts: list[str]) -> list[str]:
    """Shorten captions by parts of them while they differ; the shortest for each, without twins."""
    done: set[str] = set()
    while texts:
        shorter = {
            text: [text[:at] + text[at + n :] for n in (8, 4, 2, 1) for at in range(len(text))]
            for text in texts
        }
        tries = sorted({t for found in shorter.values() for t in found if t.strip()}, key=len)
        still = {t for t, reason in differing(tries).items() if not reason} if tries else set()
        following = set()
        for text, found in shorter.items():
            smaller = [t for t in sorted(set(found), key=lambda t: (len(t), t)) if t in still]
            following |= set(smaller[:1])
            if not smaller:
                done.add(text)
        texts = sorted(following)
    return sorted(done, key=lambda text: (len(text), text))


def main() -> int:
    """Compare for as long as asked."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    stream = captions(random.Random(given.seed))
    end, compared = time.monotonic() + 60 * given.minutes, 0
    found: dict[str, str] = {}
    while time.monotonic() < end and len(found) < _MOST:
        batch = [next(stream) for _ in range(_BATCH)]
        compared += len(batch)
        found |= differing(batch)
    print(f"{compared} captions compared, {len(found)} differ")
    for reason, number in Counter(found.values()).items():
        print(f"{number}: {reason or 'unexplained'}")
    unexplained = [text for text, reason in found.items() if not reason]
    smallest = shrink(sorted(unexplained, key=len)[: 5 * _SHOWN])[:_SHOWN]
    for text, words in zip(smallest, reference_words(smallest) if smallest else [], strict=True):
        print(f"  {ascii(text)}: reference {ascii(words)}, jaxcap {ascii(tokenize(text))}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
