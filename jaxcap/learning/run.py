"""A training run in a folder: started, resumed, saved, measured.

The folder holds the checkpoints by iteration, `metrics.jsonl`, and `run.json`, which records how
each start of the run was made.
"""

import json
import math
import platform
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxcap.data.dataset import Dataset
from jaxcap.files.lock import FolderLock
from jaxcap.files.whole import replacing
from jaxcap.learning import processes
from jaxcap.learning.checkpoints import (
    CheckpointInfo,
    Checkpoints,
    Validation,
    is_checkpoint,
    is_half_written,
)
from jaxcap.learning.loop import Progress, TrainingConfig, TrainState, fit, init_state
from jaxcap.learning.metrics import METRICS_FILE, MetricsWriter
from jaxcap.learning.reward import CiderReward, RewardSteps
from jaxcap.learning.sharding import Layout
from jaxcap.learning.validation import ValidationCider
from jaxcap.nn.captioner import Params

RECORD_FILE = "run.json"
CURVE_FILE = "loss.png"
_RUN_FILES = (METRICS_FILE, RECORD_FILE, CURVE_FILE)
_PACKAGES = ("jaxcap", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "h5py")


@dataclass
class Run:
    """A run that is ready to train.

    Attributes:
        folder: where it is kept.
        info: what its checkpoints say of themselves.
        state: the state to train from.
        checkpoints: those in the folder.
        lock: what keeps other runs out of the folder until training has ended; None in a process
            that does not write.
        layout: of the state over devices; None on one.
    """

    folder: Path
    info: CheckpointInfo
    state: TrainState
    checkpoints: Checkpoints
    lock: FolderLock | None = None
    layout: Layout | None = None

    def train(
        self,
        data: Dataset,
        *,
        save_every: int = 1,
        tensorboard: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[tuple[Progress, Path | None]]:
        """Train to the end, or until `stop` answers true between two calls.

        With several processes all of them must be called alike, and `stop` must answer all alike;
        the first one writes.

        A checkpoint is written before the first minibatch of a new run, after every `save_every`
        epochs, whenever validation finds it the best yet, and at the end. Training also ends where
        its patience does.

        Yields:
            Each call's progress, and the checkpoint written after it or None.

        Raises:
            FloatingPointError: a loss or parameter became NaN or infinite; the checkpoints are as
                they were.
            OSError: the folder cannot be written.
        """
        start = int(self.state.step)
        best_at, lowest = self.checkpoints.best() or (0, float("inf"))
        training = self.info.training
        patience = training.patience_steps(data.train.num_captions)
        cider = self._cider(data) if training.val_images else None
        make_steps = None
        if training.objective == "cider":
            reward = CiderReward(data.train, data.vocabulary)
            make_steps = RewardSteps(self.info.model, training, reward)
        with ExitStack() as stack:
            if self.lock is not None:
                stack.callback(self.lock.release)
            stack.callback(self.checkpoints.close)
            if start == 0:
                self.checkpoints.save(self.state, self.info, Validation())
            metrics = None
            if processes.is_first():
                metrics = MetricsWriter(self.folder, after=start, tensorboard=tensorboard)
                stack.callback(metrics.close)
            for progress in fit(
                self.state,
                self.info.model,
                training,
                data.train,
                data.val,
                cider=cider,
                make_steps=make_steps,
                layout=self.layout,
            ):
                if metrics is not None:
                    metrics.write(progress)
                validation = validation_of(progress, training)
                improved = validation.rank is not None and validation.rank < lowest
                if improved and validation.rank is not None:
                    best_at, lowest = progress.iteration, validation.rank
                due = progress.epoch is not None and progress.epoch % save_every == 0
                ended = progress.epoch is not None and progress.iteration - best_at >= patience
                stopping = stop() or ended or progress.iteration == progress.num_iterations
                path = None
                if improved or due or stopping:
                    if metrics is not None:
                        metrics.sync()
                    path = self.checkpoints.save(progress.state, self.info, validation)
                yield progress, path
                if stopping:
                    return

    def _cider(self, data: Dataset) -> Callable[[Params], float]:
        score = ValidationCider(self.info.model, data, self.info.training.val_images)
        layout = self.layout
        if layout is None:
            return score
        # Hosts that round differently must still agree on which checkpoint is the best.
        return lambda params: processes.of_first(score(layout.whole(params)))


def open_run(
    folder: Path,
    info: CheckpointInfo,
    state_key: jax.Array,
    *,
    resume: bool = False,
    overwrite: bool = False,
    init_from: Path | None = None,
    layout: Layout | None = None,
) -> Run:
    """Make a run ready: a new one, or the one that `folder` holds.

    Args:
        folder: where the run is kept; made if missing.
        info: what is to be trained, and how.
        state_key: random key of a new run.
        resume: go on from the newest checkpoint in `folder`.
        overwrite: delete the run that `folder` holds.
        init_from: folder of another run whose parameters a new run starts with; a run that goes
            on has them behind it.
        layout: of the state over devices, which may be other than those it was saved on.

    Raises:
        FileExistsError: `folder` holds a run, and neither `resume` nor `overwrite` is true.
        BlockingIOError: another process trains in `folder`; the message names it.
        FileNotFoundError: there is nothing to resume or to start from.
        OSError: `folder` cannot be written.
        ValueError: the run was made with other settings, nothing is left to train, or the objective
            "cider" is to start from nothing or to be spread over devices; or the vocabulary does
            not divide.
    """
    if resume and overwrite:
        raise ValueError("--resume keeps the run that --overwrite deletes: give one of the two")
    if info.training.objective == "cider" and layout is not None:
        raise ValueError(
            "--objective=cider trains on one device: start one process, with --batch_shards=1 if "
            "it has several"
        )
    if layout is not None:
        layout.check_vocabulary(info.model.vocab_size)
    if resume:
        return _resume(folder, info, state_key, layout)
    if info.training.objective == "cider" and init_from is None:
        raise ValueError(
            "--objective=cider goes on from a captioner that can write: name its run by --init_from"
        )
    params = None if init_from is None else initial_params(init_from, info)
    with ExitStack() as stack:
        lock = hold(folder, stack)
        checkpoints = prepare_folder(folder, overwrite=overwrite)
        state = _placed(init_state(state_key, info.model, info.training, params), layout)
        stack.pop_all()
    return Run(folder, info, state, checkpoints, lock, layout)


def hold(folder: Path, stack: ExitStack) -> FolderLock | None:
    """Keep other runs and sweeps out of a folder until `stack` ends; None but in process 0.

    Raises:
        BlockingIOError: another process trains in it.
        FileExistsError: it is a file.
        OSError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(
            f"{folder}: is a file, expected a folder: give another --checkpoint_dir"
        )
    lock = FolderLock(folder, "give another --checkpoint_dir") if processes.is_first() else None
    failure = None
    try:
        if lock is not None:
            stack.enter_context(lock)
    except OSError as error:
        failure = error
    if processes.largest(failure is not None):
        raise failure or OSError(f"{folder}: process 0 cannot have it to itself")
    return lock


def prepare_folder(folder: Path, *, overwrite: bool) -> Checkpoints:
    """Make a folder that is held ready for a new run or sweep, with `open_run`'s arguments.

    Raises:
        FileExistsError: it holds a run, and `overwrite` is not true; or what is not ours.
    """
    if _holds_run(folder):
        if not overwrite:
            raise FileExistsError(
                f"{folder}: already holds a run: go on with it by --resume, replace it by "
                "--overwrite, or give another --checkpoint_dir"
            )
        processes.wait_for_all("run found")
        if processes.is_first():
            _delete_run(folder)
    processes.wait_for_all("folder seen")
    return Checkpoints(folder, create=True)


def _placed(state: TrainState, layout: Layout | None) -> TrainState:
    return state if layout is None else layout.place(state)


def _resume(folder: Path, info: CheckpointInfo, state_key: jax.Array, layout: Layout | None) -> Run:
    if not _holds_run(folder):
        raise FileNotFoundError(
            f"{folder}: holds no run to resume: leave out --resume to start one"
        )
    if any(map(_is_member, folder.iterdir())):
        raise ValueError(
            f"{folder}: holds a sweep, which cannot be resumed: train its best captioner further "
            "by --init_from and another --checkpoint_dir"
        )
    with ExitStack() as stack:
        lock = hold(folder, stack)
        checkpoints, state = _go_on(folder, info, state_key, layout)
        stack.pop_all()
    return Run(folder, info, state, checkpoints, lock, layout)


def _go_on(
    folder: Path, info: CheckpointInfo, state_key: jax.Array, layout: Layout | None
) -> tuple[Checkpoints, TrainState]:
    """The checkpoints of a run that is held, and the state to go on from."""
    checkpoints = Checkpoints(folder, create=True)
    like = _placed(init_state(state_key, info.model, info.training), layout)
    step, found = checkpoints.load_newest(checkpoints.load_info)
    found.check_vocabulary(info.vocabulary, info.source.folder, folder)
    found.check_same_run(info, folder)
    step, state = checkpoints.load_newest(lambda step: checkpoints.load_state(step, like))
    processes.check_same(step, "a newest checkpoint")
    checkpoints.set_aside_after(step)
    total = info.training.num_epochs * info.training.steps_per_epoch(_num_captions(info))
    if step >= total:
        raise ValueError(
            f"{checkpoints.path(step)}: is at iteration {step} of {total}, nothing is left to "
            "train: raise --num_epochs to go on"
        )
    best = checkpoints.best()
    if step - (best[0] if best else 0) >= info.training.patience_steps(_num_captions(info)):
        raise ValueError(
            f"{checkpoints.path(step)}: training ended after --patience={info.training.patience} "
            "epochs without a better checkpoint: raise it to go on"
        )
    return checkpoints, state


def validation_of(progress: Progress, training: TrainingConfig) -> Validation:
    """What was measured at the end of an epoch, if this was one."""
    loss = None if progress.val is None else float(progress.val.per_caption)
    if loss is not None and not math.isfinite(loss):
        loss = None
    return Validation(loss, progress.cider, training.best_by)


def _num_captions(info: CheckpointInfo) -> int:
    return info.source.max_train or info.data.counts["train"].captions


def initial_params(folder: Path, info: CheckpointInfo) -> Params:
    """The parameters of the run in `folder`, refused where `info` needs others."""
    checkpoints = Checkpoints(folder)
    _, (params, found) = checkpoints.load_newest(checkpoints.load_params)
    found.check_vocabulary(info.vocabulary, info.source.folder, folder)
    ours, theirs = info.model.parameter_shapes(), found.model.parameter_shapes()
    for name in theirs | ours:
        if ours.get(name) != theirs.get(name):
            raise ValueError(
                f"{folder}: has {name} of shape {theirs.get(name)}, this run needs "
                f"{ours.get(name)}: give the same --cell, --init_cell, --feed_features, "
                "--hidden_dim, --wordvec_dim and features"
            )
    return params


def _holds_run(folder: Path) -> bool:
    """Whether there is a run in a folder; one killed in its very first write has left none."""
    return folder.is_dir() and any(
        (is_checkpoint(path) and not is_half_written(path))
        or path.name == METRICS_FILE
        or _is_member(path)
        for path in folder.iterdir()
    )


def _is_member(path: Path) -> bool:
    """Whether a folder is that of a sweep's member, and not that of a run which is named alike."""
    named = re.fullmatch(r"([a-z_]+=[^=,]+,)*seed=\d+", path.name) is not None
    return named and (path / METRICS_FILE).is_file() and not (path / RECORD_FILE).exists()


def _delete_run(folder: Path) -> None:
    """Delete what a run or sweep writes, and nothing else that may lie in the folder."""
    for path in folder.iterdir():
        if is_checkpoint(path):
            shutil.rmtree(path)
        elif _is_member(path):
            for measured in filter(_is_measured, list(path.iterdir())):
                measured.unlink()
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name in _RUN_FILES or _is_measured(path):
            path.unlink()


def _is_measured(path: Path) -> bool:
    """Whether a file is what `MetricsWriter` writes."""
    return path.name == METRICS_FILE or path.name.startswith("events.out.tfevents.")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def record_start(run: Run, flags: dict[str, Any]) -> None:
    """Add to the run's record how it was started: flags, seed, versions, machine."""
    record(run.folder, int(run.state.step), run.info.seed, flags)


def record(folder: Path, iteration: int, seed: int, flags: dict[str, Any]) -> None:
    """Add to a folder's record how a run or sweep was started.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / RECORD_FILE
    starts = []
    if path.exists():
        try:
            starts = list(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            aside = path.with_suffix(".unreadable")
            path.rename(aside)
            warnings.warn(f"{path}: cannot be read ({error}), kept as {aside.name}", stacklevel=2)
    starts.append(
        {
            "iteration": iteration,
            "seed": seed,
            "flags": flags,
            "versions": {name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "devices": [str(device) for device in jax.devices()],
        }
    )
    try:
        with replacing(path) as partial:
            partial.write_text(json.dumps(starts, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise OSError(
            f"{path}: cannot be written ({error.strerror}): make room or give another "
            "--checkpoint_dir; the checkpoints are kept"
        ) from error
