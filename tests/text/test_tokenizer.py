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


def test_golden_captions_are_many_and_differ():
    assert len({entry["caption"] for entry in GOLDEN}) == len(GOLDEN) >= 400


@pytest.mark.parametrize("entry", GOLDEN, ids=lambda entry: ascii(entry["caption"])[:40])
def test_words_are_the_reference_tokenizers(entry):
    assert tokenize(entry["caption"]) == entry["words"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_every_end_of_line_is_a_space(end):
    assert tokenize(f"a dog{end}and a cat.{end}") == ["a", "dog", "and", "a", "cat"]


@pytest.mark.parametrize("blank", ["", " ", "\n", "\t\n ", "...", '"', "\U0001f600", "\x00\x01"])
def test_nothing_to_say_gives_no_words(blank):
    assert tokenize(blank) == []


def test_words_are_small_letters_and_never_blank():
    for entry in GOLDEN:
        for word in tokenize(entry["caption"]):
            assert word
            assert word == word.lower()
            assert " " not in word


def test_tokenizing_again_changes_few_words():
    """The words of a plain caption are its tokens, so that scoring tokenized captions is safe."""
    for caption in ("a man's dog isn't running at 5 p.m.", "two black-and-white cats on a bed"):
        words = tokenize(caption)
        assert tokenize(" ".join(words)) == words


@pytest.mark.parametrize(
    "piece", ["a", "a.", "ab-", "a@", "<a ", "1 ", "'", "\u00e9", "!", ". ", "a!a", "o'"]
)
def test_long_captions_end_soon(piece):
    begin = time.perf_counter()
    tokenize(piece * (20000 // len(piece)))
    assert time.perf_counter() - begin < 10


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="the reference tokenizer needs Java")
def test_golden_words_are_still_the_reference_tokenizers():
    code = (
        "import json, sys; from golden_tokens import GOLDEN, reference_words\n"
        "golden = json.loads(GOLDEN.read_text(encoding='utf-8'))\n"
        "assert reference_words([e['caption'] for e in golden]) == [e['words'] for e in golden]"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tools", check=True)
