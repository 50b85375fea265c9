"""Diverse beam search (Vijayakumar et al., 2018): groups of beams that avoid each other's words.

The groups choose one after the other at every step. A candidate of group g ranks by

    log p(beam, word) - diversity * (number of beams of groups before g that said word at this step)

which is the paper's Hamming diversity. It only affects the choice of this step; the
log-probabilities of beams are those of the model.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxcap.decoding.beam_steps import Beams, Candidates, Choice, select


def select_in_groups(beams: Beams, candidates: Candidates, groups: int, diversity: float) -> Choice:
    """Choose the best candidates of each group in turn.

    The K likeliest words of each beam suffice as candidates: earlier groups lower the rank of at
    most K - B words, and the B best of the others are among the rest.

    Args:
        beams: the beams before the step, group after group.
        candidates: the candidates of all beams.
        groups: number of groups, G, which divides K.
        diversity: penalty on a candidate for each beam that has said its word, in nats.
    """
    width = beams.open.shape[1] // groups
    choices: list[Choice] = []
    for first in range(0, width * groups, width):
        group = slice(first, first + width)
        own = Candidates(candidates.words[:, group], candidates.log_probs[:, group])
        lost = diversity * _times_said(own, choices) if choices else None
        choice = select(own, beams.finished[:, group], beams.log_probs[:, group], lost)
        choices.append(choice._replace(parent=choice.parent + first))
    return Choice(*(jnp.concatenate(parts, axis=1) for parts in zip(*choices, strict=True)))


def _times_said(candidates: Candidates, choices: list[Choice]) -> Float[Array, "N B M"]:
    """Count the earlier choices that have the word of each candidate."""
    words = jnp.concatenate([choice.words for choice in choices], axis=1)[:, None, None]
    grown = jnp.concatenate([choice.grown for choice in choices], axis=1)[:, None, None]
    said = (candidates.words[..., None] == words) & grown
    return said.sum(axis=3).astype(candidates.log_probs.dtype)
