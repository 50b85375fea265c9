"""A sweep in a folder: its members' metrics, and the best of them as the folder's checkpoint.

The folder holds a folder of each member, named by what it has of its own, with its `metrics.jsonl`;
and, as the folder of a run does, checkpoints and `run.json`. The checkpoints are those of the
member that was the best when they were written, and say of themselves what that member is.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from jaxcap.data.dataset import Dataset, Split
from jaxcap.files.lock import FolderLock
from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints, Validation
from jaxcap.learning.loop import TrainState
from jaxcap.learning.metrics import MetricsWriter
from jaxcap.learning.run import hold, initial_params, prepare_folder, validation_of
from jaxcap.learning.sweep import (
    Member,
    Program,
    SweepProgress,
    fit_sweep,
    init_states,
    member_state,
    stack_numbers,
)
from jaxcap.learning.validation import ValidationCider


@dataclass
class Standing:
    """What has become of one member.

    Attributes:
        member: which it is.
        loss: that of its last minibatch; None before the first.
        best: the best that it was found to be worth.
        best_at: the iteration of that.
        failure: what went wrong with it, after which it is no longer followed.
        ended: whether its patience has run out, after which it is not either.
    """

    member: Member
    loss: float | None = None
    best: Validation = field(default_factory=Validation)
    best_at: int = 0
    failure: FloatingPointError | None = None
    ended: bool = False

    @property
    def followed(self) -> bool:
        """Whether it still trains."""
        return self.failure is None and not self.ended

    @property
    def rank(self) -> float:
        """That of the best that it was worth; the lower the better."""
        return float("inf") if self.best.rank is None else self.best.rank


@dataclass
class SweepRun:
    """A sweep that is ready to train.

    Attributes:
        folder: where it is kept.
        info: what a member's checkpoint says of itself, but for what the member has of its own.
        program: what the members have in common.
        states: those to train from, stacked.
        checkpoints: those in the folder.
        standings: of all members, kept up to date.
        lock: what keeps other runs out of the folder until training has ended.
    """

    folder: Path
    info: CheckpointInfo
    program: Program
    states: TrainState
    checkpoints: Checkpoints
    standings: list[Standing]
    lock: FolderLock | None = None

    @property
    def best(self) -> Standing:
        """The best member so far: by validation, and before that by its loss."""

        def order(standing: Standing) -> tuple[bool, float, float]:
            loss = float("inf") if standing.loss is None else standing.loss
            unmeasured = standing.best.rank is None
            return (unmeasured and standing.failure is not None, standing.rank, loss)

        return min(self.standings, key=order)

    def train(
        self,
        data: Dataset,
        trains: Sequence[Split] = (),
        *,
        tensorboard: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[SweepProgress, Path | None]]:
        """Train to the end, or until `stop` answers true between two calls.

        A checkpoint is written whenever validation finds a member the best of all yet, and at the
        end if there was none. A member is not followed further where its patience ends.

        Args:
            data: the data set.
            trains: training captions of each member, where they are not those of `data`.
            tensorboard: whether to write events.
            stop: asked after every call.

        Yields:
            Each call's progress, and the checkpoint written after it or None.

        Raises:
            FloatingPointError: all members' losses or parameters became NaN or infinite; the
                checkpoints are as they were.
            OSError: the folder cannot be written.
        """
        training = self.program.training
        cider = None
        if training.val_images:
            cider = ValidationCider(self.info.model, data, training.val_images)
        with ExitStack() as stack:
            if self.lock is not None:
                stack.callback(self.lock.release)
            stack.callback(self.checkpoints.close)
            writers = []
            for standing in self.standings:
                folder = self.folder / standing.member.name
                folder.mkdir(exist_ok=True)
                writers.append(MetricsWriter(folder, tensorboard=tensorboard))
                stack.callback(writers[-1].close)
            for progress in fit_sweep(
                self.states,
                stack_numbers([standing.member for standing in self.standings]),
                self.program,
                trains or [data.train],
                data.val,
                cider=cider,
            ):
                lowest = min(standing.rank for standing in self.standings)
                self._note(progress, writers, self._patience(trains or [data.train]))
                iteration = progress.members[0].iteration
                stopping = (
                    stop()
                    or iteration == progress.members[0].num_iterations
                    or not any(standing.followed for standing in self.standings)
                )
                path = None
                unsaved = stopping and not self.checkpoints.steps
                if self.best.rank < lowest or unsaved:
                    for writer in writers:
                        writer.sync()
                    path = self._save(progress.states)
                yield progress, path
                if stopping:
                    return

    def _note(self, progress: SweepProgress, writers: list[MetricsWriter], patience: float) -> None:
        """Bring the standings and the metrics of the members that are followed up to date."""
        for i, standing in enumerate(self.standings):
            standing.failure = standing.failure or progress.failures.get(i)
            if not standing.followed:
                continue
            ours = progress.members[i]
            writers[i].write(ours)
            standing.loss = float(ours.losses[-1])
            validation = validation_of(ours, self.program.training)
            if validation.rank is not None and validation.rank < standing.rank:
                standing.best, standing.best_at = validation, ours.iteration
            epoch_ended = ours.epoch is not None
            standing.ended = epoch_ended and ours.iteration - standing.best_at >= patience

    def _patience(self, trains: Sequence[Split]) -> float:
        return self.program.training.patience_steps(len(trains[0].captions))

    def _save(self, states: TrainState) -> Path:
        standing = self.best
        member, i = standing.member, self.standings.index(standing)
        model, training = member.configure(self.info.model, self.info.training)
        info = replace(self.info, model=model, training=training, seed=member.seed)
        state = member_state(states, self.program, i, member)
        return self.checkpoints.save(state, info, standing.best)


def open_sweep(
    folder: Path,
    info: CheckpointInfo,
    members: Sequence[Member],
    *,
    overwrite: bool = False,
    init_from: Path | None = None,
) -> SweepRun:
    """Make a sweep ready.

    Args:
        folder: where it is kept; made if missing.
        info: what is to be trained and how, but for what the members have of their own.
        members: the members.
        overwrite: delete the run or sweep that `folder` holds.
        init_from: folder of a run whose parameters all members start with.

    Raises:
        FileExistsError: `folder` holds a run, and `overwrite` is not true.
        BlockingIOError: another process trains in `folder`; the message names it.
        FileNotFoundError: there is nothing to start from.
        ValueError: a member's value is out of its range, or the settings cannot be swept.
    """
    program = Program.of(members, info.model, info.training)
    params = None if init_from is None else initial_params(init_from, info)
    with ExitStack() as stack:
        lock = hold(folder, stack)
        checkpoints = prepare_folder(folder, overwrite=overwrite)
        states = init_states(members, program, params)
        stack.pop_all()
    return SweepRun(folder, info, program, states, checkpoints, list(map(Standing, members)), lock)


def table(standings: Sequence[Standing]) -> str:
    """The members, the best first, with their last training loss and the best of validation."""
    by_cider = any(standing.best.cider is not None for standing in standings)
    head = ["member", "training loss", "validation loss", *["CIDEr"] * by_cider, "iteration"]
    rows = [head]
    for standing in sorted(standings, key=lambda standing: standing.rank):
        best = standing.best
        measured = [best.loss, *[best.cider] * by_cider]
        rows.append(
            [
                standing.member.name,
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
