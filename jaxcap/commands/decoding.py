"""The flags of the commands that write captions: how words are chosen, and rules on them."""

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

BEAM = flags.DEFINE_integer("beam", 3, "Beams of the search; 1 is greedy.", lower_bound=1)
LENGTH_NORM = flags.DEFINE_enum(
    "length_norm",
    "none",
    NORMALISATIONS,
    "What log-probabilities are divided by to rank beams: nothing, the number of words, or "
    "GNMT's power of it.",
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
    "Nats that a word loses for each beam of an earlier group that says it.",
    lower_bound=0,
)

TEMPERATURE = flags.DEFINE_float(
    "temperature",
    1.0,
    "Draw words at random, with --seed, from the probabilities at this temperature.",
    lower_bound=0,
)
TOP_K = flags.DEFINE_integer(
    "top_k", None, "Draw words at random, from the likeliest so many.", lower_bound=1
)
TOP_P = flags.DEFINE_float(
    "top_p", None, "Draw words at random, from the likeliest that have this share.", 0, 1
)

MAX_LENGTH = flags.DEFINE_integer("max_length", 30, "Most words in a caption.", lower_bound=1)
MIN_LENGTH = flags.DEFINE_integer("min_length", 0, "Fewest words in a caption.", lower_bound=0)
NO_REPEAT_NGRAM = flags.DEFINE_integer(
    "no_repeat_ngram", 0, "Say no run of so many words twice; 0 allows all.", lower_bound=0
)
ALLOW_UNK = flags.DEFINE_bool("allow_unk", False, f"Let captions say {UNK}.")
FORBID_BAD_ENDINGS = flags.DEFINE_bool(
    "forbid_bad_endings", False, "Let no caption end with an article, a preposition or the like."
)
PREFIX = flags.DEFINE_string("prefix", "", "Words that each caption opens with, as 'a photo of'.")

_SEARCH = (BEAM, LENGTH_NORM, LENGTH_ALPHA, GROUPS, DIVERSITY)
_DRAW = (TEMPERATURE, TOP_K, TOP_P)


class Decoding(NamedTuple):
    """What the flags ask for, by the names of the arguments that captioners take."""

    strategy: Strategy
    rules: Rules
    key: Array


def read_decoding(vocabulary: Vocabulary) -> Decoding:
    """Read the flags.

    Args:
        vocabulary: of the captioner.

    Raises:
        ValueError: flags contradict each other, or a word of the prefix is unknown.
    """
    rules = Rules.of(
        vocabulary,
        forbidden=() if ALLOW_UNK.value else (UNK,),
        bad_endings=BAD_ENDINGS if FORBID_BAD_ENDINGS.value else (),
        prefix=PREFIX.value.lower().split(),
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
            f"--{search[0]} searches for words and --{draw[0]} draws them: give one of the two"
        )
    if draw:
        return Sampling(temperature=TEMPERATURE.value, top_k=TOP_K.value, top_p=TOP_P.value)
    width, norm, groups = BEAM.value, LENGTH_NORM.value, GROUPS.value
    if LENGTH_ALPHA.present and norm != "gnmt":
        raise ValueError("--length_alpha is the exponent of --length_norm=gnmt: give both")
    if DIVERSITY.present and groups == 1:
        raise ValueError("--diversity is between the groups of --groups: give both")
    if width % groups:
        raise ValueError(f"--groups={groups} does not divide --beam={width}")
    if width == 1 and norm != "none":
        raise ValueError(
            f"--length_norm={norm} ranks beams, and --beam=1 has one: give --beam of 2 or more"
        )
    if width == 1:
        return Greedy()
    return Beam(width, norm, LENGTH_ALPHA.value, groups, DIVERSITY.value)
