"""What a captioner does at each word: the probabilities of words, and the gates of the LSTM.

Axes: N captions, T steps, H hidden units, K alternatives. `jaxcap.plots` draws both.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.nn.captioner import CaptionerConfig, FedCarry, Params, logits, start
from jaxcap.nn.recurrent import CellParams, lstm


class WordProbabilities(NamedTuple):
    """Probabilities of each word of a caption given its image and the words before it."""

    written: Float[Array, "*N T"]
    """Of the word that the caption has there."""
    top_ids: Int[Array, "*N T K"]
    """The likeliest words there, the likeliest first."""
    top: Float[Array, "*N T K"]
    """Their probabilities."""


class Gates(NamedTuple):
    """Activations of the LSTM's gates as it reads each word."""

    i: Float[Array, "*N T H"]
    """Input gate, in (0, 1)."""
    f: Float[Array, "*N T H"]
    """Forget gate, in (0, 1): the share of the cell state that is kept."""
    o: Float[Array, "*N T H"]
    """Output gate, in (0, 1)."""
    g: Float[Array, "*N T H"]
    """Candidate for the cell state, in (-1, 1)."""


def word_probabilities(
    params: Params,
    config: CaptionerConfig,
    features: Float[Array, "N D"],
    captions: Int[Array, "N L"],
    top: int = 5,
) -> WordProbabilities:
    """Find how likely each word of captions is, and what would have been likelier.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        features: one feature vector for each caption.
        captions: word ids from `<START>` on; all but the last column are read, all but the first
            are predicted, T = L - 1.
        top: number of alternatives, K.

    Raises:
        ValueError: `top` is below 1 or above the number of words.
    """
    if not 1 <= top <= config.vocab_size:
        raise ValueError(f"top must be at least 1 and at most {config.vocab_size}, got {top}")
    words, targets = captions[:, :-1], captions[:, 1:]
    each = jax.nn.softmax(logits(params, config, features, words))
    written = jnp.take_along_axis(each, targets[..., None], axis=2)[..., 0]
    probabilities, ids = lax.top_k(each, top)
    return WordProbabilities(written, ids, probabilities)


def gate_activations(
    params: Params,
    config: CaptionerConfig,
    features: Float[Array, "N D"],
    words: Int[Array, "N T"],
) -> Gates:
    """Find the gates of the LSTM as it reads `words`, which are the caption from `<START>` on.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        features: one feature vector for each caption.
        words: word ids.

    Raises:
        ValueError: the captioner's cell is no LSTM of jaxcap's.
    """
    if config.cell != "lstm":
        raise ValueError(f"only the cell lstm has the gates i, f, o, g; this one is {config.cell}")
    first = start(params, config, features)
    x = params["W_embed"][words]
    if isinstance(first, FedCarry):
        first, x = first.cell, x + first.x[:, None]
    cell = CellParams(params["Wx"], params["Wh"], params["b"])
    _, h = lstm(cell, x, *first)
    before = jnp.concatenate([first.h[:, None], h[:, :-1]], axis=1)
    i, f, o, g = jnp.split(x @ cell.Wx + before @ cell.Wh + cell.b[None, None], 4, axis=2)
    return Gates(jax.nn.sigmoid(i), jax.nn.sigmoid(f), jax.nn.sigmoid(o), jnp.tanh(g))
