"""The tokenizer against the stored output of the reference one."""

import json
import shutil
import subprocess
import sys
import time
from datetime import date
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxcap.text.tokenizer import tokenize

ROOT = Path(__file__).parents[2]
GOLDEN_ANEW = """
import json
from golden_tokens import GOLDEN, reference_words
golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
assert reference_words([e["caption"] for e in golden]) == [e["words"] for e in golden]
"""
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


@pytest.mark.parametrize(
    "missing, said", [("package", "pycocoevalcap is not"), ("java", "Java is not on the PATH")]
)
def test_a_comparison_without_the_reference_says_what_is_missing(missing, said, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = import_module("golden_tokens")
    found = None if missing == "package" else SimpleNamespace(submodule_search_locations=["x"])
    monkeypatch.setattr(tool, "find_spec", lambda name: found)
    monkeypatch.setattr(tool.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=said):
        tool.reference_words(["a dog"])


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("java") is None, reason="the reference tokenizer needs Java")
@pytest.mark.parametrize(
    "command",
    [
        ["-c", GOLDEN_ANEW],
        [ROOT / "tests" / "fuzz" / "tokenizer.py", "--minutes=0.5", f"--seed={date.today():%j}"],
    ],
    ids=["golden", "random"],
)
def test_the_reference_tokenizers_words_are_these(command):
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT / "tools", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
