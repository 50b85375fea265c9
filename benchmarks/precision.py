"""What narrower numbers cost: float32 beside float64, and products of bfloat16 beside float32.

    python benchmarks/precision.py

First the notebook's LSTM (D=512, W=256, H=512; 50 random captions of 16 words from a vocabulary of
1,004; Adam at 5e-3) is trained in float64 and in float32 from the same parameters on the same
minibatches. Printed after some steps are the relative distance of the losses, and that of all
parameters together, as |p32 - p64| / |p64|. Then the runs of `launch/small.flags` and
`launch/mid.flags` are made as those files say and with `--matmul_precision=bfloat16`, with some
seeds; printed are means over the seeds, with the range of float32 from seed to seed.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcap.data.batches import CaptionSet
from jaxcap.data.image import Image
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.loop import Call, compile_steps
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.learning.step import init_state
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params

STEPS = flags.DEFINE_integer("steps", 50, "Steps in float32 and float64.", lower_bound=1)
EVERY = flags.DEFINE_integer("every", 10, "Steps between two lines.", lower_bound=1)
SEEDS = flags.DEFINE_integer("seeds", 3, "Seeds of the parameters and minibatches.", lower_bound=1)
RUN_SEEDS = flags.DEFINE_integer("run_seeds", 3, "Seeds of the runs.", lower_bound=1)
RUNS = flags.DEFINE_list("runs", ["small", "mid"], "Flag files to run with bfloat16; may be empty.")

PRECISIONS = ("float32", "bfloat16")
MEASURES = (
    "lowest validation loss",
    "last validation loss",
    "training loss of all iterations",
    "training loss of the last tenth",
)
_ROOT = Path(__file__).parents[1]
_MODEL = CaptionerConfig(vocab_size=1004, feature_dim=512)


def random_captions(dtype: str) -> CaptionSet:
    rng = np.random.default_rng(0)
    captions = np.zeros((50, 17), np.int32)
    for row in captions:
        words = rng.integers(4, 1004, rng.integers(7, 15))
        row[: len(words) + 2] = [1, *words, 2]
    features = rng.standard_normal((50, 512)).astype(np.float32)
    rows = jnp.arange(50, dtype=jnp.int32)
    return CaptionSet(jnp.asarray(captions), rows, Image(jnp.asarray(features, dtype)))


def train(dtype: str, seed: int, every: int) -> list[tuple[float, np.ndarray]]:
    """The loss and all parameters after every so many steps."""
    key = jax.random.key(seed)
    params = {
        name: value.astype(dtype) for name, value in init_params(key, _MODEL, jnp.float32).items()
    }
    optimiser, data = make_optimiser(OptimiserConfig(), steps_per_epoch=2), random_captions(dtype)
    state = init_state(key, _MODEL, optimiser, params)
    call = Call(count=every, num_captions=len(data.captions), batch_size=25)
    steps = compile_steps(state, data, Likelihood(_MODEL), optimiser, call)
    found = []
    for _ in range(STEPS.value // every):
        state, result = steps(state, data)
        flat = [np.asarray(value, np.float64).ravel() for value in state.params.values()]
        assert all(value.dtype == dtype for value in state.params.values())
        found.append((float(result.losses[-1]), np.concatenate(flat)))
    return found


def print_drift(seed: int) -> None:
    with jax.enable_x64(True):
        wide, narrow = (train(dtype, seed, EVERY.value) for dtype in ("float64", "float32"))
    pairs = zip(wide, narrow, strict=True)
    for place, ((loss, params), (other, others)) in enumerate(pairs, start=1):
        drift = np.linalg.norm(others - params) / np.linalg.norm(params)
        print(
            f"seed {seed}, step {place * EVERY.value:3}: loss {loss:9.5f}, of float32 "
            f"{abs(other - loss) / loss:.1e} away; parameters {drift:.1e}"
        )


def losses_of(run: str, precision: str, seed: int, folder: Path) -> np.ndarray:
    """The losses of a run that are compared, in the order of `MEASURES`."""
    target = folder / f"{run}_{precision}_{seed}"
    subprocess.run(
        [sys.executable, "-m", "jaxcap.train", f"--flagfile=launch/{run}.flags", f"--seed={seed}"]
        + [f"--checkpoint_dir={target}", f"--matmul_precision={precision}"],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    rows = read_metrics(target)
    losses = [row["loss"] for row in rows]
    validation = [row["val_loss"] for row in rows if "val_loss" in row]
    last = losses[-len(losses) // 10 :]
    return np.array([min(validation), validation[-1], np.mean(losses), np.mean(last)])


def print_runs(run: str, folder: Path) -> None:
    found = {
        precision: np.stack([losses_of(run, precision, s, folder) for s in range(RUN_SEEDS.value)])
        for precision in PRECISIONS
    }
    for column, what in enumerate(MEASURES):
        wide, narrow = (found[precision][:, column] for precision in PRECISIONS)
        print(
            f"{run}, {what}: {wide.mean():.4f} in float32 ({wide.min():.4f} to {wide.max():.4f}), "
            f"{narrow.mean():.4f} with bfloat16 ({narrow.min():.4f} to {narrow.max():.4f}; "
            f"{narrow.mean() / wide.mean() - 1:+.2%})",
            flush=True,
        )


def main(argv: list[str]) -> None:
    del argv
    for seed in range(SEEDS.value):
        print_drift(seed)
    for run in filter(None, RUNS.value):
        with tempfile.TemporaryDirectory() as folder:
            print_runs(run, Path(folder))


if __name__ == "__main__":
    app.run(main)
