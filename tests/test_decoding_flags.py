"""What the flags of decoding ask for."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from jaxcap.commands import decoding as decoding_flags
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a", "photo", "of", "cat"])


def read(*given):
    """The decoding that flags ask for."""
    with flagsaver.flagsaver():
        flags.FLAGS([sys.argv[0], *given])
        return decoding_flags.read_decoding(VOCABULARY)


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ([], Beam(3)),
        (["--beam=1"], Greedy()),
        (["--length_norm=average"], Beam(3, "average")),
        (["--beam=2", "--length_norm=gnmt", "--length_alpha=0.9"], Beam(2, "gnmt", 0.9)),
        (["--beam=4", "--groups=2", "--diversity=1"], Beam(4, groups=2, diversity=1.0)),
        (["--top_k=5", "--top_p=0.9"], Sampling(top_k=5, top_p=0.9)),
    ],
)
def test_strategies(given, strategy):
    assert read(*given).strategy == strategy


def test_rules_on_words():
    assert read().rules == Rules.of(VOCABULARY) == Rules(forbidden=(0, 1, 3))
    flags = ["--allow_unk", "--no_repeat_ngram=3", "--min_length=2", "--max_length=9"]
    found = read(*flags, "--forbid_bad_endings", "--prefix=A photo of").rules
    assert found == Rules(1, 2, 0, 9, (0, 1), 3, 2, bad_endings=(4, 6), prefix=(4, 5, 6))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["--beam=3", "--top_p=0.5"], "--beam is for .* --top_p for sampling"),
        (
            ["--beam=1", "--length_norm=average"],
            "--length_norm=average ranks .* --beam=1 has only one",
        ),
        (["--length_alpha=1"], "--length_alpha is the exponent of --length_norm=gnmt"),
        (["--diversity=1"], "--diversity .* --groups"),
        (["--groups=2"], "--groups=2 must divide --beam=3"),
        (["--prefix=a photograph"], "`prefix` has words .* photograph"),
        (["--prefix=a photo of", "--max_length=2"], "has 3 words, more than `max_length=2`"),
    ],
)
def test_contradictions(given, match):
    with pytest.raises(ValueError, match=match):
        read(*given)
