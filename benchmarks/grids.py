"""Training on grids in a file: the peak of memory on a large set, the rate beside one in memory.

    python benchmarks/grids.py

writes random float16 grids of 81 places of 1,280 numbers, 20 GB of them by default, into a
temporary folder. A process of its own trains a captioner that attends to them (N=128, H=512, five
captions of 16 words an image), and its peak of resident memory is printed, Python and JAX included.

Another process trains on the first images alone, which fit in memory, once from there and once from
the file. Rounds alternate between the two; printed are the medians, and the rate from the file over
that from memory in the same round with the quartiles.
"""

import multiprocessing
import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcap.data.dataset import Split
from jaxcap.data.grids import Grids
from jaxcap.data.image import Image
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.learning.loop import fit
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.learning.progress import Progress
from jaxcap.learning.step import init_state
from jaxcap.nn.config import CaptionerConfig

GIGABYTES = flags.DEFINE_float("gigabytes", 20.0, "Of the large set, 10^9 bytes.", 0.1)
IMAGES = flags.DEFINE_integer("images", 1000, "Of the set that fits in memory.", lower_bound=26)
STEPS = flags.DEFINE_integer("steps", 8, "Minibatches of a round.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 9, "Alternating rounds.", lower_bound=3)
ORDER = flags.DEFINE_enum("order", "shuffle", ["shuffle", "images"], "Of captions.")
PLACES, GRID_DIM, D, L, V = 81, 1280, 512, 17, 1004
IMAGE_BYTES = 2 * PLACES * GRID_DIM


def write(path: Path, images: int) -> None:
    """Numbers of absolute value 1/2 to 1, from random bits."""
    rng, most = np.random.default_rng(0), 500
    with h5py.File(path, "w") as file:
        shape = images, PLACES, GRID_DIM
        grid = file.create_dataset("grid", shape, np.float16, chunks=(1, PLACES, GRID_DIM))
        for first in range(0, images, most):
            num = min(most, images - first)
            bits = rng.integers(0, 2**16, (num, PLACES, GRID_DIM), np.uint16)
            grid[first : first + num] = (bits & 0x83FF | 0x3800).view(np.float16)


def split_of(grids: Grids, images: int) -> Split:
    rng = np.random.default_rng(1)
    captions = rng.integers(4, V, (5 * images, L), np.int32)
    captions[:, 0], captions[:, -1] = 1, 2
    return Split(
        jnp.asarray(captions),
        jnp.asarray(np.repeat(np.arange(images, dtype=np.int32), 5)),
        Image(jnp.asarray(rng.standard_normal((images, D), np.float32))),
        np.empty(0, "S1"),
        grids=grids,
    )


def calls(split: Split, steps: int, order: str) -> Iterator[Progress]:
    model = CaptionerConfig(V, D, 256, 512, attention="soft", grid_dim=GRID_DIM)
    optimiser = make_optimiser(OptimiserConfig(), steps_per_epoch=10**6)
    training = TrainingConfig(128, num_epochs=10**4, order=order, log_every=steps)
    state = init_state(jax.random.key(0), model, optimiser)
    return fit(state, Likelihood(model), optimiser, split, training)


def train(path: Path, steps: int, order: str) -> tuple[float, float]:
    """Captions a second and the peak of resident memory in GiB, of a few calls."""
    with Grids(path) as grids:
        running = calls(split_of(grids, grids.shape[0]), steps, order)
        rates = [next(running).captions_per_second for _ in range(4)]
        running.close()
    return statistics.median(rates[1:]), peak()


def peak() -> float:
    """In GiB."""
    if sys.platform == "linux":
        # Unlike ru_maxrss it leaves out the process that started this one.
        (line,) = (x for x in Path("/proc/self/status").open() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def compare(path: Path, settings: tuple[int, int, int, str]) -> list[tuple[float, float]]:
    """Captions a second from the file and from memory, of each round."""
    images, steps, rounds, order = settings
    with Grids(path) as grids:
        file = split_of(grids, images)
        held = jnp.asarray(grids.read(np.arange(images)))
        memory = replace(file, images=file.images._replace(grid=held), grids=None)
        both = [calls(split, steps, order) for split in (file, memory)]
        for running in both:
            next(running)
        found = []
        for number in range(rounds):
            # Each of them goes first every other time.
            turns = both if number % 2 else both[::-1]
            rates = [next(running).captions_per_second for running in turns]
            found.append((rates[0], rates[1]) if number % 2 else (rates[1], rates[0]))
        for running in both:
            running.close()
    return found


def main(argv: list[str]) -> None:
    del argv
    images = int(GIGABYTES.value * 1e9 / IMAGE_BYTES)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "grid.h5")
        write(path, max(images, IMAGES.value))
        print(f"{images:,} images, {images * IMAGE_BYTES / 1e9:.1f} GB", flush=True)
        with spawn.Pool(1) as pool:
            rate, gib = pool.apply(train, (path, STEPS.value, ORDER.value))
        print(f"from the file: peak {gib:.2f} GiB, {rate:.0f} captions a second", flush=True)
        settings = IMAGES.value, STEPS.value, ROUNDS.value, ORDER.value
        with spawn.Pool(1) as pool:
            rounds = pool.apply(compare, (path, settings))
    file, memory = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    low, middle, high = statistics.quantiles([a / b for a, b in rounds], n=4)
    print(
        f"{IMAGES.value:,} images: {file:.0f} captions a second from the file, {memory:.0f} from "
        f"memory, {middle:.3f} of it ({low:.3f} to {high:.3f})"
    )


if __name__ == "__main__":
    app.run(main)
