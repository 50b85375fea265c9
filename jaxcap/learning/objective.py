"""The likelihood of captions as a loss, and losses that are computed no wider than needed."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxcap.data.batches import Batch
from jaxcap.learning.step import Loss
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import Regularisation


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of captions in nats, averaged over captions; a loss for `fit`.

    A pytree: the numbers of `regularisation` are its leaves, all else is static. With Python floats
    or without `regularisation` it is hashable.

    Attributes:
        config: shape of the captioner.
        regularisation: dropout and label smoothing; None for the dropout of `config` alone.
        plan: how to compute; None for what is fastest for the minibatch.
    """

    config: CaptionerConfig = field(metadata={"static": True})
    regularisation: Regularisation | None = None
    plan: ComputePlan | None = field(default=None, metadata={"static": True})

    def __call__(self, params: Params, batch: Batch, key: Array | None) -> Float[Array, ""]:
        """Give the loss of N images with captions; a `jax.random` key turns dropout on."""
        plan = self.plan
        if plan is None:
            plan = ComputePlan.choose(self.config.vocab_size, *batch.captions.shape)
        return caption_loss(
            params, self.config, batch, key, regularisation=self.regularisation, plan=plan
        ).per_caption


def for_minibatches(
    loss: Loss, rows: int, columns: int, *, cut: bool, remat: bool, axis: str | None
) -> Loss:
    """Choose how a loss is computed in training.

    Args:
        loss: what is computed; a `Likelihood` without a plan is given one.
        rows: captions in a minibatch, N.
        columns: words of a caption, padding included, L.
        cut: captions of a minibatch are of like length, and columns of padding are cut off.
        remat: keep less memory for the backward pass and compute more.
        axis: of a mesh over which minibatches are split.
    """
    likelihood = isinstance(loss, Likelihood)
    vocab_size = loss.config.vocab_size if likelihood else 1
    plan = ComputePlan.choose(
        vocab_size, rows, columns, cut=cut, remat=remat, sharded=axis is not None
    )
    if likelihood and loss.plan is None:
        loss = replace(loss, plan=plan)
    return cut_to_fit(loss, plan.widths, axis) if plan.widths else loss


def cut_to_fit(loss: Loss, widths: tuple[int, ...], axis: str | None = None) -> Loss:
    """Compute a loss on no more columns of padding than a minibatch needs.

    Captions are cut to the least of `widths` that holds all their words. Each width is a program of
    its own, forward and backward together: a branch that were differentiated from outside would
    hand on the residuals of all.

    Args:
        loss: what is computed.
        widths: numbers of columns, growing and up to L.
        axis: of a mesh along which the other parts of the minibatch lie; all take one width.
    """
    at_width = [partial(_at_width, loss, width) for width in widths]

    def choose(functions: list[Callable[..., Any]], *args: Any) -> Any:
        captions = args[1].captions
        columns = jnp.arange(1, captions.shape[1] + 1)
        longest = jnp.where(captions != 0, columns, 0).max()
        if axis is not None:
            longest = lax.pmax(longest, axis)
        return lax.switch(jnp.searchsorted(jnp.array(widths), longest), functions, *args)

    @jax.custom_vjp
    def cut(params: Params, batch: Batch, key: Array) -> Array:
        return choose(at_width, params, batch, key)

    def forward(params: Params, batch: Batch, key: Array) -> tuple[Array, Params]:
        return choose([jax.value_and_grad(one) for one in at_width], params, batch, key)

    def backward(grads: Params, cotangent: Array) -> tuple[Params, None, None]:
        return jax.tree.map(lambda g: g * cotangent.astype(g.dtype), grads), None, None

    cut.defvjp(forward, backward)
    return cut


def _at_width(loss: Loss, width: int, params: Params, batch: Batch, key: Array) -> Array:
    return loss(params, batch._replace(captions=batch.captions[:, :width]), key)
