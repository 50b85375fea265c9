"""A small run within the process."""

import jax
from tiny_checkpoints import assert_same

from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.run import open_run

KEY = jax.random.key(0)


def start(folder, info, **options):
    return open_run(folder, info, KEY, **options)


def train(run, data, **options):
    """Train to the end; the last state."""
    return [progress for progress, _ in run.train(data, **options)][-1].state


def train_until(iteration, run, data):
    """Train until a call has ended at or after `iteration`, as an interrupt would."""
    done = [0]
    for progress, _ in run.train(data, tensorboard=False, stop=lambda: done[0] >= iteration):
        done[0] = progress.iteration


def losses(folder):
    return [row["loss"] for row in read_metrics(folder)]


def assert_all_load(folder, like):
    """Every checkpoint can be read and is what was saved, by its checksums; their iterations."""
    checkpoints = Checkpoints(folder)
    for step in checkpoints.steps:
        checkpoints.load_state(step, like)
    return checkpoints.steps


def assert_goes_on_to(whole, folder, info, data):
    """Resuming ends as the run did that was never disturbed, of which `whole` is the folder."""
    run = start(folder, info, resume=True)
    last = train(run, data, tensorboard=False)
    checkpoints = Checkpoints(whole)
    assert_same(checkpoints.load_state(checkpoints.steps[-1], last), last)
    assert losses(folder) == losses(whole)
