"""Train a captioner: `python -m jaxcap.train --flagfile launch/small.flags`."""

import os
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

import jax
from absl import flags
from tqdm import tqdm

from jaxcap.commands import run as command
from jaxcap.commands import scale as scale_flags
from jaxcap.commands import training as training_flags
from jaxcap.commands.training import RESUME, SAVE_EVERY, TENSORBOARD, opened_run
from jaxcap.decoding.captions import Captioner
from jaxcap.learning import processes
from jaxcap.learning.interrupts import Interrupt, catch_interrupts
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.progress import Progress
from jaxcap.learning.run import Run
from jaxcap.learning.run_folder import CURVE_FILE
from jaxcap.learning.sweep import table
from jaxcap.scene_checks import scene_peaks, scene_truth
from jaxcap.scoring.split_images import knows_truth
from jaxcap.trained import load_captioner

flags.adopt_module_key_flags(training_flags)


def main() -> int:
    with ExitStack() as stack:
        if not processes.is_first():
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        run = stack.enter_context(opened_run())
        _print_start(run)
        with catch_interrupts() as interrupt:
            try:
                last = _train(run, interrupt)
            finally:
                if processes.is_first():
                    _draw_curves(run)
        if run.is_sweep:
            print(table(run.standings))
            print(f"{run.folder}: holds the best, {run.best.name}")
        _print_end(run, last, interrupted=bool(interrupt))
        if not interrupt:
            _print_truth(run)
        return interrupt.exit_code


def _print_start(run: Run) -> None:
    counts = ", ".join(
        f"{split}: {arrays.num_captions:,} captions of {arrays.num_images:,} images"
        for split, arrays in run.data.splits.items()
    )
    print(f"data: {run.data.name}, {counts}, {len(run.data.vocabulary):,} words")
    if run.layout is not None:
        shards = ", ".join(f"{size} {axis}" for axis, size in run.layout.mesh.shape.items())
        print(f"devices: {run.layout.mesh.size} of {jax.process_count()} processes ({shards})")
    if RESUME.value:
        print(f"resumed {run.folder} at iteration {run.iteration}")
    if run.is_sweep:
        print(f"training {len(run.standings)} captioners")


def _train(run: Run, interrupt: Interrupt) -> Progress:
    """Train, print the notebook's log lines, and show a progress bar on a terminal."""
    progress = None
    hidden = not (processes.is_first() and sys.stderr.isatty())
    steps = run.steps(
        save_every=SAVE_EVERY.value, tensorboard=TENSORBOARD.value, stop=interrupt.anywhere
    )
    with tqdm(initial=run.iteration, total=run.num_iterations, unit="it", disable=hidden) as bar:
        for progress, saved in steps:
            bar.update(progress.iteration - bar.n)
            for line in _log_lines(run, progress, saved):
                bar.write(line, file=sys.stdout)
            sys.stdout.flush()
    assert progress is not None
    return progress


def _log_lines(run: Run, progress: Progress, saved: Path | None) -> list[str]:
    """Format the lines of a call; in a sweep those of the member that is the best so far."""
    standing, training = run.best, run.best.info.training
    own = progress.members[run.standings.index(standing)]
    lead, total = f"{standing.name}: " if run.is_sweep else "", own.num_iterations
    first = own.iteration - len(own.losses) + 1
    speed = f"{own.captions_per_second * len(run.standings):.0f} captions/s"
    lines = [
        f"{lead}(Iteration {iteration} / {total}) loss: {loss:.6f}  ({speed})"
        for iteration, loss in enumerate(own.losses, start=first)
        if (iteration - 1) % training.log_every == 0
    ]
    if own.val is not None:
        lines.append(
            f"{lead}(Epoch {own.epoch} / {training.num_epochs}) "
            f"val loss: {own.val.per_caption:.6f}, {own.val.per_word:.6f} per word"
            + ("" if own.cider is None else f", CIDEr {own.cider:.4f}")
        )
    if saved is not None:
        lines.append(f"{lead}saved {saved}")
    return lines


def _print_end(run: Run, last: Progress, *, interrupted: bool) -> None:
    left, place = last.num_iterations - last.iteration, f"stopped after iteration {last.iteration}"
    if interrupted and run.is_sweep:
        print(f"{place} of {last.num_iterations}: a sweep cannot be resumed")
    elif interrupted:
        remedy = "the same command with --resume goes on" if left else "it was the last"
        print(f"{place}: {remedy}")
    elif left and run.is_sweep:
        print(f"{place}: the patience with every captioner has ended")
    elif left:
        patience = run.info.training.patience
        print(f"{place}: no better checkpoint for --patience={patience} epochs")


def _print_truth(run: Run) -> None:
    """Of a run's last parameters, or a sweep's best, on scenes."""
    if not knows_truth(run.data):
        return
    if run.is_sweep:
        captioner, which = load_captioner(run.folder).captioner, "the best one's captions"
    else:
        captioner = Captioner(run.params, run.info.model, run.data.vocabulary)
        which = "the captions"
    if processes.is_first():
        print(f"claims in {which} of the validation scenes:")
        print(scene_truth(captioner, run.data.val))
        if captioner.config.attention:
            print(scene_peaks(captioner, run.data.val))


def _draw_curves(run: Run) -> None:
    """Draw what there is, without hiding how training ended."""
    try:
        from jaxcap.plots import loss_curve, save_figure, sweep_curves

        ranked = sorted(run.standings, key=lambda standing: standing.rank)
        named = {standing.name or run.folder.name: standing for standing in ranked}
        found = {name: read_metrics(run.folder / one.name) for name, one in named.items()}
        rows = {name: measured for name, measured in found.items() if measured}
        if rows:
            figure = sweep_curves(rows) if run.is_sweep else loss_curve(rows)
            save_figure(figure, run.folder / CURVE_FILE)
            print(f"drew {run.folder / CURVE_FILE}")
    except (ImportError, OSError) as error:
        print(f"warning: no loss curve: {error}", file=sys.stderr)


if __name__ == "__main__":
    command.run(main, connect=scale_flags.connect)
