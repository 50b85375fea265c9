"""One step of training: a minibatch in, updated parameters out."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import Batch, CaptionSet
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params, init_params

Loss = Callable[[Params, Batch, Array], Array]
"""`loss(params, batch, key) -> ()`: what is minimised, of the parameters, N images with captions
and a `jax.random` key for what is random in it."""


def at_step(loss: Loss, step: Int[Array, ""]) -> Loss:
    """Give what is minimised at a step: of a loss with a method `at(step)` what that returns."""
    # `jit` takes the functions among losses wrapped in a `Partial`.
    at = getattr(getattr(loss, "func", loss), "at", None)
    return loss if at is None else at(step)


class TrainState(NamedTuple):
    """Everything that training changes or draws from, as one pytree."""

    step: Int[Array, ""]
    """Minibatches done so far, int32."""
    params: Params
    opt_state: optax.OptState
    key: Array
    """The run's `jax.random` key. It never changes: order and dropout fold the step into it."""


def init_state(
    key: Array,
    model: CaptionerConfig,
    optimiser: optax.GradientTransformation,
    params: Params | None = None,
) -> TrainState:
    """Make the state before the first minibatch, with parameters drawn from `key` unless given."""
    init_key, run_key = jax.random.split(key)
    params = init_params(init_key, model) if params is None else params
    return TrainState(jnp.zeros((), jnp.int32), params, optimiser.init(params), run_key)


def train_step(
    state: TrainState,
    batch: Batch,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    *,
    axis: str | None = None,
) -> tuple[TrainState, Float[Array, ""]]:
    """Update the parameters on one minibatch.

    Args:
        state: state before the step.
        batch: N images with captions.
        loss: what is minimised, at this step.
        optimiser: any of Optax's.
        axis: `batch` is a part of the minibatch; the others are along this axis of a mesh.

    Returns:
        The state after the step, and the minibatch's loss before it, ().
    """
    key = step_key(state)
    if axis is not None:
        key = jax.random.fold_in(key, lax.axis_index(axis))
    value, grads = jax.value_and_grad(at_step(loss, state.step))(state.params, batch, key)
    if axis is not None:
        value, grads = lax.pmean((value, grads), axis)
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, opt_state, state.key), value  # pyright: ignore


def step_key(state: TrainState) -> Array:
    """Give the key of all that is random within the next step."""
    return jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)


class StepsResult(NamedTuple):
    """What comes back to the host from a call of S minibatches."""

    losses: Float[Array, " S"]
    params_finite: Array


def all_finite(params: Params) -> Array:
    """Tell whether no parameter is NaN or infinite, ()."""
    return jnp.array([jnp.isfinite(p).all() for p in jax.tree.leaves(params)]).all()


Steps = Callable[[TrainState, CaptionSet], tuple[TrainState, StepsResult]]
"""Trains on the next minibatches; the state is donated."""
