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
from jaxcap.learning.scheduled_sampling import mixed_words
from jaxcap.learning.step import Loss, at_step
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params, word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import Regularisation

# Apart from the keys that dropout splits from the same one, which are `fold_in(key, 0)` and so on.
_OWN_WORDS = 1 << 20


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Likelihood:
    """Negative log-likelihood of captions in nats, averaged over captions; a loss for `fit`.

    A pytree: the numbers of `regularisation` and `sampling` are its leaves, all else is static.
    With Python floats or without them it is hashable.

    Attributes:
        config: shape of the captioner.
        regularisation: dropout and label smoothing; None for the dropout of `config` alone.
        plan: how to compute; None for what is fastest for the minibatch.
        sampling: rate at which the captioner reads words that it drew itself, or a function of the
            steps done that gives it; see `jaxcap.learning.scheduled_sampling`. None for never.
    """

    config: CaptionerConfig = field(metadata={"static": True})
    regularisation: Regularisation | None = None
    plan: ComputePlan | None = field(default=None, metadata={"static": True})
    # Rate | Callable[[Array], Array] | None, in whose place `jit` puts what is none of these.
    sampling: Any = None

    def at(self, step: Array) -> "Likelihood":
        """Give the loss after `step` steps, whose `sampling` is a rate."""
        return replace(self, sampling=self.sampling(step)) if callable(self.sampling) else self

    def __call__(self, params: Params, batch: Batch, key: Array | None) -> Float[Array, ""]:
        """Give the loss of N images with captions.

        A `jax.random` key turns dropout and `sampling` on.

        Raises:
            ValueError: `sampling` is a function, whose rate depends on the step.
        """
        plan = self.plan
        if plan is None:
            plan = ComputePlan.choose(self.config.vocab_size, *batch.captions.shape)
        batch = self._mixed(params, batch, key, plan)
        return caption_loss(
            params, self.config, batch, key, regularisation=self.regularisation, plan=plan
        ).per_caption

    def _mixed(self, params: Params, batch: Batch, key: Array | None, plan: ComputePlan) -> Batch:
        """Replace the words that are read as `sampling` says."""
        rate, config = self.sampling, self.config
        if rate is None or key is None:
            return batch
        if callable(rate):
            raise ValueError("`sampling` is a function of the step: call `loss.at(step)` first")
        looks_up = plan.looks_up(batch.captions[:, 1:].size, config.vocab_size)
        table = word_table(params) if looks_up and config.has_word_table else None
        key = jax.random.fold_in(key, _OWN_WORDS)
        return batch._replace(inputs=mixed_words(params, config, batch, rate, key, table))


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
    return CutToFit(loss, plan.widths, axis) if plan.widths else loss


@dataclass(frozen=True)
class CutToFit:
    """A loss that is computed on no more columns of padding than a minibatch needs.

    Captions are cut to the least of `widths` that holds all their words. Each width is a program of
    its own, forward and backward together: a branch that were differentiated from outside would
    hand on the residuals of all.

    Attributes:
        loss: what is computed.
        widths: numbers of columns, growing and up to L.
        axis: of a mesh along which the other parts of the minibatch lie; all take one width.
    """

    loss: Loss
    widths: tuple[int, ...]
    axis: str | None = None

    def at(self, step: Array) -> "CutToFit":
        """Give the loss of a step."""
        return replace(self, loss=at_step(self.loss, step))

    def __call__(self, params: Params, batch: Batch, key: Array) -> Array:
        """Give the loss of N images with captions."""
        at_width = [partial(_at_width, self.loss, width) for width in self.widths]

        @jax.custom_vjp
        def cut(params: Params, batch: Batch, key: Array) -> Array:
            return self._choose(at_width, params, batch, key)

        def forward(params: Params, batch: Batch, key: Array) -> tuple[Array, Params]:
            return self._choose([jax.value_and_grad(one) for one in at_width], params, batch, key)

        def backward(grads: Params, cotangent: Array) -> tuple[Params, None, None]:
            return jax.tree.map(lambda g: g * cotangent.astype(g.dtype), grads), None, None

        cut.defvjp(forward, backward)
        return cut(params, batch, key)

    def _choose(self, functions: list[Callable[..., Any]], *args: Any) -> Any:
        captions = args[1].captions
        columns = jnp.arange(1, captions.shape[1] + 1)
        longest = jnp.where(captions != 0, columns, 0).max()
        if self.axis is not None:
            longest = lax.pmax(longest, self.axis)
        return lax.switch(jnp.searchsorted(jnp.array(self.widths), longest), functions, *args)


def _at_width(loss: Loss, width: int, params: Params, batch: Batch, key: Array) -> Array:
    inputs = None if batch.inputs is None else batch.inputs[:, : width - 1]
    return loss(params, batch._replace(captions=batch.captions[:, :width], inputs=inputs), key)
