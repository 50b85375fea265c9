"""The training loop: jitted steps, an epoch as scans over minibatches on the device.

The host hands over the whole training set once. After that one call runs up to `log_every`
minibatches: it draws them, gathers their features and updates the parameters, and only the losses
come back. Calls are cut at the ends of epochs, so that a call is of one of two lengths.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import ORDERS, Batch, CaptionSet, draw_rows, gather
from jaxcap.data.dataset import Split
from jaxcap.learning.optimiser import OptimiserConfig, is_zero, make_optimiser
from jaxcap.learning.sharding import (
    BATCH,
    Layout,
    all_over_batch,
    gather_over_batch,
    mean_over_batch,
    put,
)
from jaxcap.nn.captioner import CaptionerConfig, Params, caption_loss, init_params
from jaxcap.nn.loss import CaptionLoss
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import PRECISIONS, matmul_precision
from jaxcap.nn.regularisation import Regularisation

OBJECTIVES = ("likelihood", "cider")
MEASURES = ("loss", "cider")
"""What may say which checkpoint is the best, both on validation."""


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
        matmul_precision: of matrix products in training; see `jaxcap.nn.products`.
        remat: keep less memory for the backward pass and compute more; for long captions.
        val_captions: validation captions that the loss is measured on after every epoch.
        val_images: validation images whose captions are scored by CIDEr-D after every epoch.
        best_by: which of the two says which checkpoint is the best.
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
    matmul_precision: str = "float32"
    remat: bool = False
    val_captions: int = 1000
    val_images: int = 0
    best_by: str = "loss"
    patience: int | None = None
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self):
        for name in ("batch_size", "num_epochs", "log_every", "val_captions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(
                f"label_smoothing must be at least 0 and below 1, got {self.label_smoothing}"
            )
        for name, choices in (
            ("order", ORDERS),
            ("best_by", MEASURES),
            ("objective", OBJECTIVES),
            ("matmul_precision", PRECISIONS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)}"
                )
        if self.val_images < 0:
            raise ValueError(f"val_images must be at least 0, got {self.val_images}")
        if self.best_by == "cider" and not self.val_images:
            raise ValueError("best_by cider needs val_images, how many images to score")
        if self.objective == "cider":
            self._check_reward()
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience must be at least 1, got {self.patience}")

    def _check_reward(self) -> None:
        if self.samples < 2 or self.batch_size % self.samples:
            raise ValueError(
                "objective cider needs 2 or more samples that divide batch_size, got "
                f"{self.samples} and {self.batch_size}"
            )
        if self.order != "replacement":
            raise ValueError(
                f"objective cider draws images with replacement, got the order {self.order}: leave "
                "it out"
            )
        if self.label_smoothing:
            raise ValueError("objective cider has no targets to smooth: leave out label_smoothing")

    def steps_per_epoch(self, num_captions: int) -> int:
        """Minibatches in an epoch of `num_captions`: whole ones only, but at least one."""
        return max(num_captions // self.batch_size, 1)

    def patience_steps(self, num_captions: int) -> float:
        """Minibatches without a better checkpoint after which training ends; inf for no limit."""
        if self.patience is None:
            return math.inf
        return float(self.patience * self.steps_per_epoch(num_captions))


class TrainState(NamedTuple):
    """Everything that training changes or draws from, as one pytree."""

    step: Int[Array, ""]
    """Minibatches done so far, int32."""
    params: Params
    opt_state: optax.OptState
    key: Array
    """The run's `jax.random` key. It never changes: order and dropout fold the step into it."""


def init_state(
    key: Array, model: CaptionerConfig, training: TrainingConfig, params: Params | None = None
) -> TrainState:
    """The state before the first minibatch, with parameters drawn from `key` unless given."""
    init_key, run_key = jax.random.split(key)
    params = init_params(init_key, model) if params is None else params
    # The lengths that the schedule needs do not matter to the state's structure.
    opt_state = make_optimiser(training.optimiser, 1, 1).init(params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, run_key)


def train_step(
    state: TrainState,
    batch: Batch,
    model: CaptionerConfig,
    optimiser: optax.GradientTransformation,
    smoothing: float | Float[Array, ""] = 0.0,
    plan: ComputePlan = ComputePlan(),
    over_batch: bool = False,
) -> tuple[TrainState, Float[Array, ""]]:
    """Update the parameters on one minibatch.

    Args:
        state: state before the step.
        batch: N images and captions.
        model: shape of the captioner.
        optimiser: as `make_optimiser` gives it.
        smoothing: of the targets; see `temporal_softmax_loss`.
        plan: how to compute.
        over_batch: `batch` is a part of the minibatch, within `Layout.over_batch`.

    Returns:
        The state after the step, and the minibatch's loss before it: nats per caption, ().
    """
    dropout_key = step_key(state)
    if over_batch:
        dropout_key = jax.random.fold_in(dropout_key, lax.axis_index(BATCH))

    def loss(params: Params, width: int | None = None) -> Array:
        cut = batch._replace(captions=batch.captions[:, :width])
        regularisation = Regularisation(
            dropout=None if is_zero(model.dropout) else model.dropout,
            label_smoothing=None if is_zero(smoothing) else smoothing,
        )
        return caption_loss(
            params, model, cut, dropout_key, regularisation=regularisation, plan=plan
        ).per_caption

    if plan.widths:
        columns = jnp.arange(1, batch.captions.shape[1] + 1)
        longest = jnp.where(batch.captions != 0, columns, 0).max()
        if over_batch:
            longest = lax.pmax(longest, BATCH)
        branches = [jax.value_and_grad(partial(loss, width=width)) for width in plan.widths]
        branch = jnp.searchsorted(jnp.array(plan.widths), longest)
        value, grads = lax.switch(branch, branches, state.params)
    else:
        value, grads = jax.value_and_grad(loss)(state.params)
    if over_batch:
        value, grads = mean_over_batch((value, grads))
    return update(state, grads, optimiser), value


def step_key(state: TrainState) -> Array:
    """The key of all that is random within a step."""
    return jax.random.fold_in(jax.random.fold_in(state.key, 1), state.step)


def update(state: TrainState, grads: Params, optimiser: optax.GradientTransformation) -> TrainState:
    """The state after a step along a gradient."""
    updates, opt_state = optimiser.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return state._replace(step=state.step + 1, params=params, opt_state=opt_state)


class StepsResult(NamedTuple):
    """What comes back to the host from a call of S minibatches."""

    losses: Float[Array, " S"]
    """Nats per caption, or for the objective "cider" minus the mean reward."""
    params_finite: Array


Steps = Callable[[TrainState, CaptionSet], tuple[TrainState, StepsResult]]
"""Trains on the next minibatches; the state is donated."""
MakeSteps = Callable[[TrainState, CaptionSet, int], Steps]
"""Compiles such a function for so many minibatches."""


def scan_steps(
    state: TrainState,
    data: CaptionSet,
    *,
    model: CaptionerConfig,
    training: TrainingConfig,
    count: int,
    cut: bool = True,
    num_captions: int | None = None,
    over_batch: bool = False,
) -> tuple[TrainState, StepsResult]:
    """Train on the next `count` minibatches, which must be of one epoch.

    Args:
        state: state before them.
        data: captions to train on.
        model: shape of the captioner.
        training: how to train.
        count: minibatches.
        cut: compute the minibatches of the order "buckets" no wider than they need.
        num_captions: only that many captions are drawn, the first; all if left out.
        over_batch: `data` is a part of the captions, within `Layout.over_batch`.
    """
    num_captions = num_captions or len(data.captions)
    lengths = (data.captions != 0).sum(axis=1)
    if over_batch:
        lengths = all_over_batch(lengths)[:num_captions]
    optimiser = make_optimiser(
        training.optimiser, training.steps_per_epoch(num_captions), training.num_epochs
    )
    rows = draw_rows(
        jax.random.fold_in(state.key, 0),
        lengths,
        training.batch_size,
        state.step,
        count,
        training.order,
    )
    columns = data.captions.shape[1]
    plan = ComputePlan.choose(
        model.vocab_size,
        training.batch_size,
        columns,
        cut=cut and training.order == "buckets",
        remat=training.remat,
        sharded=over_batch,
    )

    def body(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
        batch = gather_over_batch(data, rows) if over_batch else gather(data, rows)
        return train_step(
            state,
            batch,
            model,
            optimiser,
            training.label_smoothing,
            plan,
            over_batch,
        )

    with matmul_precision(training.matmul_precision):
        state, losses = lax.scan(body, state, rows)
    return state, StepsResult(losses, all_finite(state.params))


@partial(
    jax.jit,
    static_argnames=("model", "training", "count", "layout", "num_captions"),
    donate_argnames="state",
)
def train_steps(
    state: TrainState,
    data: CaptionSet,
    *,
    model: CaptionerConfig,
    training: TrainingConfig,
    count: int,
    layout: Layout | None = None,
    num_captions: int | None = None,
) -> tuple[TrainState, StepsResult]:
    """`scan_steps` compiled, on one device or over those of a layout.

    `state` is donated: its buffers are reused and it must not be read again. With a `layout` state
    and data are laid out by it, and only the first `num_captions` of the data are drawn.
    """
    steps = partial(
        scan_steps, model=model, training=training, count=count, num_captions=num_captions
    )
    if layout is None:
        return steps(state, data)
    if layout.batch_shards > 1:
        steps = layout.over_batch(partial(steps, over_batch=True), (P(), P(BATCH)))
    state, result = steps(layout.pin(state), data)
    return layout.pin(state), layout.pin(result)


def all_finite(params: Params) -> Array:
    """Whether no parameter is NaN or infinite, ()."""
    return jnp.array([jnp.isfinite(p).all() for p in jax.tree.leaves(params)]).all()


@partial(jax.jit, static_argnames=("model", "batch_size", "layout", "num_captions"))
def mean_loss(
    params: Params,
    data: CaptionSet,
    *,
    model: CaptionerConfig,
    batch_size: int,
    layout: Layout | None = None,
    num_captions: int | None = None,
) -> CaptionLoss:
    """Loss over all captions of `data`, `batch_size` at a time, without dropout.

    With a `layout` the captions are split over its batch axis, and the features are everywhere;
    only `num_captions` of the captions are more than padding.
    """
    num = num_captions or len(data.captions)
    sums = partial(_loss_sums, model=model, batch_size=batch_size)
    if layout is not None:
        params = layout.pin(params)
    if layout is None or layout.batch_shards == 1:
        total, words = sums(params, data)
    else:

        def all_sums(params: Params, *data: Any) -> tuple[Array, Array]:
            return lax.psum(sums(params, CaptionSet(*data)), BATCH)

        specs = (P(), P(BATCH), P(BATCH), P())
        total, words = layout.over_batch(all_sums, specs)(params, *data)
    return CaptionLoss(total / num, total / jnp.maximum(words, 1).astype(total.dtype))


def _loss_sums(
    params: Params, data: CaptionSet, *, model: CaptionerConfig, batch_size: int
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Nats and words of all captions."""
    num = len(data.captions)
    batches = -(-num // batch_size)
    rows = jnp.arange(batches * batch_size, dtype=jnp.int32)
    # The last batch is filled up with captions that are all padding and so weigh nothing.
    real = (rows < num).reshape(batches, batch_size, 1)
    rows = jnp.minimum(rows, num - 1).reshape(batches, batch_size)
    plan = ComputePlan.choose(model.vocab_size, batch_size, data.captions.shape[1])

    def one(args: tuple[Array, Array]) -> tuple[Array, Array]:
        batch = gather(data, args[0])
        captions = jnp.where(args[1], batch.captions, jnp.zeros_like(batch.captions))
        loss = caption_loss(params, model, batch._replace(captions=captions), plan=plan)
        nats = loss.per_caption * batch_size
        return nats, (captions[:, 1:] != 0).sum()

    nats, words = lax.map(one, (rows, real))
    return nats.sum(), words.sum()


@dataclass(frozen=True)
class Progress:
    """What training has come to after one call.

    Attributes:
        state: the state; valid until the next one is asked for.
        iteration: minibatches done since the run began.
        num_iterations: minibatches of the whole run.
        losses: those of this call's minibatches, the last being that of `iteration`.
        captions_per_second: of this call, compilation and validation left out.
        epoch: number of the epoch that this call ended, or None.
        val: validation loss at the end of an epoch, None elsewhere or without a validation set.
        cider: CIDEr-D at the end of an epoch, None elsewhere or where it is not measured.
    """

    state: TrainState
    iteration: int
    num_iterations: int
    losses: np.ndarray
    captions_per_second: float
    epoch: int | None
    val: CaptionLoss | None
    cider: float | None = None


def fit(
    state: TrainState,
    model: CaptionerConfig,
    training: TrainingConfig,
    train: Split,
    val: Split | None = None,
    *,
    cider: Callable[[Params], float] | None = None,
    make_steps: MakeSteps | None = None,
    layout: Layout | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Progress]:
    """Train from `state` on to the end of the last epoch.

    Args:
        state: as `init_state` or an earlier `Progress` gives it; it is donated.
        model: shape of the captioner.
        training: how to train.
        train: captions to train on.
        val: captions to measure the loss on after every epoch: `training.val_captions` of them,
            the same each time.
        make_steps: compiles what trains on the next minibatches; if left out `train_steps`.
        cider: scores the parameters after every epoch; see `jaxcap.learning.validation`.
        layout: of `state` and `train` over devices; `val` is whole on each process.
        clock: seconds, for the captions per second.

    Yields:
        One `Progress` a call.

    Raises:
        FloatingPointError: a loss or a parameter became NaN or infinite; the message says when.
    """
    data = CaptionSet.of(train)
    val_data = None if val is None else subset(CaptionSet.of(val), training.val_captions)
    num_val = None if val_data is None else len(val_data.captions)
    if val_data is not None and layout is not None:
        val_data = _spread(val_data, layout)
    measure = partial(mean_loss, model=model, batch_size=128, layout=layout, num_captions=num_val)
    per_epoch = training.steps_per_epoch(train.num_captions)
    total = training.num_epochs * per_epoch
    make_steps = make_steps or partial(
        _compile_train_steps, model, training, layout, train.num_captions
    )
    compiled: dict[int, Steps] = {}
    iteration = int(state.step)
    while iteration < total:
        done = iteration % per_epoch
        count = min(training.log_every - done % training.log_every, per_epoch - done)
        if count not in compiled:
            compiled[count] = make_steps(state, data, count)
        begin = clock()
        state, result = compiled[count](state, data)
        losses = np.asarray(result.losses)
        seconds = clock() - begin
        check_finite(losses, bool(result.params_finite), iteration)
        iteration += count
        epoch = iteration // per_epoch if iteration % per_epoch == 0 else None
        measured = score = None
        if epoch is not None and val_data is not None:
            measured = measure(state.params, val_data)
        if epoch is not None and cider is not None:
            score = cider(state.params)
        speed = count * training.batch_size / max(seconds, 1e-9)
        yield Progress(state, iteration, total, losses, speed, epoch, measured, score)


def _compile_train_steps(
    model: CaptionerConfig,
    training: TrainingConfig,
    layout: Layout | None,
    num_captions: int,
    state: TrainState,
    data: CaptionSet,
    count: int,
) -> Steps:
    return train_steps.lower(
        state,
        data,
        model=model,
        training=training,
        count=count,
        layout=layout,
        num_captions=num_captions,
    ).compile()


def subset(data: CaptionSet, num: int) -> CaptionSet:
    """At most `num` captions of `data`, the same for every run."""
    if num >= len(data.captions):
        return data
    rows = jax.random.permutation(jax.random.key(0), len(data.captions))[:num]
    return data._replace(captions=data.captions[rows], image_idxs=data.image_idxs[rows])


def _spread(data: CaptionSet, layout: Layout) -> CaptionSet:
    """Captions split over the batch axis, padding behind them, and their features everywhere."""
    more = -len(data.captions) % layout.batch_shards
    images, image_idxs = np.unique(np.asarray(data.image_idxs), return_inverse=True)
    return CaptionSet(
        put(np.pad(np.asarray(data.captions), ((0, more), (0, 0))), layout.rows),
        put(np.pad(image_idxs.astype(np.int32), (0, more)), layout.rows),
        jax.tree.map(lambda x: put(np.asarray(x)[images], layout.everywhere), data.images),
    )


def check_finite(losses: np.ndarray, params_finite: bool, before: int) -> None:
    """Raise a `FloatingPointError` where a call after `before` minibatches met NaN or infinity."""
    remedy = "try a smaller --learning_rate or --clip_norm=5"
    bad = np.flatnonzero(~np.isfinite(losses))
    if bad.size:
        raise FloatingPointError(
            f"the loss became {losses[bad[0]]} at iteration {before + bad[0] + 1}: {remedy}"
        )
    if not params_finite:
        raise FloatingPointError(
            f"a parameter became NaN or infinite by iteration {before + len(losses)}: {remedy}"
        )
