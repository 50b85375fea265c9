"""Load a data set of the size of the course's: seconds, and the peak of resident memory.

    python benchmarks/load_coco.py

writes 82,783 + 40,504 images of 512 features and 400,135 + 195,954 captions of 17 ids, random but
valid, into a temporary folder (about 300 MB, removed at the end), and loads them in a new process,
whose peak counts Python and JAX too. The peer is h5py alone, which reads the same datasets with
`[...]` and checks nothing. Both meet the same file cache.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import h5py
import jax
from contenders.full_size import write

from jaxcap.data.coco import load_coco

SECONDS, GIBIBYTES = 10.0, 1.2
T = TypeVar("T")


def load(folder: str) -> tuple[float, float]:
    """Load the data set, and return the seconds and the peak in GiB of the process so far."""
    # A device costs its start once a process, whatever is loaded.
    jax.devices()
    start = time.perf_counter()
    data = load_coco(folder)
    jax.block_until_ready([(s.captions, s.image_idxs, s.features) for s in data.splits.values()])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return seconds, peak / (2**30 if sys.platform == "darwin" else 2**20)


def read_bare(folder: str) -> float:
    """Read every dataset as h5py does by itself, and return the seconds."""
    start = time.perf_counter()
    arrays = []
    for path in Path(folder).glob("*.h5"):
        with h5py.File(path) as file:
            arrays += [file[name][...] for name in file]
    return time.perf_counter() - start


def in_new_process(function: Callable[[str], T], folder: str) -> T:
    """Call a function where nothing else has used memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, (folder,))


def main() -> int:
    """Print what was measured; 0 if both limits hold."""
    parser = argparse.ArgumentParser(description="Load a full-size data set: seconds and memory.")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the slowest counts")
    repeats = max(1, parser.parse_args().repeats)
    with tempfile.TemporaryDirectory() as folder:
        in_new_process(write, folder)
        runs = []
        for _ in range(repeats):
            bare = in_new_process(read_bare, folder)
            runs.append((*in_new_process(load, folder), bare))
    seconds, peak, _ = map(max, zip(*runs, strict=True))
    ratios = sorted(ours / bare for ours, _, bare in runs)
    results = ("seconds", seconds, SECONDS, "s"), ("peak resident memory", peak, GIBIBYTES, "GiB")
    for what, value, limit, unit in results:
        verdict = "PASS" if value < limit else "over"
        print(f"{what}: {value:.2f} {unit}, limit {limit:g} {unit}: {verdict}")
    print(f"time over h5py's bare read: {ratios[len(ratios) // 2]:.2f} (median of {repeats})")
    return 0 if all(value < limit for _, value, limit, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
