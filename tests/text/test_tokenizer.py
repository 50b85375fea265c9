"""The tokenizer against the stored output of the reference one."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxcap.text.tokenizer import tokenize

ROOT = Path(__file__).parents[2]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "ptb_tokens.json").read_text(encoding="utf-8"))


def test_words_are_the_reference_tokenizers():
    assert len({entry["caption"] for entry in GOLDEN}) == len(GOLDEN) >= 400
    found = [{**entry, "words": tokenize(entry["caption"])} for entry in GOLDEN]
    assert [entry for entry in found if entry not in GOLDEN] == []
    for word in {word for entry in found for word in entry["words"]}:
        assert word and word == word.lower() and " " not in word


def test_ends_of_lines_are_spaces_and_nothing_gives_no_words():
    for end in ("\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"):
        assert tokenize(f"a dog{end}and a cat.{end}") == ["a", "dog", "and", "a", "cat"]
    for blank in ("", " ", "\n", "\t\n ", "...", '"', "\U0001f600", "\x00\x01"):
        assert tokenize(blank) == []
    # The words of a plain caption are its tokens, so that scoring tokenized captions is safe.
    for caption in ("a man's dog isn't running at 5 p.m.", "two black-and-white cats on a bed"):
        words = tokenize(caption)
        assert tokenize(" ".join(words)) == words


def test_long_captions_end_soon():
    begin = time.process_time()
    for piece in ("a", "a.", "ab-", "a@", "<a ", "1 ", "'", "\u00e9", "!", ". ", "a!a", "o'"):
        tokenize(piece * (10_000 // len(piece)))
    assert time.process_time() - begin < 20


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("java") is None, reason="the reference tokenizer needs Java")
def test_golden_words_are_still_the_reference_tokenizers():
    code = (
        "import json, sys; from golden_tokens import GOLDEN, reference_words\n"
        "golden = json.loads(GOLDEN.read_text(encoding='utf-8'))\n"
        "assert reference_words([e['caption'] for e in golden]) == [e['words'] for e in golden]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", check=True)
