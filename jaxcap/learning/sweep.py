"""Many captioners trained together, in one program, that differ in seed and in some numbers.

The members' states are stacked on a new first axis, and so are the numbers that are swept. One call
trains all of them on their next minibatches: under `vmap` where products of a batch of matrices are
fast, as on a GPU, and one member after another on a CPU, whose products of one large matrix are
faster than those of a batch. Either way each member trains as a run of its own does, up
to the rounding of floats.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import Split
from jaxcap.data.seeds import split_seed
from jaxcap.learning.loop import (
    Progress,
    StepsResult,
    TrainingConfig,
    TrainState,
    check_finite,
    init_state,
    mean_loss,
    scan_steps,
    subset,
)
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.nn.captioner import CaptionerConfig, Params
from jaxcap.nn.loss import CaptionLoss

SWEPT = (
    "learning_rate",
    "lr_decay",
    "clip_norm",
    "weight_decay",
    "label_smoothing",
    "dropout",
)
"""Numbers that leave shapes and programs alone."""

Numbers = dict[str, Float[Array, " K"]]
"""The swept numbers of K members by their names."""


@dataclass(frozen=True)
class Member:
    """One captioner of a sweep.

    Attributes:
        seed: of the run that it equals.
        values: names and values of what is swept.
    """

    seed: int
    values: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """Such as `learning_rate=0.001,seed=0`."""
        return ",".join(f"{name}={value}" for name, value in (*self.values, ("seed", self.seed)))

    def configure(
        self, model: CaptionerConfig, training: TrainingConfig
    ) -> tuple[CaptionerConfig, TrainingConfig]:
        """The configurations of the run that it equals.

        Raises:
            ValueError: a value is out of its range.
        """
        return _configure(model, training, dict(self.values), replace)


def members(sweep: Mapping[str, Sequence[float]], seed: int, seeds: int) -> list[Member]:
    """Every combination of the values of `sweep`, each with the seeds from `seed` on."""
    values = product(*([(name, value) for value in sweep[name]] for name in sweep))
    return [Member(seed + i, chosen) for chosen in values for i in range(seeds)]


def parse_sweep(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read `["learning_rate=1e-3,3e-3", ...]`.

    Raises:
        ValueError: a text is not of that form, or names what cannot be swept.
    """
    sweep: dict[str, tuple[float, ...]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        name = name.strip()
        if name not in SWEPT:
            raise ValueError(
                f"--sweep={text} cannot be swept: expected NAME=VALUE,VALUE,... with one of "
                f"{', '.join(SWEPT)}; what else differs needs a run of its own"
            )
        if name in sweep:
            raise ValueError(f"--sweep gives {name} twice: list all its values in one")
        try:
            sweep[name] = tuple(map(float, listed.split(",")))
        except ValueError as error:
            raise ValueError(
                f"--sweep={text}: expected numbers with commas between them, such as {name}=0.1,0.2"
            ) from error
        if len(set(sweep[name])) < len(sweep[name]):
            raise ValueError(f"--sweep={text} gives a value twice: leave one out")
    return sweep


def _configure(
    model: CaptionerConfig,
    training: TrainingConfig,
    values: Mapping[str, Any],
    changed: Callable[..., Any],
) -> tuple[CaptionerConfig, TrainingConfig]:
    """The configurations with `values` in place of theirs; `changed` is like `replace`."""

    def owned(owner: type) -> dict[str, Any]:
        names = {field.name for field in fields(owner)}
        return {name: value for name, value in values.items() if name in names}

    optimiser = changed(training.optimiser, **owned(OptimiserConfig))
    training = changed(training, optimiser=optimiser, **owned(TrainingConfig))
    return changed(model, **owned(CaptionerConfig)), training


def _with_traced(config: Any, **values: Any) -> Any:
    """A copy of a frozen configuration with values that its checks could not read."""
    config = copy.copy(config)
    for name, value in values.items():
        object.__setattr__(config, name, value)
    return config


@dataclass(frozen=True)
class Program:
    """What the members of a sweep have in common; hashable, so that it can be static under `jit`.

    Attributes:
        model: shape of the captioners; of a member, where that is swept.
        training: how they are trained; of a member, where that is swept.
        vectorised: whether all members are computed at once or one after another. At once, the
            order "buckets" draws what it always does and computes it at full width.
    """

    model: CaptionerConfig
    training: TrainingConfig
    vectorised: bool

    @classmethod
    def of(
        cls,
        members: Sequence[Member],
        model: CaptionerConfig,
        training: TrainingConfig,
        vectorised: bool | None = None,
    ) -> "Program":
        """The program of members that change these configurations.

        Raises:
            ValueError: a member's value is out of its range, or what is swept is not used.
        """
        if training.objective != "likelihood":
            raise ValueError(
                f"--objective={training.objective} trains one captioner at a time: leave out "
                "--sweep and --seeds"
            )
        if training.optimiser.lr_schedule == "cosine" and "lr_decay" in dict(members[0].values):
            raise ValueError(
                "--lr_schedule=cosine has no lr_decay: sweep it with --lr_schedule=exponential"
            )
        configs = [member.configure(model, training) for member in members]
        # One with weight decay, if any has: without it the program has no place for it.
        model, training = max(configs, key=lambda pair: pair[1].optimiser.weight_decay)
        if vectorised is None:
            vectorised = jax.default_backend() != "cpu"
        return cls(model, training, vectorised)


def stack_numbers(members: Sequence[Member]) -> Numbers:
    """What is swept, as arrays."""
    names = [name for name, _ in members[0].values]
    return {
        name: jnp.array([dict(member.values)[name] for member in members], jnp.float32)
        for name in names
    }


def init_states(
    members: Sequence[Member], program: Program, params: Params | None = None
) -> TrainState:
    """The members' states before the first minibatch, as the command draws them, stacked."""
    states = [
        init_state(split_seed(member.seed).state_key, *_shape(program), params)
        for member in members
    ]
    return jax.tree.map(lambda *parts: jnp.stack(parts), *states)


def _shape(program: Program) -> tuple[CaptionerConfig, TrainingConfig]:
    return program.model, program.training


def member_state(states: TrainState, program: Program, index: int, member: Member) -> TrainState:
    """The state of one member, with the structure that a run of its own has."""
    model, training = member.configure(program.model, program.training)
    like = jax.eval_shape(lambda: init_state(jax.random.key(0), model, training))
    leaves = [leaf[index] for leaf in jax.tree.leaves(states)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def stack_captions(trains: Sequence[Split]) -> CaptionSet:
    """The arrays that training reads: of one split for all members, or of one a member.

    In the latter case captions and image rows have a first axis of members; the images are those
    of the first split, which all have in common.
    """
    sets = [CaptionSet.of(train) for train in trains]
    if len(sets) == 1:
        return sets[0]
    width = max(data.captions.shape[1] for data in sets)
    return CaptionSet(
        jnp.stack([jnp.asarray(train.captions[:, :width]) for train in trains]),
        jnp.stack([data.image_idxs for data in sets]),
        sets[0].images,
    )


@partial(jax.jit, static_argnames=("program", "count"), donate_argnames="states")
def sweep_steps(
    states: TrainState, numbers: Numbers, data: CaptionSet, *, program: Program, count: int
) -> tuple[TrainState, StepsResult]:
    """Train every member on its next `count` minibatches, which must be of one epoch.

    Args:
        states: as `init_states` gives them; they are donated and must not be read again.
        numbers: as `stack_numbers` gives them.
        data: as `stack_captions` gives it.
        program: what the members have in common.
        count: minibatches.

    Returns:
        The states, and the results with a first axis of members.
    """

    def one(state: TrainState, numbers: dict[str, Array], own: tuple[Array, ...]) -> Any:
        model, training = _configure(*_shape(program), numbers, _with_traced)
        captions, image_idxs = own or (data.captions, data.image_idxs)
        return scan_steps(
            state,
            CaptionSet(captions, image_idxs, data.images),
            model=model,
            training=training,
            count=count,
            cut=not program.vectorised,
        )

    own = (data.captions, data.image_idxs) if data.captions.ndim == 3 else ()
    if program.vectorised:
        return jax.vmap(one)(states, numbers, own)

    # Updated in place, where `lax.map` would need a second copy of all states.
    def body(states: TrainState, inputs: Any) -> tuple[TrainState, StepsResult]:
        i, *rest = inputs
        state = jax.tree.map(lambda all: lax.dynamic_index_in_dim(all, i, keepdims=False), states)
        state, result = one(state, *rest)
        states = jax.tree.map(
            lambda all, new: lax.dynamic_update_index_in_dim(all, new, i, 0), states, state
        )
        return states, result

    return lax.scan(body, states, (jnp.arange(len(states.step)), numbers, own))


@partial(jax.jit, static_argnames="program")
def sweep_losses(params: Params, data: CaptionSet, *, program: Program) -> CaptionLoss:
    """Each member's loss over all captions of `data`, without dropout."""

    def one(params: Params) -> CaptionLoss:
        return mean_loss(params, data, model=program.model, batch_size=128)

    return jax.vmap(one)(params) if program.vectorised else lax.map(one, params)


@dataclass(frozen=True)
class SweepProgress:
    """What the members have come to after one call.

    Attributes:
        states: of all members, stacked; valid until the next ones are asked for.
        members: each one's progress, whose `state` is that of all members.
        failures: what went wrong with a member in this call, by its index.
    """

    states: TrainState
    members: list[Progress]
    failures: dict[int, FloatingPointError]


def fit_sweep(
    states: TrainState,
    numbers: Numbers,
    program: Program,
    trains: Sequence[Split],
    val: Split,
    *,
    cider: Callable[[Params], float] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[SweepProgress]:
    """Train all members to the end of the last epoch, as `jaxcap.learning.loop.fit` trains one.

    Args:
        states, numbers: as `init_states` and `stack_numbers` give them; the states are donated.
        program: what the members have in common.
        trains: captions to train on: of all members, or one split a member.
        val: captions to measure the losses on after every epoch.
        cider: scores the parameters of a member after every epoch.
        clock: seconds, for the captions per second.

    Yields:
        One `SweepProgress` a call.

    Raises:
        FloatingPointError: the losses or parameters of all members became NaN or infinite.
    """
    training = program.training
    data, val_data = stack_captions(trains), subset(CaptionSet.of(val), training.val_captions)
    per_epoch = training.steps_per_epoch(data.captions.shape[-2])
    total = training.num_epochs * per_epoch
    failed: set[int] = set()
    compiled: dict[int, Callable[..., tuple[TrainState, StepsResult]]] = {}
    iteration = 0
    while iteration < total:
        done = iteration % per_epoch
        count = min(training.log_every - done % training.log_every, per_epoch - done)
        if count not in compiled:
            lowered = sweep_steps.lower(states, numbers, data, program=program, count=count)
            compiled[count] = lowered.compile()
        begin = clock()
        states, result = compiled[count](states, numbers, data)
        losses = np.asarray(result.losses)
        speed = count * training.batch_size / max(clock() - begin, 1e-9)
        failures = _failures(losses, np.asarray(result.params_finite), iteration, failed)
        failed |= failures.keys()
        if len(failed) == len(losses):
            raise next(iter(failures.values()))
        iteration += count
        epoch = iteration // per_epoch if iteration % per_epoch == 0 else None
        vals: list[CaptionLoss | None] = [None] * len(losses)
        scores: list[float | None] = [None] * len(losses)
        if epoch is not None:
            measured = sweep_losses(states.params, val_data, program=program)
            vals = [CaptionLoss(*parts) for parts in zip(*measured, strict=True)]
        if epoch is not None and cider is not None:
            for i in set(range(len(losses))) - failed:
                scores[i] = cider({name: stack[i] for name, stack in states.params.items()})
        yield SweepProgress(
            states,
            [
                Progress(states, iteration, total, losses[i], speed, epoch, vals[i], scores[i])
                for i in range(len(losses))
            ],
            failures,
        )


def _failures(
    losses: np.ndarray, params_finite: np.ndarray, before: int, failed: set[int]
) -> dict[int, FloatingPointError]:
    """The errors of the members that were not among the failed ones."""
    found = {}
    for i in sorted(set(range(len(losses))) - failed):
        try:
            check_finite(losses[i], bool(params_finite[i]), before)
        except FloatingPointError as error:
            found[i] = error
    return found
