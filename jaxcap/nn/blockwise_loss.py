"""The loss of words from hidden states, a block of rows at a time, without storing all logits.

The logits of N captions of T words are N * T * V numbers, often more than the caches hold. The
plain loss writes and reads them several times. Here a loop computes the logits, loss and gradients
of one block of rows after another (as Rabe and Staats 2021, arXiv 2112.05682, do for attention).
Padding rows are skipped: the number of blocks is that of the real words.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcap.nn.loss import CaptionLoss, Targets
from jaxcap.nn.products import product
from jaxcap.nn.regularisation import Rate


class _Gradients(NamedTuple):
    h: Float[Array, "R H"]
    W_vocab: Float[Array, "H V"]
    b_vocab: Float[Array, " V"]


def blockwise_softmax_loss(
    h: Float[Array, "R H"],
    layer: tuple[Float[Array, "H V"], Float[Array, " V"]],
    targets: Targets,
    num: int,
    smoothing: Rate | None = None,
    *,
    block: int,
) -> CaptionLoss:
    """Compute `temporal_softmax_loss` of `h @ W_vocab + b_vocab`, without the logits of padding.

    Supports reverse mode, with respect to `h` and `layer`. The gradients are computed with the
    loss, in one pass over the words.

    Args:
        h: (R, H) hidden states of R words.
        layer: the vocabulary layer, `W_vocab` (H, V) and `b_vocab` (V,).
        targets: the next word of each row, (R,).
        num: number of captions, N.
        smoothing: as in `temporal_softmax_loss`.
        block: words per block.

    Returns:
        The loss, in float32 at least.
    """
    nats: Array = _nats(block, h, *layer, targets, smoothing)
    words = jnp.maximum(targets.mask.sum(), 1).astype(nats.dtype)
    return CaptionLoss(per_caption=nats / num, per_word=nats / words)


def _blocks(block, h, W_vocab, b_vocab, targets, smoothing, *, gradients):
    """Compute the nats of all words, and their gradients or None."""
    R, V = len(h), W_vocab.shape[1]
    blocks = -(-R // block)
    # The rows of real words, padded with R, past the last row.
    rows = jnp.nonzero(targets.mask, size=blocks * block, fill_value=R)[0]
    half = h.dtype.itemsize < 4
    zeros = _Gradients(*map(jnp.zeros_like, (h, W_vocab, b_vocab))) if gradients else None

    def body(number, state):
        nats, grads = state
        chosen = lax.dynamic_slice_in_dim(rows, number * block, block)
        real = (chosen < R)[:, None]
        states = h.at[chosen].get(mode="clip")
        following = targets.words.at[chosen].get(mode="clip")[:, None]
        logits = product(states, W_vocab) + b_vocab[None]
        largest = logits.max(axis=1, keepdims=True)
        exponentials = jnp.exp(logits - largest)
        total = exponentials.sum(axis=1, keepdims=True)
        right = jnp.take_along_axis(logits, following, axis=1)
        if smoothing is not None:
            right = (1 - smoothing) * right + smoothing * logits.mean(axis=1, keepdims=True)
        here, weight = jnp.log(total) + largest - right, jnp.ones_like(total)
        if targets.weights is not None:
            weight = targets.weights.at[chosen].get(mode="clip")[:, None]
            here = weight * here
        nats = nats + jnp.where(real, here, jnp.zeros_like(here)).sum(dtype=nats.dtype)
        if grads is None:
            return nats, None
        weight = jnp.where(real, weight, jnp.zeros_like(weight))
        at_target = jnp.arange(V, dtype=following.dtype)[None] == following
        dlogits = exponentials * (weight / total)
        at = weight if smoothing is None else (1 - smoothing) * weight
        dlogits = dlogits - jnp.where(at_target, at, jnp.zeros_like(weight))
        if smoothing is not None:
            dlogits = dlogits - smoothing / V * weight
        return nats, _Gradients(
            grads.h.at[chosen].set(product(dlogits, W_vocab.T), mode="drop"),
            grads.W_vocab + product(states.T, dlogits),
            grads.b_vocab + dlogits.sum(0),
        )

    first = jnp.zeros((), jnp.float32 if half else h.dtype)
    return lax.fori_loop(0, -(-targets.mask.sum() // block), body, (first, zeros))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _nats(block, *inputs) -> Array:
    return _blocks(block, *inputs, gradients=False)[0]


def _nats_fwd(block, *inputs):
    return _blocks(block, *inputs, gradients=True)


def _nats_bwd(block, grads, cotangent):
    del block
    return *(g * cotangent.astype(g.dtype) for g in grads), None, None


_nats.defvjp(_nats_fwd, _nats_bwd)
