"""Losses over sequences of word logits (notebook, "LSTM captioning model")."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxcap.nn.regularisation import Rate


class CaptionLoss(NamedTuple):
    """Negative log-likelihood of captions in nats, averaged in two ways.

    `per_caption` is minimised, and printed by the notebook: summed over the words of a caption,
    averaged over captions. `per_word` is averaged over all real words, so you can compare it
    between sets of different caption lengths.
    """

    per_caption: Float[Array, ""]
    per_word: Float[Array, ""]


class Targets(NamedTuple):
    """The words to predict; a pytree."""

    words: Int[Array, "*B"]
    """Ids in [0, V)."""
    mask: Bool[Array, "*B"]
    """True where the word counts; elsewhere its logits get no gradient."""
    weights: Float[Array, "*B"] | None = None
    """Factors on the losses of the words; None for 1."""


def temporal_softmax_loss(
    logits: Float[Array, "*B V"],
    targets: Targets,
    num: int,
    smoothing: Rate | None = None,
) -> CaptionLoss:
    """Sum the softmax cross-entropy of words over time and average it over the batch.

    Args:
        logits: unnormalised log-probabilities of the next word, batch or time first.
        targets: the words to predict.
        num: number of captions, N.
        smoothing: probability that the target distribution spreads evenly over all V words, taken
            from the target (Szegedy et al. 2016); None for no smoothing.

    Returns:
        The loss, in float32 at least. Without real words both averages are 0.
    """
    words, mask, weights = targets
    log_normaliser = jax.nn.logsumexp(logits, axis=-1)
    chosen = jnp.take_along_axis(logits, words[..., None], axis=-1)[..., 0]
    if smoothing is not None:
        chosen = (1 - smoothing) * chosen + smoothing * logits.mean(axis=-1)
    nats = jnp.where(mask, log_normaliser - chosen, jnp.zeros_like(chosen))
    if weights is not None:
        nats = nats * weights
    # Half precision can neither sum nor count the words of a batch.
    if nats.dtype.itemsize < 4:
        nats = nats.astype(jnp.float32)
    nats = nats.sum()
    count = jnp.maximum(mask.sum(), 1).astype(nats.dtype)
    return CaptionLoss(per_caption=nats / num, per_word=nats / count)
