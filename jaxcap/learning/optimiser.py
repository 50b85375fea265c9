"""Adam with a falling learning rate: once an epoch, as the notebook trains, or as a cosine."""

from dataclasses import dataclass

import jax.numpy as jnp
import optax
from jax import Array
from jax.typing import ArrayLike

SCHEDULES = ("exponential", "cosine")


def is_zero(number: float | Array) -> bool:
    """Whether a number is surely 0; one that is traced may be any."""
    return isinstance(number, (int, float)) and number == 0


@dataclass(frozen=True)
class OptimiserConfig:
    """What determines the parameter updates.

    Attributes:
        learning_rate: Adam's step size in the first epoch.
        lr_schedule: "exponential", constant within an epoch, or "cosine", which falls to 0 at the
            end of the run (Loshchilov and Hutter 2017, without restarts).
        lr_decay: factor on the step size after every epoch, for "exponential".
        clip_norm: largest global norm of the gradient; None leaves gradients as they are.
        weight_decay: decoupled weight decay (Loshchilov and Hutter 2019); 0 is plain Adam.

    Raises:
        ValueError: a value out of its range.
    """

    learning_rate: float = 5e-3
    lr_schedule: str = "exponential"
    lr_decay: float = 0.995
    clip_norm: float | None = None
    weight_decay: float = 0.0

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")
        if self.lr_schedule not in SCHEDULES:
            raise ValueError(
                f"lr_schedule must be one of {', '.join(SCHEDULES)}, got {self.lr_schedule}"
            )
        if not 0 < self.lr_decay <= 1:
            raise ValueError(f"lr_decay must be above 0 and at most 1, got {self.lr_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, got {self.clip_norm}")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be at least 0, got {self.weight_decay}")


def learning_rate_schedule(
    config: OptimiserConfig, steps_per_epoch: int, num_epochs: int
) -> optax.Schedule:
    """The step size by the number of steps done.

    "exponential" is `learning_rate * lr_decay ** epoch`, constant within an epoch of
    `steps_per_epoch` steps; "cosine" reaches 0 after `num_epochs` of them.
    """
    if config.lr_schedule == "cosine":
        return optax.cosine_decay_schedule(config.learning_rate, steps_per_epoch * num_epochs)
    if isinstance(config.lr_decay, float):
        return optax.exponential_decay(
            config.learning_rate, steps_per_epoch, config.lr_decay, staircase=True
        )

    # Optax refuses a decay that is traced, as in a sweep.
    def exponential(count: ArrayLike) -> Array:
        epoch = jnp.floor(jnp.asarray(count) / steps_per_epoch)
        return config.learning_rate * jnp.power(config.lr_decay, epoch)

    return exponential


def make_optimiser(
    config: OptimiserConfig, steps_per_epoch: int, num_epochs: int
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) with Optax's defaults, which are those of the course's code."""
    schedule = learning_rate_schedule(config, steps_per_epoch, num_epochs)
    if is_zero(config.weight_decay):
        update = optax.adam(schedule)
    else:
        update = optax.adamw(schedule, weight_decay=config.weight_decay)
    if config.clip_norm is None:
        return update
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), update)
