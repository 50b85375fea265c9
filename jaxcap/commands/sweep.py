"""What `jaxcap.train` does with --sweep and --seeds: many captioners, of which the best is kept."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from tqdm import tqdm

from jaxcap.data.dataset import Dataset, Split
from jaxcap.data.projection import carry_projection
from jaxcap.learning.checkpoints import CheckpointInfo
from jaxcap.learning.interrupts import catch_interrupts
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.run import CURVE_FILE, record
from jaxcap.learning.sweep import SWEPT, SweepProgress, members, parse_sweep
from jaxcap.learning.sweep_run import SweepRun, open_sweep, table
from jaxcap.scoring.split_images import knows_truth
from jaxcap.trained import load_captioner, scene_truth

SWEEP = flags.DEFINE_multi_string(
    "sweep",
    [],
    "Train a captioner for each of these values, all in one program: NAME=VALUE,VALUE,... with one "
    f"of {', '.join(SWEPT)}; may be given several times, for every combination.",
)
SEEDS = flags.DEFINE_integer(
    "seeds",
    1,
    "Train this many captioners of each kind in one program, with the seeds from --seed on.",
    lower_bound=1,
)


def sweep(
    folder: Path,
    info: CheckpointInfo,
    data: Dataset,
    train_split: Callable[[int], Split] | None,
    flag_values: dict[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    init_from: Path | None,
    tensorboard: bool,
) -> int:
    """Train the members that the flags name; the exit code.

    Args:
        folder: where the sweep is kept.
        info: what is to be trained and how, with the seed of the first members.
        data: the data set.
        train_split: what a seed draws of the training captions; None if all are trained on.
        flag_values: for the record.
        resume, overwrite, init_from, tensorboard: values of those flags.
    """
    if resume:
        raise ValueError("a sweep cannot be resumed: leave out --resume, or --sweep and --seeds")
    found = members(parse_sweep(SWEEP.value), info.seed, SEEDS.value)
    run = open_sweep(folder, info, found, overwrite=overwrite, init_from=init_from)
    record(folder, 0, info.seed, flag_values)
    carry_projection(data.folder, folder, used=data.pca_features)
    trains = []
    if train_split is not None:
        drawn = {seed: train_split(seed) for seed in {member.seed for member in found}}
        trains = [drawn[member.seed] for member in found]
    print(f"training {len(found)} captioners")
    with catch_interrupts() as interrupt:
        try:
            iteration, total = _train(run, data, trains, tensorboard, lambda: bool(interrupt))
        finally:
            _draw_curves(run)
    print(table(run.standings))
    print(f"{folder}: holds the best, {run.best.member.name}")
    if interrupt:
        print(f"stopped after iteration {iteration} of {total}: a sweep cannot be resumed")
        return interrupt.exit_code
    if iteration < total:
        print(f"stopped after iteration {iteration}: the patience with every captioner has ended")
    if knows_truth(data):
        print("claims in the best one's captions of the validation scenes:")
        print(scene_truth(load_captioner(folder).captioner, data.val))
    return 0


def _train(
    run: SweepRun,
    data: Dataset,
    trains: list[Split],
    tensorboard: bool,
    stop: Callable[[], bool],
) -> tuple[int, int]:
    """Train, log, and show a progress bar on a terminal; the iterations done and of the whole."""
    iteration = total = 0
    with tqdm(unit="it", disable=not sys.stderr.isatty()) as bar:
        for progress, saved in run.train(data, trains, tensorboard=tensorboard, stop=stop):
            iteration = progress.members[0].iteration
            bar.total = total = progress.members[0].num_iterations
            bar.update(iteration - bar.n)
            for line in _log_lines(run, progress, saved):
                bar.write(line, file=sys.stdout)
            sys.stdout.flush()
    return iteration, total


def _log_lines(run: SweepRun, progress: SweepProgress, saved: Path | None) -> list[str]:
    training = run.program.training
    names = [standing.member.name for standing in run.standings]
    followed = [i for i, standing in enumerate(run.standings) if standing.followed]
    one = progress.members[0]
    first = one.iteration - len(one.losses) + 1
    speed = f"{one.captions_per_second * len(names):.0f} captions/s"

    def summary(values: dict[int, float]) -> str:
        best = min(values, key=lambda i: values[i])
        median = float(np.median(list(values.values())))
        return f"{values[best]:.6f} ({names[best]}), median {median:.6f} of {len(values)}"

    lines = [
        f"{names[i]}: {error}; it is left out from here on"
        for i, error in progress.failures.items()
    ]
    for offset in range(len(one.losses)):
        if followed and (first + offset - 1) % training.log_every == 0:
            losses = {i: float(progress.members[i].losses[offset]) for i in followed}
            lines.append(
                f"(Iteration {first + offset} / {one.num_iterations}) least loss: "
                f"{summary(losses)}  ({speed})"
            )
    measured = {
        i: float(val.per_caption)
        for i in followed
        if (val := progress.members[i].val) is not None and np.isfinite(val.per_caption)
    }
    if measured:
        lines.append(
            f"(Epoch {one.epoch} / {training.num_epochs}) least val loss: {summary(measured)}"
        )
    if saved is not None:
        lines.append(f"saved {saved}, {run.best.member.name}")
    return lines


def _draw_curves(run: SweepRun) -> None:
    """Draw what there is, without hiding how training ended."""
    try:
        from jaxcap.plots import save_figure, sweep_curves

        ranked = sorted(run.standings, key=lambda standing: standing.rank)
        names = [standing.member.name for standing in ranked]
        rows = {name: read_metrics(run.folder / name) for name in names}
        rows = {name: found for name, found in rows.items() if found}
        if rows:
            save_figure(sweep_curves(rows), run.folder / CURVE_FILE)
            print(f"drew {run.folder / CURVE_FILE}")
    except (ImportError, OSError) as error:
        print(f"warning: no loss curves: {error}", file=sys.stderr)
