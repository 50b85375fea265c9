"""A captioner's step with the input product of every word computed beforehand.

    table = W_embed @ Wx + b                             (V, G)
    a = table[word] + h @ Wh

in place of `a = W_embed[word] @ Wx + h @ Wh + b`. The table costs as much as the input products of
V words, and so pays once more than V words are read. Only the built-in cells have such a product,
and only where no features are added to the word vectors.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxcap.nn.captioner import CELLS, CaptionerConfig, CellCarry, Params, word_table
from jaxcap.nn.recurrent import LSTMCarry, RNNCarry

__all__ = ["has_word_table", "lookup_step", "word_table"]


def has_word_table(config: CaptionerConfig) -> bool:
    """Whether a captioner's input products depend on the word alone."""
    return config.cell in CELLS and not config.feed_features


def lookup_step(
    params: Params, table: Float[Array, "V G"], carry: CellCarry, words: Int[Array, " R"]
) -> tuple[CellCarry, Float[Array, "R V"]]:
    """Read one word of each row and give the logits of the next, as `jaxcap.nn.captioner.step`.

    Args:
        params: parameters by the notebook's names.
        table: from `word_table`.
        carry: state before the step.
        words: ids in [0, V).
    """
    a = table[words] + carry.h @ params["Wh"]
    if isinstance(carry, LSTMCarry):
        i, f, o, g = jnp.split(a, 4, axis=1)
        c = jax.nn.sigmoid(f) * carry.c + jax.nn.sigmoid(i) * jnp.tanh(g)
        carry = LSTMCarry(jax.nn.sigmoid(o) * jnp.tanh(c), c)
    else:
        carry = RNNCarry(jnp.tanh(a))
    return carry, carry.h @ params["W_vocab"] + params["b_vocab"][None]
