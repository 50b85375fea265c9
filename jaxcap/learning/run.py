"""A training run in a folder: started, resumed, measured, saved.

A run has one member, a sweep several, which are trained by one loop. `open_run` opens the one,
`jaxcap.learning.sweep.open_sweep` the other.
"""

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import jax

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import Dataset, Split
from jaxcap.data.projection import carry_projections
from jaxcap.data.seeds import split_seed
from jaxcap.files import AnyPath
from jaxcap.learning import processes
from jaxcap.learning.checkpoint_info import RunInfo, Validation
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import Learner, make_learner, member_state
from jaxcap.learning.loop import fit
from jaxcap.learning.metrics import MetricsWriter
from jaxcap.learning.progress import Progress
from jaxcap.learning.run_folder import held, make_empty, record_start
from jaxcap.learning.sharding import Layout
from jaxcap.learning.standing import Standing, validation_of
from jaxcap.learning.start import Start, check_start, initial_params, with_words
from jaxcap.learning.validation import Validator
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params


@dataclass
class Run:
    """A run or sweep whose folder is held, ready to train.

    Attributes:
        folder: where it is kept.
        data: what it is trained on.
        learner: the state, kept up to date, and what trains it; of a sweep's members stacked.
        standings: of its members, kept up to date.
        checkpoints: those in the folder. A sweep's are of the member that was the best when they
            were written.
        captions: to train on, where they are not the training split of `data`.
        validate: measures the parameters after every epoch, if anything does.
    """

    folder: Path
    data: Dataset
    learner: Learner
    standings: Sequence[Standing]
    checkpoints: Checkpoints
    captions: Split | CaptionSet | None = None
    validate: Validator | None = None

    @property
    def info(self) -> RunInfo:
        """What the checkpoints of the best member record."""
        return self.best.info

    @property
    def is_sweep(self) -> bool:
        """Whether its members are stacked and have folders of their own."""
        return self.learner.state.step.ndim == 1

    @property
    def iteration(self) -> int:
        """Minibatches done so far."""
        return int(self.learner.state.step.max())

    @property
    def num_iterations(self) -> int:
        """Minibatches of the whole run."""
        return self.standings[0].info.num_iterations

    @property
    def layout(self) -> Layout | None:
        """The layout of state and data over devices; None on one."""
        return Layout.of(self.data.train.captions)

    @property
    def params(self) -> Params:
        """The parameters as they are now, whole on one device; all processes ask alike."""
        params = self.learner.state.params
        return params if self.layout is None else self.layout.whole(params)

    @property
    def best(self) -> Standing:
        """The best member so far: by validation, and before that by its loss."""

        def order(standing: Standing) -> tuple[bool, float, float]:
            loss = math.inf if standing.loss is None else standing.loss
            unmeasured = standing.best.rank is None
            return (unmeasured and standing.failure is not None, standing.rank, loss)

        return min(self.standings, key=order)

    def train(self, *, save_every: int = 1, tensorboard: bool = True) -> Progress:
        """Train to the end; see `steps`.

        Returns:
            The last call's progress.
        """
        steps = self.steps(save_every=save_every, tensorboard=tensorboard)
        ((last, _),) = deque(steps, maxlen=1)
        return last

    def steps(
        self,
        *,
        save_every: int = 1,
        tensorboard: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Progress, Path | None]]:
        """Train to the end, or until `stop` answers true between two calls.

        With several processes all of them must be called alike, and `stop` must answer all alike;
        the first one writes.

        A run writes a checkpoint before its first minibatch, after every `save_every` epochs,
        whenever validation finds it the best yet, and at the end; a sweep whenever validation finds
        a member the best of all yet, and at the end if there was none. A member is trained until
        its patience ends.

        Yields:
            Each call's progress, and the checkpoint written after it or None.

        Raises:
            FloatingPointError: a loss or parameter became NaN or infinite, in a sweep those of all
                members; the checkpoints are as they were.
            OSError: the folder cannot be written.
        """
        training = self.info.training
        with ExitStack() as stack:
            if not self.is_sweep and self.iteration == 0:
                self.checkpoints.save(self.learner.state, self.info, Validation())
            writers = self._writers(stack, tensorboard) if processes.is_first() else []
            captions = self.data.train if self.captions is None else self.captions
            for progress in fit(*self.learner, captions, training, self.validate):
                self.learner = self.learner._replace(state=progress.state)
                improved = self._note(progress, writers)
                ended = progress.iteration == progress.num_iterations
                stopping = stop() or ended or not any(s.followed for s in self.standings)
                due = stopping or (progress.epoch is not None and progress.epoch % save_every == 0)
                if self.is_sweep:
                    due = stopping and not self.checkpoints.steps
                path = None
                if improved or due:
                    for writer in writers:
                        writer.sync()
                    path = self._save(progress)
                yield progress, path
                if stopping:
                    return

    def _writers(self, stack: ExitStack, tensorboard: bool) -> list[MetricsWriter]:
        writers = []
        for standing in self.standings:
            folder = self.folder / standing.name
            folder.mkdir(exist_ok=True)
            writers.append(MetricsWriter(folder, after=self.iteration, tensorboard=tensorboard))
            stack.callback(writers[-1].close)
        return writers

    def _note(self, progress: Progress, writers: list[MetricsWriter]) -> bool:
        """Bring standings and metrics up to date; whether there is a better one than all before."""
        lowest = min(standing.rank for standing in self.standings)
        for i, (standing, own) in enumerate(zip(self.standings, progress.members, strict=True)):
            if standing.failure is None and own.failure is not None:
                standing.failure = own.failure
                warnings.warn(
                    f"{standing.name}: {own.failure}; it is left out from here on", stacklevel=2
                )
            if standing.followed:
                standing.note(own)
                if writers:
                    writers[i].write(own)
        if all(standing.failure for standing in self.standings):
            raise self.standings[0].failure or FloatingPointError
        return self.best.rank < lowest

    def _save(self, progress: Progress) -> Path:
        standing, state = self.best, progress.state
        info, index = standing.info, self.standings.index(standing)
        if self.is_sweep:
            key = jax.random.key(0)
            like = jax.eval_shape(
                lambda: make_learner(info.model, info.training, self.data, key)[0]
            )
            state = member_state(state, index, like)
        validation = validation_of(progress.members[index], info.training)
        return self.checkpoints.save(state, info, validation)


@contextmanager
def open_run(
    checkpoint_dir: AnyPath,
    data: Dataset,
    model: CaptionerConfig,
    training: TrainingConfig,
    *,
    seed: int = 0,
    **start: Unpack[Start],
) -> Iterator[Run]:
    """Hold a run's folder and make the run ready: a new one, or the one that the folder holds.

        with open_run("runs/a", data, model, training, seed=0) as run:
            run.train()

    Args:
        checkpoint_dir: folder where the run is kept; made if missing.
        data: the data set. Where its training split is laid out over devices, the run is too; they
            may be other devices than those that a resumed run was saved on.
        model: shape of the captioner.
        training: how to train.
        seed: of everything random.
        **start: `resume`, `overwrite`, `init_from`, `word_vectors` and `flags`; see `Start`.

    Raises:
        FileExistsError: the folder holds a run, and neither `resume` nor `overwrite` is true.
        BlockingIOError: another process trains in the folder; the message names it.
        FileNotFoundError: there is nothing to resume or to start from.
        OSError: the folder cannot be written.
        ValueError: the run was made with other settings, nothing is left to train, or
            `objective="cider"` is to start from nothing or to be spread over devices; or the
            vocabulary does not divide; or processes differ.
    """
    folder, info = Path(checkpoint_dir).expanduser(), RunInfo.of(data, model, training, seed)
    layout = Layout.of(data.train.captions)
    check_start(folder, info, layout, start)
    params = initial_params(start, info)
    # What these refuse must be told before an old run is deleted.
    validate = Validator.of(model, data, training)
    key = split_seed(seed).state_key
    learner = make_learner(model, training, data, key, params=params)
    learner = learner._replace(state=with_words(learner.state, start))
    with opened(folder, start) as checkpoints:
        if layout is not None:
            learner = learner._replace(state=layout.place(learner.state))
        run = Run(folder, data, learner, [Standing(info)], checkpoints, validate=validate)
        if start.get("resume"):
            _resume(run)
        record(run, start)
        yield run


@contextmanager
def opened(folder: Path, start: Start) -> Iterator[Checkpoints]:
    """Hold a folder, delete the run in it if that is asked for, and give its checkpoints."""
    with held(folder):
        if not start.get("resume"):
            make_empty(folder, overwrite=start.get("overwrite", False))
        checkpoints = Checkpoints(folder, create=True)
        try:
            yield checkpoints
        finally:
            checkpoints.close()


def record(run: Run, start: Start) -> None:
    """Record in the folder how a run was started, and keep the projections of its data."""
    if processes.is_first():
        info = run.standings[0].info
        seed = info.seed
        record_start(run.folder, run.iteration, seed, start.get("flags", {}))
        carry_projections(run.data.folder, run.folder, info.data)


def _resume(run: Run) -> None:
    """Take over the newest state in the folder, and how the run stands."""
    checkpoints, (standing,) = run.checkpoints, run.standings
    info, like = standing.info, run.learner.state
    _, found = checkpoints.first_readable(checkpoints.load_info)
    found.check_vocabulary(info.vocabulary, info.source.folder, run.folder)
    found.check_same_run(info, run.folder)
    step, state = checkpoints.first_readable(lambda step: checkpoints.load_state(step, like))
    processes.check_same(step, "a newest checkpoint")
    checkpoints.set_aside_after(step)
    if step >= info.num_iterations:
        raise ValueError(
            f"{checkpoints.path(step)}: is at iteration {step} of {info.num_iterations}, nothing "
            "is left to train: raise `num_epochs` to continue"
        )
    best = checkpoints.best()
    if best is not None:
        standing.best, standing.best_at = checkpoints.load_validation(best[0]), best[0]
    if step - standing.best_at >= info.training.patience_steps(info.num_captions):
        raise ValueError(
            f"{checkpoints.path(step)}: training ended after `patience={info.training.patience}` "
            "epochs without a better checkpoint: raise it to continue"
        )
    run.learner = run.learner._replace(state=state)
