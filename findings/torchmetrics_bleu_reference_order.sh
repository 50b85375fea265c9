#!/usr/bin/env bash
# torchmetrics: BLEU depends on the order of the references.
#
# Guess before running: the references of a caption are a set; their order does not matter.
# Seen: where two references are equally near in length to the caption, torchmetrics takes the first for
# the brevity penalty. NLTK and sacreBLEU take the shorter one, and give the same in both orders.
# Common expectation: the score of pycocoevalcap, which takes the shorter one. (Installs PyTorch.)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torchmetrics==1.9.0 torch==2.14.1 nltk==3.10.4 sacrebleu==2.6.0
"$work/venv/bin/python" -W ignore - <<'P'
import sacrebleu
from nltk.translate.bleu_score import corpus_bleu
from torchmetrics.functional.text import bleu_score

caption = "a dog runs on the grass"
references = ["a dog runs on grass", "a dog runs on the green grass"]
seen = []
for order in (references, references[::-1]):
    by_nltk = corpus_bleu([[reference.split() for reference in order]], [caption.split()])
    by_sacrebleu = sacrebleu.corpus_bleu([caption], [[r] for r in order], tokenize="none").score / 100
    seen.append([round(b, 4) for b in (float(bleu_score([caption], [order])), by_nltk, by_sacrebleu)])
    print("torchmetrics {}, NLTK {}, sacreBLEU {}".format(*seen[-1]))
assert seen == [[0.7953] * 3, [0.6732, 0.7953, 0.7953]], seen
P
# Output:
#   torchmetrics 0.7953, NLTK 0.7953, sacreBLEU 0.7953
#   torchmetrics 0.6732, NLTK 0.7953, sacreBLEU 0.7953
