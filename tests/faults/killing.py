"""Processes that are killed at a moment drawn beforehand, for the harnesses beside this module."""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from absl import logging
from command_calls import call, call_anew, start

__all__ = ["Moment", "call", "call_anew", "killed", "main", "run_kills"]


@dataclass(frozen=True)
class Moment:
    """When to kill: `delay` seconds after `begun` first answers true; at the start without it."""

    what: str
    delay: float
    begun: Callable[[], bool] = lambda: True


def killed(moment, command, *flags):
    """Start a command and kill it then; false if it had ended before."""
    with start(command, *flags) as process:
        while process.poll() is None and not moment.begun():
            time.sleep(0.0005)
        time.sleep(moment.delay)
        process.kill()
        process.communicate()
    # Negative for the signal that ended it.
    return process.returncode < 0


def run_kills(once, kills, seed):
    """Kill so often, and list what each kill hit.

    `once` is called with a number and a random source: it kills, resumes, compares, and says what
    the kill hit; None if the process had ended before.
    """
    rng, hits, number = random.Random(seed), [], 0
    while len(hits) < kills:
        hit = once(number, rng)
        number += 1
        if hit is not None:
            hits.append(hit)
            print(f"{len(hits)}: {hit}, resumed, the same bits", flush=True)
    return hits


def main(description, make):
    """What the harnesses do as commands; `make` is given a folder and returns `once`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    flags = parser.parse_args()
    logging.set_verbosity(logging.ERROR)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        hits = run_kills(make(Path(work)), flags.kills, flags.seed)
    counts = ", ".join(f"{hits.count(hit)} {hit}" for hit in sorted(set(hits)))
    print(f"{len(hits)} kills in {time.monotonic() - started:.0f} s: all the same bits ({counts})")
