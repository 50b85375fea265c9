"""The training loop: jitted steps, an epoch as scans over minibatches on the device.

The host hands over the whole training set once. After that one call runs up to `log_every`
minibatches: it draws them, gathers their images and updates the parameters, and only the losses
come back. Calls are cut at the ends of epochs, so that a call is of one of two lengths. Grids in a
file take another way through the same loop, `jaxcap.learning.streaming`.

The same loop trains K members of a sweep: their states, losses and optimisers are stacked on a new
first axis. One call trains all of them, under `vmap` where products of a batch of matrices are
fast, as on a GPU, and one after another on a CPU, whose products of one large matrix are faster.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array

from jaxcap.data.batches import CaptionSet, draw_rows, gather, ordered_by
from jaxcap.data.dataset import Split
from jaxcap.learning import streaming
from jaxcap.learning.call import Call, as_pytree
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.progress import Progress, Validated
from jaxcap.learning.sharding import BATCH, all_over_batch, gather_over_batch
from jaxcap.learning.step import Loss, Steps, StepsResult, TrainState, all_finite, train_step
from jaxcap.nn.parameters import Params
from jaxcap.nn.products import matmul_precision


def compile_steps(
    state: TrainState,
    data: CaptionSet,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    call: Call,
) -> Steps:
    """Compile what trains on the next `call.count` minibatches.

    Arrays and numbers in the loss and the optimiser are traced; functions are part of the program.

    Args:
        state: state before them, or those of K members, stacked.
        data: captions to train on; for K members those of all, or of each on a first axis.
        loss: what is minimised; for K members with arrays (K,) for leaves.
        optimiser: any of Optax's; likewise.
        call: what else the program depends on.

    Returns:
        A function of state and data. The state is donated: it must not be read again.
    """
    learner = as_pytree((loss, optimiser))
    compiled = _train_steps.lower(state, data, *learner, call=call).compile()
    return lambda state, data: compiled(state, data, *learner)


@partial(jax.jit, static_argnames="call", donate_argnames="state")
def _train_steps(
    state: TrainState,
    data: CaptionSet,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    *,
    call: Call,
) -> tuple[TrainState, StepsResult]:
    layout = call.layout
    if state.step.ndim == 1:
        return _train_members(state, data, loss, optimiser, call)
    if layout is None:
        return _scan(state, data, loss, optimiser, call)
    scan = partial(_scan, call=call)
    if layout.batch_shards > 1:
        specs = (P(), P(BATCH), P(), P())
        scan = layout.over_batch(partial(scan, axis=BATCH), specs)
    state, result = scan(layout.pin(state), data, loss, optimiser)
    return layout.pin(state), layout.pin(result)


def _scan(
    state: TrainState,
    data: CaptionSet,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    call: Call,
    axis: str | None = None,
) -> tuple[TrainState, StepsResult]:
    """Train on the minibatches of a call; with an axis, `data` is a part of the captions."""
    order = ordered_by(data, call.order)
    if axis is not None:
        order = all_over_batch(order)
    rows = draw_rows(
        jax.random.fold_in(state.key, 0),
        order[: call.num_captions],
        call.batch_size,
        state.step,
        call.count,
        call.order,
    )
    loss = call.computed(loss, data.captions.shape[1], axis)

    def body(state: TrainState, rows: Array) -> tuple[TrainState, Array]:
        if axis is None:
            batch = gather(data, rows, call.most_images)
        else:
            batch = gather_over_batch(data, rows)
        return train_step(state, batch, loss, optimiser, axis=axis)

    with matmul_precision(call.matmul_precision):
        state, losses = lax.scan(body, state, rows)
    return state, StepsResult(losses, all_finite(state.params))


class _Member(NamedTuple):
    """What a member of a sweep has of its own besides its state."""

    loss: Any
    optimiser: Any
    captions: Any
    image_idxs: Any


def _train_members(
    states: TrainState,
    data: CaptionSet,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    call: Call,
) -> tuple[TrainState, StepsResult]:
    own = data.captions.ndim == 3
    members = _Member(loss, optimiser, *((data.captions, data.image_idxs) if own else (None, None)))

    def one(state: TrainState, member: _Member) -> tuple[TrainState, StepsResult]:
        captions = data
        if own:
            captions = CaptionSet(member.captions, member.image_idxs, data.images)
        return _scan(state, captions, member.loss, member.optimiser, call)

    if call.vectorised:
        return jax.vmap(one)(states, members)

    # Updated in place, where `lax.map` would need a second copy of all states.
    def body(states: TrainState, inputs: tuple[Array, _Member]) -> tuple[TrainState, StepsResult]:
        i, member = inputs
        state = jax.tree.map(lambda all: lax.dynamic_index_in_dim(all, i, keepdims=False), states)
        state, result = one(state, member)
        states = jax.tree.map(
            lambda all, new: lax.dynamic_update_index_in_dim(all, new, i, 0), states, state
        )
        return states, result

    return lax.scan(body, states, (jnp.arange(len(states.step)), members))


def fit(
    state: TrainState,
    loss: Loss,
    optimiser: optax.GradientTransformation,
    train: Split | CaptionSet,
    training: TrainingConfig = TrainingConfig(),
    validate: Callable[[Params], Validated] | None = None,
) -> Iterator[Progress]:
    """Train from `state` on to the end of the last epoch.

    Args:
        state: as `init_state` or an earlier `Progress` gives it; it is donated. Or those of K
            members, stacked by `jaxcap.learning.sweep.stack` together with loss and optimiser.
        loss: what is minimised: `Likelihood`, `CiderReward`, or a function of yours,
            `loss(params, batch, key) -> ()`. With `order="buckets"` it is given captions without
            columns that are padding alone; with `order="images"`, images that captions share (see
            `Batch.rows`). Of one with a method `at(step)` that is called for the loss of each step.
            One with a method `compile_steps` makes its own steps.
        optimiser: any of Optax's.
        train: captions to train on. Where they are laid out over devices, `state` is too. Grids in
            a file are read while the device computes; see `jaxcap.learning.streaming`.
        training: how long, and how minibatches are drawn; `batch_size`, `num_epochs`, `order`,
            `log_every`, `matmul_precision` and `remat` are read.
        validate: measures the parameters after every epoch; see `jaxcap.learning.validation`.

    Yields:
        One `Progress` a call of at most `log_every` minibatches.

    Raises:
        FloatingPointError: a loss or a parameter became NaN or infinite, in a sweep those of all
            members; the message says when.
        ValueError: a grid in a file holds NaN or infinity, or a sweep is to read grids from one.
        OSError: the file of the grids is broken.
    """
    data = CaptionSet.of(train) if isinstance(train, Split) else train
    num = train.num_captions if isinstance(train, Split) else data.captions.shape[-2]
    call = Call.of(training, state, data, num)
    per_epoch = call.count
    total = training.num_epochs * per_epoch
    compiled: dict[int, Steps] = {}
    iteration = int(np.max(state.step))
    with ExitStack() as stack:
        compile_call = getattr(loss, "compile_steps", partial(compile_steps, loss=loss))
        if isinstance(train, Split) and train.grids is not None:
            stream = stack.enter_context(closing(streaming.Stream(train.grids, call)))
            own = getattr(loss, "compile_steps", partial(streaming.compile_steps, loss=loss))
            compile_call = partial(own, stream=stream)
        while iteration < total:
            done = iteration % per_epoch
            count = min(training.log_every - done % training.log_every, per_epoch - done)
            if count not in compiled:
                this = replace(call, count=count)
                compiled[count] = compile_call(state, data, optimiser=optimiser, call=this)
            begin = time.perf_counter()
            state, result = compiled[count](state, data)
            losses = np.asarray(result.losses)
            seconds = time.perf_counter() - begin
            iteration += count
            progress = Progress(
                state,
                iteration,
                total,
                losses,
                captions_per_second=count * training.batch_size / max(seconds, 1e-9),
                params_finite=np.asarray(result.params_finite),
            )
            failures = [member.failure for member in progress.members]
            if failures[0] is not None and None not in failures:
                raise failures[0]
            if iteration % per_epoch == 0:
                progress = replace(progress, epoch=iteration // per_epoch)
                if validate is not None:
                    found = validate(state.params)
                    progress = replace(progress, val=found.loss, cider=found.cider)
            yield progress
