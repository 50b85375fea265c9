"""How to train: the configuration that flags, checkpoints and `fit` share."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from jaxcap.data.batches import ORDERS
from jaxcap.nn.products import PRECISIONS

OBJECTIVES = ("likelihood", "cider")
MEASURES = ("loss", "cider")
"""Validation metrics that can rank checkpoints."""
SCHEDULES = ("exponential", "cosine")
SAMPLING_SCHEDULES = ("linear", "exponential", "inverse_sigmoid")


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
        _check_choice(self, "lr_schedule", SCHEDULES)
        _check(self, "learning_rate", self.learning_rate > 0, "above 0")
        _check(self, "lr_decay", 0 < self.lr_decay <= 1, "above 0 and at most 1")
        _check(self, "clip_norm", self.clip_norm is None or self.clip_norm > 0, "above 0")
        _check(self, "weight_decay", self.weight_decay >= 0, "at least 0")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train; hashable, so that it can be static under `jit`.

    Attributes:
        batch_size: captions in a minibatch, N.
        num_epochs: passes over the training captions, each of M // N minibatches.
        order: how minibatches are drawn; see `jaxcap.data.batches.draw_rows`.
        log_every: minibatches between two visits to the host, at most.
        objective: "likelihood" of the captions, or "cider", the score of captions that the
            captioner draws itself; see `jaxcap.learning.reward`.
        samples: for "cider", captions drawn for each image; a minibatch is then `batch_size /
            samples` images, drawn with replacement in proportion to their captions.
        label_smoothing: probability spread over all words; off in validation.
        attention_penalty: factor on the doubly stochastic penalty of captioners that attend; see
            `jaxcap.nn.regularisation`.
        scheduled_sampling: how the rate at which the captioner reads its own words grows over the
            run; None for the words of the captions alone. See
            `jaxcap.learning.scheduled_sampling`.
        sampling_rate: that rate at the end of the run.
        matmul_precision: of matrix products in training; see `jaxcap.nn.products`.
        remat: keep less memory for the backward pass and compute more; for long captions.
        val_captions: validation captions that the loss is measured on after every epoch.
        val_images: validation images whose captions are scored by CIDEr-D after every epoch.
        best_by: which of the two ranks checkpoints.
        patience: epochs without a better checkpoint after which training ends; None for no limit.
        optimiser: how the parameters are updated.

    Raises:
        ValueError: a value out of its range.
    """

    batch_size: int = 25
    num_epochs: int = 50
    order: str = "replacement"
    log_every: int = 10
    objective: str = "likelihood"
    samples: int = 5
    label_smoothing: float = 0.0
    attention_penalty: float = 0.0
    scheduled_sampling: str | None = None
    sampling_rate: float = 0.25
    matmul_precision: str = "float32"
    remat: bool = False
    val_captions: int = 1000
    val_images: int = 0
    best_by: str = "loss"
    patience: int | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self):
        for name in ("batch_size", "num_epochs", "log_every", "val_captions"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "label_smoothing", 0 <= self.label_smoothing < 1, "at least 0 and below 1")
        _check(self, "attention_penalty", self.attention_penalty >= 0, "at least 0")
        _check(self, "sampling_rate", 0 <= self.sampling_rate < 1, "at least 0 and below 1")
        if self.scheduled_sampling is not None:
            _check_choice(self, "scheduled_sampling", SAMPLING_SCHEDULES)
        _check(self, "val_images", self.val_images >= 0, "at least 0")
        _check(self, "patience", self.patience is None or self.patience >= 1, "at least 1")
        _check_choice(self, "order", ORDERS)
        _check_choice(self, "best_by", MEASURES)
        _check_choice(self, "objective", OBJECTIVES)
        _check_choice(self, "matmul_precision", PRECISIONS)
        if self.best_by == "cider" and not self.val_images:
            raise ValueError("`best_by=cider` needs `val_images`, how many images to score")
        if self.objective == "cider":
            self._check_reward()

    def _check_reward(self) -> None:
        if self.samples < 2 or self.batch_size % self.samples:
            raise ValueError(
                "`objective=cider` needs 2 or more `samples` that divide `batch_size`, got "
                f"{self.samples} and {self.batch_size}"
            )
        if self.order != "replacement":
            raise ValueError(
                f"`objective=cider` draws images with replacement, got `order={self.order}`: leave "
                "it out"
            )
        if self.label_smoothing:
            raise ValueError(
                "`objective=cider` has no targets to smooth: leave out `label_smoothing`"
            )
        if self.attention_penalty:
            raise ValueError(
                "`objective=cider` weighs captions by their rewards, which a penalty on their maps "
                "is not for: leave out `attention_penalty`"
            )
        if self.scheduled_sampling:
            raise ValueError(
                "`objective=cider` learns from captions that are the captioner's own throughout: "
                "leave out `scheduled_sampling`"
            )

    def steps_per_epoch(self, num_captions: int) -> int:
        """Count the minibatches of an epoch over `num_captions`: whole ones, but at least one."""
        return max(num_captions // self.batch_size, 1)

    def patience_steps(self, num_captions: int) -> float:
        """Count the minibatches without a better checkpoint that end training; inf for no limit."""
        if self.patience is None:
            return math.inf
        return float(self.patience * self.steps_per_epoch(num_captions))


def _check(config: Any, name: str, valid: bool, expected: str) -> None:
    if not valid:
        raise ValueError(f"`{name}` must be {expected}, got {getattr(config, name)}")


def _check_choice(config: Any, name: str, choices: Collection[str]) -> None:
    _check(config, name, getattr(config, name) in choices, f"one of {', '.join(choices)}")
