"""What the flags of decoding ask for."""

import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from jaxcap.commands import decoding as decoding_flags
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy
from jaxcap.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a", "photo", "of", "cat"])


@pytest.fixture
def read():
    """`read(*flags, beam=...)`: the decoding that flags ask for."""

    def read(*given, beam=1):
        flags.FLAGS([sys.argv[0], *given])
        return decoding_flags.read_decoding(VOCABULARY, beam=beam)

    with flagsaver.flagsaver():
        yield read


@pytest.mark.parametrize(
    ("given", "beam", "strategy"),
    [
        ([], 1, Greedy()),
        ([], 3, Beam(3)),
        (["--beam=1"], 3, Greedy()),
        (["--beam=1", "--length_norm=none"], 3, Greedy()),
        (["--beam=5", "--length_norm=average"], 3, Beam(5, "average")),
        (["--beam=2", "--length_norm=gnmt", "--length_alpha=0.9"], 1, Beam(2, "gnmt", 0.9)),
        (["--beam=4", "--groups=2", "--diversity=1"], 1, Beam(4, groups=2, diversity=1.0)),
        (["--temperature=1"], 3, Sampling()),
        (["--top_k=5", "--top_p=0.9"], 3, Sampling(top_k=5, top_p=0.9)),
    ],
)
def test_strategies(read, given, beam, strategy):
    assert read(*given, beam=beam).strategy == strategy


def test_rules_on_words(read):
    plain = read()
    assert plain.constraints == Constraints(forbidden=(0, 1, 3))
    assert plain.max_length == 30
    found = read(
        "--allow_unk",
        "--no_repeat_ngram=3",
        "--min_length=2",
        "--max_length=9",
        "--forbid_bad_endings",
        "--prefix=A photo of",
    )
    assert found.constraints == Constraints((0, 1), 3, 2, bad_last=(4, 6), prefix=(4, 5, 6))
    assert found.max_length == 9


@pytest.mark.parametrize(
    ("given", "match"),
    [
        (["--beam=3", "--top_p=0.5"], "--beam searches .* --top_p draws"),
        (["--length_norm=average"], "--length_norm=average ranks beams, and --beam=1 has one"),
        (["--length_alpha=1"], "--length_alpha is the exponent of --length_norm=gnmt"),
        (["--diversity=1"], "--diversity .* --groups"),
        (["--beam=3", "--groups=2"], "--groups=2 does not divide --beam=3"),
        (["--groups=2"], "--groups=2 does not divide --beam=1"),
        (["--temperature=0"], "temperature must be above 0"),
        (["--prefix=a photograph"], "the prefix has words .* photograph"),
        (["--prefix=a photo of", "--max_length=2"], "prefix of 3 words exceeds max_length=2"),
        (["--min_length=30"], "min_length=30 leaves no room"),
    ],
)
def test_contradictions(read, given, match):
    with pytest.raises(ValueError, match=match):
        read(*given)
