#!/usr/bin/env bash
# pycocoevalcap: the words of a caption depend on the caption of the next image.
#
# Guess before running: the tokenizer is called with -preserveLines, so a line is tokenized by itself.
# Seen: "plan B." is "plan b." or "plan b", by whether the next image's caption begins with "The". A tag
# whose quotation mark is open is one token with the next image's caption, where that closes it.
# Common expectation: the score of an image depends on its own captions, and their order is no matter.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pycocoevalcap==1.2
"$work/venv/bin/python" - <<'P'
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

def words(*captions):
    images = {number: [{"caption": caption}] for number, caption in enumerate(captions)}
    found = PTBTokenizer().tokenize(images)
    print(list(captions), "->", list(found.values()))
    return [image[0] for image in found.values()]

a, *_ = words("plan B.", "the dog")
b, *_ = words("plan B.", "The dog")
c, *_ = words('<a b="c', "d")
d, *_ = words('<a b="c', 'd">')
assert (a, b) == ("plan b.", "plan b"), (a, b)
assert (c, d) == ("< a b = c", '<a\xa0b="c'), (c, d)
P
# Output:
#   ['plan B.', 'the dog'] -> [['plan b.'], ['the dog']]
#   ['plan B.', 'The dog'] -> [['plan b'], ['the dog']]
#   ['<a b="c', 'd'] -> [['< a b = c'], ['d']]
#   ['<a b="c', 'd">'] -> [['<a\xa0b="c'], ['d">']]
