"""Flags of the commands that write captions: decoding strategies and rules on words."""

from typing import NamedTuple

import jax
from absl import flags
from jaxtyping import Array

from jaxcap.commands.run import SEED
from jaxcap.decoding.beam import NORMALISATIONS, Beam
from jaxcap.decoding.rules import BAD_ENDINGS, Rules
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategy import Strategy
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.text.vocabulary import UNK, Vocabulary
from jaxcap.text.words import split_words

BEAM = flags.DEFINE_integer("beam", 3, "Beams per image; 1 is greedy decoding.", lower_bound=1)
LENGTH_NORM = flags.DEFINE_enum(
    "length_norm",
    "none",
    NORMALISATIONS,
    "Divisor of log-probabilities to rank beams: none, average (the number of words), or gnmt "
    "(GNMT's length penalty).",
)
LENGTH_ALPHA = flags.DEFINE_float(
    "length_alpha", 0.6, "Exponent of --length_norm=gnmt.", lower_bound=0
)
GROUPS = flags.DEFINE_integer(
    "groups", 1, "Groups of beams that avoid each other's words.", lower_bound=1
)
DIVERSITY = flags.DEFINE_float(
    "diversity",
    0.5,
    "Penalty on a word, in nats, for each beam of an earlier group that says it; for --groups.",
    lower_bound=0,
)

TEMPERATURE = flags.DEFINE_float(
    "temperature",
    1.0,
    "Sample words, with --seed, from the probabilities at this temperature.",
    lower_bound=0,
)
TOP_K = flags.DEFINE_integer(
    "top_k", None, "Sample words from this number of the likeliest.", lower_bound=1
)
TOP_P = flags.DEFINE_float(
    "top_p", None, "Sample words from the likeliest with this total probability.", 0, 1
)

MAX_LENGTH = flags.DEFINE_integer(
    "max_length", 30, "Maximum number of words in a caption.", lower_bound=1
)
MIN_LENGTH = flags.DEFINE_integer(
    "min_length", 0, "Minimum number of words in a caption.", lower_bound=0
)
NO_REPEAT_NGRAM = flags.DEFINE_integer(
    "no_repeat_ngram", 0, "Say no n-gram of this length twice; 0 allows all.", lower_bound=0
)
ALLOW_UNK = flags.DEFINE_bool("allow_unk", False, f"Allow {UNK} in captions.")
FORBID_BAD_ENDINGS = flags.DEFINE_bool(
    "forbid_bad_endings",
    False,
    "Forbid captions that end with an article, a conjunction, a preposition or a form of 'to be'.",
)
PREFIX = flags.DEFINE_string("prefix", "", "First words of every caption, such as 'a photo of'.")

_SEARCH = (BEAM, LENGTH_NORM, LENGTH_ALPHA, GROUPS, DIVERSITY)
_DRAW = (TEMPERATURE, TOP_K, TOP_P)


class Decoding(NamedTuple):
    """Decoding by the flags, with the names of the arguments of captioners."""

    strategy: Strategy
    rules: Rules
    key: Array


def read_decoding(vocabulary: Vocabulary) -> Decoding:
    """Read the flags of decoding.

    Args:
        vocabulary: vocabulary of the captioner.

    Raises:
        ValueError: flags contradict each other, or the vocabulary lacks a word of the prefix.
    """
    rules = Rules.of(
        vocabulary,
        forbidden=() if ALLOW_UNK.value else (UNK,),
        bad_endings=BAD_ENDINGS if FORBID_BAD_ENDINGS.value else (),
        prefix=split_words(PREFIX.value, "character" if vocabulary.of_characters else "space"),
        max_length=MAX_LENGTH.value,
        min_length=MIN_LENGTH.value,
        no_repeat_ngram=NO_REPEAT_NGRAM.value,
    )
    return Decoding(_strategy(), rules, jax.random.key(SEED.value))


def _strategy() -> Strategy:
    search = [flag.name for flag in _SEARCH if flag.present]
    draw = [flag.name for flag in _DRAW if flag.present]
    if search and draw:
        raise ValueError(
            f"--{search[0]} is for beam search and --{draw[0]} for sampling: give only one of them"
        )
    if draw:
        return Sampling(temperature=TEMPERATURE.value, top_k=TOP_K.value, top_p=TOP_P.value)
    width, norm, groups = BEAM.value, LENGTH_NORM.value, GROUPS.value
    if LENGTH_ALPHA.present and norm != "gnmt":
        raise ValueError("--length_alpha is the exponent of --length_norm=gnmt: give both")
    if DIVERSITY.present and groups == 1:
        raise ValueError("--diversity is between groups of beams: give --groups too")
    if width % groups:
        raise ValueError(f"--groups={groups} must divide --beam={width}")
    if width == 1 and norm != "none":
        raise ValueError(
            f"--length_norm={norm} ranks beams, but --beam=1 has only one: give --beam=2 or more"
        )
    if width == 1:
        return Greedy()
    return Beam(width, norm, LENGTH_ALPHA.value, groups, DIVERSITY.value)
