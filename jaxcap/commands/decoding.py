"""The flags of the commands that write captions: how words are chosen, and rules on them."""

from typing import NamedTuple

import jax
from absl import flags
from jaxtyping import Array

from jaxcap.commands.run import SEED
from jaxcap.decoding.beam import NORMALISATIONS, Beam
from jaxcap.decoding.rules import BAD_ENDINGS, Constraints, vocabulary_constraints
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy, Strategy
from jaxcap.text.vocabulary import UNK, Vocabulary

BEAM = flags.DEFINE_integer(
    "beam",
    None,
    "Beams of the search; 1 is greedy. The default is 3 for jaxcap.caption and 1 elsewhere.",
    lower_bound=1,
)
LENGTH_NORM = flags.DEFINE_enum(
    "length_norm",
    None,
    NORMALISATIONS,
    "What log-probabilities are divided by to rank beams: nothing, the number of words, or "
    "GNMT's power of it.",
)
LENGTH_ALPHA = flags.DEFINE_float(
    "length_alpha", None, "Exponent of --length_norm=gnmt; 0.6 by default.", lower_bound=0
)
GROUPS = flags.DEFINE_integer(
    "groups", None, "Groups of beams that avoid each other's words.", lower_bound=1
)
DIVERSITY = flags.DEFINE_float(
    "diversity",
    None,
    "Nats that a word loses for each beam of an earlier group that says it; 0.5 by default.",
    lower_bound=0,
)

TEMPERATURE = flags.DEFINE_float(
    "temperature",
    None,
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
    """What the flags ask for, by the names of the arguments of `caption_images`."""

    strategy: Strategy
    key: Array
    constraints: Constraints
    max_length: int


def read_decoding(vocabulary: Vocabulary, *, beam: int = 1) -> Decoding:
    """Read the flags.

    Args:
        vocabulary: of the captioner.
        beam: beams of the search where the flags do not say.

    Raises:
        ValueError: flags contradict each other, or a word of the prefix is unknown.
    """
    constraints = vocabulary_constraints(
        vocabulary,
        forbidden=() if ALLOW_UNK.value else (UNK,),
        no_repeat_ngram=NO_REPEAT_NGRAM.value,
        min_length=MIN_LENGTH.value,
        bad_last=BAD_ENDINGS if FORBID_BAD_ENDINGS.value else (),
        prefix=PREFIX.value.lower().split(),
    )
    constraints.check(len(vocabulary), vocabulary.end, MAX_LENGTH.value)
    key = jax.random.key(SEED.value)
    return Decoding(_strategy(beam), key, constraints, MAX_LENGTH.value)


def _strategy(beam: int) -> Strategy:
    search = [flag.name for flag in _SEARCH if flag.value is not None]
    draw = [flag.name for flag in _DRAW if flag.value is not None]
    if search and draw:
        raise ValueError(
            f"--{search[0]} searches for words and --{draw[0]} draws them: give one of the two"
        )
    if draw:
        given = {"temperature": TEMPERATURE.value, "top_k": TOP_K.value, "top_p": TOP_P.value}
        return Sampling(**_without_none(given))
    if LENGTH_ALPHA.value is not None and LENGTH_NORM.value != "gnmt":
        raise ValueError("--length_alpha is the exponent of --length_norm=gnmt: give both")
    if DIVERSITY.value is not None and GROUPS.value is None:
        raise ValueError("--diversity is between the groups of --groups: give both")
    width = BEAM.value or beam
    if width % (GROUPS.value or 1):
        raise ValueError(f"--groups={GROUPS.value} does not divide --beam={width}")
    if width == 1:
        if LENGTH_NORM.value not in (None, "none"):
            raise ValueError(
                f"--length_norm={LENGTH_NORM.value} ranks beams, and --beam=1 has one: give --beam "
                "of 2 or more"
            )
        return Greedy()
    given = {
        "normalisation": LENGTH_NORM.value,
        "alpha": LENGTH_ALPHA.value,
        "groups": GROUPS.value,
        "diversity": DIVERSITY.value,
    }
    return Beam(width=width, **_without_none(given))


def _without_none(given: dict) -> dict:
    return {name: value for name, value in given.items() if value is not None}
