"""Many captioners trained together, in one program, that differ in seed and in some numbers.

Each member trains as a run of its own does, up to the rounding of floats; what the members share is
in `jaxcap.learning.loop`. The folder holds a folder of each member with its `metrics.jsonl`, and,
as the folder of a run does, checkpoints and `run.json`. The checkpoints are those of the member
that was the best when they were written, and record what that member is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from jaxcap.data.batches import CaptionSet
from jaxcap.data.coco import load_coco
from jaxcap.data.dataset import Dataset, Split
from jaxcap.data.seeds import split_seed
from jaxcap.files import AnyPath
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.learning.learner import Learner, make_learner, stack
from jaxcap.learning.optimiser import Hyper
from jaxcap.learning.run import Run, opened, record
from jaxcap.learning.standing import Standing
from jaxcap.learning.start import Start, initial_params, with_words
from jaxcap.learning.streaming import NEEDS_MEMORY
from jaxcap.learning.validation import Validator
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params

SWEPT = Hyper._fields
"""Hyperparameters that can be swept without recompiling."""


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
        """Give the configurations of the run that it equals.

        Raises:
            ValueError: a value is out of its range.
        """

        def changed(config: Any, **more: Any) -> Any:
            names = {field.name for field in fields(config)}
            own = {name: value for name, value in self.values if name in names}
            return replace(config, **own, **more)

        optimiser: OptimiserConfig = changed(training.optimiser)
        return changed(model), changed(training, optimiser=optimiser)


def members(sweep: Mapping[str, Sequence[float]], seed: int = 0, seeds: int = 1) -> list[Member]:
    """List every combination of the values of `sweep`, each with the seeds from `seed` on."""
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
                f"`sweep={text}` cannot be swept: expected NAME=VALUE,VALUE,... with one of "
                f"{', '.join(SWEPT)}; what else differs needs a run of its own"
            )
        if name in sweep:
            raise ValueError(f"`sweep` gives {name} twice: list all its values in one")
        try:
            sweep[name] = tuple(map(float, listed.split(",")))
        except ValueError as error:
            raise ValueError(
                f"`sweep={text}`: expected numbers with commas between them, such as {name}=0.1,0.2"
            ) from error
        if len(set(sweep[name])) < len(sweep[name]):
            raise ValueError(f"`sweep={text}` gives a value twice: leave one out")
    return sweep


def make_learners(
    members: Sequence[Member],
    model: CaptionerConfig,
    training: TrainingConfig,
    data: Dataset,
    params: Params | None = None,
) -> Learner:
    """Make what `fit` trains of all members, stacked; each draws its state as its run would.

    Raises:
        ValueError: a member's value is out of its range, or the settings cannot be swept.
    """
    if training.objective != "likelihood":
        raise ValueError(
            f"`objective={training.objective}` trains one captioner at a time: leave out `sweep` "
            "and `seeds`"
        )
    if any(split.grids is not None for split in data.splits.values()):
        raise ValueError(NEEDS_MEMORY)
    if training.optimiser.lr_schedule == "cosine" and "lr_decay" in dict(members[0].values):
        raise ValueError(
            "`lr_schedule=cosine` has no lr_decay: sweep it with `lr_schedule=exponential`"
        )
    if training.scheduled_sampling is None and "sampling_rate" in dict(members[0].values):
        raise ValueError("a sweep of sampling_rate needs `scheduled_sampling`: give it, too")
    configs = [member.configure(model, training) for member in members]
    hypers = _with_the_same_terms([Hyper.of(*config) for config in configs])
    keys = [split_seed(member.seed).state_key for member in members]
    return stack(
        [
            make_learner(model, training, data, key, hyper=hyper, params=params)
            for key, hyper in zip(keys, hypers, strict=True)
        ]
    )


def _with_the_same_terms(hypers: Sequence[Hyper]) -> list[Hyper]:
    """Of a term that some members lack the others have a rate of 0 in the program."""
    columns = [
        column if None in column and not any(column) else [value or 0.0 for value in column]
        for column in zip(*hypers, strict=True)
    ]
    return [Hyper(*row) for row in zip(*columns, strict=True)]


def member_captions(members: Sequence[Member], data: Dataset) -> CaptionSet:
    """Give the training captions: of all members, or for `max_train` what the seed of each draws.

    In the latter case captions and image rows have a first axis of members.
    """
    source = data.source
    if source.max_train is None or data.folder is None:
        return CaptionSet.of(data.train)
    drawn = {
        seed: load_coco(
            data.folder,
            pca_features=data.pca_features,
            max_train=source.max_train,
            key=split_seed(seed).data_key,
            splits=["train"],
        ).train
        for seed in {member.seed for member in members}
    }
    return stack_captions([drawn[member.seed] for member in members], data.train)


def stack_captions(trains: Sequence[Split], images: Split) -> CaptionSet:
    """Stack captions of the same number; the images are those of one split."""
    width = max(CaptionSet.of(train).captions.shape[1] for train in trains)
    return CaptionSet(
        jnp.stack([jnp.asarray(train.captions[:, :width]) for train in trains]),
        jnp.stack([train.image_idxs for train in trains]),
        images.images,
    )


@contextmanager
def open_sweep(
    checkpoint_dir: AnyPath,
    data: Dataset,
    model: CaptionerConfig,
    training: TrainingConfig,
    members: Sequence[Member],
    **start: Unpack[Start],
) -> Iterator[Run]:
    """Hold a sweep's folder and make the sweep ready.

    Args:
        checkpoint_dir: folder where the sweep is kept; made if missing.
        data: the data set.
        model, training: what is trained and how; each member changes what it has of its own.
        members: the members.
        **start: `overwrite`, `init_from`, `word_vectors` and `flags`, as `open_run` takes them.

    Raises:
        FileExistsError: the folder holds a run, and `overwrite` is not true.
        BlockingIOError: another process trains in the folder; the message names it.
        FileNotFoundError: there is nothing to start from.
        ValueError: a member's value is out of its range, or the settings cannot be swept.
    """
    if start.get("resume"):
        raise ValueError("a sweep cannot be resumed: leave out `resume`, or `sweep` and `seeds`")
    if jax.process_count() > 1:
        raise ValueError(
            "`sweep` and `seeds` train on one device: start one process, or one run a value"
        )
    folder = Path(checkpoint_dir).expanduser()
    params = initial_params(start, RunInfo.of(data, model, training, members[0].seed))
    learner = make_learners(members, model, training, data, params)
    learner = learner._replace(
        state=jax.vmap(lambda state: with_words(state, start))(learner.state)
    )
    standings = [
        Standing(RunInfo.of(data, *member.configure(model, training), member.seed), member.name)
        for member in members
    ]
    standings[0].info.to_json()  # Refuses a cell that no checkpoint can name.
    validate = Validator.of(model, data, training)
    with opened(folder, start) as checkpoints:
        captions = member_captions(members, data)
        run = Run(folder, data, learner, standings, checkpoints, captions, validate)
        record(run, start)
        yield run


def table(standings: Sequence[Standing]) -> str:
    """Tabulate the members, the best first: their last training loss, their best validation."""
    by_cider = any(standing.best.cider is not None for standing in standings)
    head = ["member", "training loss", "validation loss", *["CIDEr"] * by_cider, "iteration"]
    rows = [head]
    for standing in sorted(standings, key=lambda standing: standing.rank):
        best = standing.best
        measured = [best.loss, *[best.cider] * by_cider]
        rows.append(
            [
                standing.name,
                _number(standing.loss) if standing.failure is None else "diverged",
                *map(_number, measured),
                "-" if best.rank is None else str(standing.best_at),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )


def _number(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.6f}"
