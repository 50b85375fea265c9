"""Adam with a falling learning rate: once an epoch, as the notebook trains, or as a cosine."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.regularisation import Regularisation

Number = float | Float[Array, ""] | Float[Array, " K"]


class Hyper(NamedTuple):
    """Hyperparameters that a program takes as arguments, so that they can be swept; a pytree.

    None keeps a term out of the program. In a sweep each is an array (K,), one number a member.
    """

    learning_rate: Number
    lr_decay: Number
    clip_norm: Number | None = None
    weight_decay: Number | None = None
    label_smoothing: Number | None = None
    dropout: Number | None = None
    attention_penalty: Number | None = None
    sampling_rate: Number | None = None

    @classmethod
    def of(cls, model: CaptionerConfig, training: TrainingConfig) -> "Hyper":
        """Read them from the configurations of a run.

        Raises:
            ValueError: maps are to be penalised of a captioner that does not attend.
        """
        config = training.optimiser
        if training.attention_penalty and model.attention is None:
            raise ValueError(
                f"`attention_penalty={training.attention_penalty}` needs a captioner that attends: "
                "give `attention`, or leave it out"
            )
        return cls(
            learning_rate=config.learning_rate,
            lr_decay=config.lr_decay,
            clip_norm=config.clip_norm,
            weight_decay=config.weight_decay or None,
            label_smoothing=training.label_smoothing or None,
            dropout=model.dropout or None,
            attention_penalty=training.attention_penalty or None,
            sampling_rate=training.sampling_rate if training.scheduled_sampling else None,
        )

    @property
    def regularisation(self) -> Regularisation:
        """Those that the loss takes."""
        return Regularisation(self.dropout, self.label_smoothing, self.attention_penalty)

    @property
    def of_updates(self) -> "Hyper":
        """Those that the optimiser takes."""
        return Hyper(self.learning_rate, self.lr_decay, self.clip_norm, self.weight_decay)


@jax.tree_util.register_static
@dataclass(frozen=True)
class Decay:
    """How the step size falls; hashable, static under `jit`.

    Attributes:
        steps_per_epoch: minibatches in an epoch.
        num_epochs: those after which "cosine" has come to 0; None for "exponential".
    """

    steps_per_epoch: int
    num_epochs: int | None


def learning_rate_schedule(decay: Decay, hyper: Hyper) -> optax.Schedule:
    """Make the step size a function of the number of steps done.

    "exponential" is `learning_rate * lr_decay ** epoch`, constant within an epoch; "cosine" reaches
    0 after the last one. Optax's `exponential_decay` is the same function, but it asks whether its
    decay is 0, which a traced number cannot answer.
    """
    if decay.num_epochs is not None:
        steps = decay.steps_per_epoch * decay.num_epochs
        return optax.cosine_decay_schedule(hyper.learning_rate, steps)

    def exponential(count: jax.typing.ArrayLike) -> Array:
        epoch = jnp.floor(jnp.asarray(count) / decay.steps_per_epoch)
        return hyper.learning_rate * jnp.power(hyper.lr_decay, epoch)

    return exponential


def make_optimiser(
    config: OptimiserConfig,
    hyper: Hyper | None = None,
    *,
    steps_per_epoch: int,
    num_epochs: int | None = None,
) -> optax.GradientTransformation:
    """Make Adam (Kingma and Ba 2015) with Optax's defaults, which are those of the course's code.

    Args:
        config: how the parameters are updated.
        hyper: its numbers, if they are not those of `config`.
        steps_per_epoch: minibatches in an epoch.
        num_epochs: epochs of the run, for `lr_schedule="cosine"`.

    Returns:
        The optimiser, which is also a pytree with `hyper` for leaves: within `fit` these are
        traced, so that one program serves any of them.

    Raises:
        ValueError: "cosine" is not told when to end.
    """
    if config.lr_schedule != "cosine":
        num_epochs = None
    elif num_epochs is None:
        raise ValueError("`lr_schedule=cosine` needs `num_epochs`, after which it has come to 0")
    if hyper is None:
        hyper = Hyper(
            config.learning_rate, config.lr_decay, config.clip_norm, config.weight_decay or None
        )
    decay, hyper = Decay(steps_per_epoch, num_epochs), hyper.of_updates
    return optax.GradientTransformation(
        Partial(_init, decay, hyper),  # pyright: ignore[reportArgumentType]
        Partial(_update, decay, hyper),  # pyright: ignore[reportArgumentType]
    )


def _adam(decay: Decay, hyper: Hyper) -> optax.GradientTransformation:
    schedule = learning_rate_schedule(decay, hyper)
    if hyper.weight_decay is None:
        update = optax.adam(schedule)
    else:
        update = optax.adamw(schedule, weight_decay=hyper.weight_decay)
    if hyper.clip_norm is None:
        return update
    return optax.chain(optax.clip_by_global_norm(hyper.clip_norm), update)


def _init(decay: Decay, hyper: Hyper, params: optax.Params) -> optax.OptState:
    return _adam(decay, hyper).init(params)


def _update(
    decay: Decay,
    hyper: Hyper,
    updates: optax.Updates,
    state: optax.OptState,
    params: optax.Params | None = None,
) -> tuple[optax.Updates, optax.OptState]:
    return _adam(decay, hyper).update(updates, state, params)
