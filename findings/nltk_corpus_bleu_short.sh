#!/usr/bin/env bash
# NLTK: corpus_bleu of captions that equal their references is below 1 where some are short.
#
# Guess before running: corpus_bleu without smoothing is what sacreBLEU gives for the same tokens, and
# captions that equal their references get 1.
# Seen: a caption of fewer than four words counts as one 4-gram that was not found. Three captions of two
# words and one of six, all equal to their references, get BLEU-4 0.73; sacreBLEU gives 1.
# Common expectation: a sentence that has no n-gram adds nothing to the n-gram counts of the corpus.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q nltk==3.10.4 sacrebleu==2.6.0
"$work/venv/bin/python" - <<'P'
import sacrebleu
from nltk.translate.bleu_score import corpus_bleu

captions = ["a dog", "a cat", "two birds", "a man rides a red bike"]
words = [caption.split() for caption in captions]
by_nltk = corpus_bleu([[caption] for caption in words], words)
by_sacrebleu = sacrebleu.corpus_bleu(captions, [captions], tokenize="none", smooth_method="none")
print(f"NLTK: {by_nltk:.4f}; sacreBLEU: {by_sacrebleu.score / 100:.4f}")
assert abs(by_nltk - 0.7311) < 1e-4 and abs(by_sacrebleu.score - 100) < 1e-4
long = words[3:]
assert abs(corpus_bleu([[caption] for caption in long], long) - 1) < 1e-6
P
# Output: NLTK: 0.7311; sacreBLEU: 1.0000
