"""A small run within the process: 20 iterations, 4 epochs."""

import dataclasses
import json

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.run import open_run


def opened(folder, info, data, **start):
    """The run that `info` describes, as a context manager."""
    return open_run(folder, data, info.model, info.training, seed=info.seed, **start)


def train(folder, info, data, **start):
    """Train to the end; the last state."""
    with opened(folder, info, data, **start) as run:
        return run.train(tensorboard=False).state


def train_until(iteration, folder, info, data, **start):
    """Train until a call has ended at or after `iteration`, as an interrupt would; where it was."""
    with opened(folder, info, data, **start) as run:
        steps = run.steps(tensorboard=False, stop=lambda: run.iteration >= iteration)
        return [progress.iteration for progress, _ in steps][-1]


def changed(info, *, model=None, **training):
    """The same run with other settings."""
    model = dataclasses.replace(info.model, **(model or {}))
    training = dataclasses.replace(info.training, **training)
    return dataclasses.replace(info, model=model, training=training)


def assert_all_load(folder, like):
    """Every checkpoint can be read and is what was saved, by its checksums; their iterations."""
    checkpoints = Checkpoints(folder)
    for step in checkpoints.steps:
        checkpoints.load_state(step, like)
    return checkpoints.steps


def outcome(folder):
    """Checksums of all arrays of the last checkpoint, the best one, and what was measured."""
    checkpoints, rows = Checkpoints(folder), read_metrics(folder)
    info = json.loads((checkpoints.path(checkpoints.steps[-1]) / "info" / "metadata").read_text())
    for row in rows:
        del row["captions_per_second"]
    return checkpoints.steps[-1], info["checksums"], checkpoints.best(), rows
