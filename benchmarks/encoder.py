"""jaxcap's EfficientNet-Lite0 against the same network in PyTorch, in one run.

    pip install -e '.[bench]'
    python benchmarks/encoder.py

Both sides have the weights that ship with jaxcap, batch norm folded, the same threads, and the
same normalised pictures in float32, in their own layout and on their device already. PyTorch runs
in both of its layouts. That all give the same features is checked first; rounds then alternate
between them. Printed are the median of each and, for what other work on the machine spoils, the
best; the ratio is the median of the rounds' ratios, above 1 where jaxcap is faster.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import torch
from absl import app, flags

from jaxcap.vision.efficientnet import features, load_params

sys.path.append(str(Path(__file__).parents[1] / "tools"))
from efficientnet_torch import from_jaxcap  # noqa: E402

BATCHES = flags.DEFINE_list("batches", ["1", "32"], "Numbers of pictures at once.")
ROUNDS = flags.DEFINE_integer("rounds", 11, "Alternating rounds.", lower_bound=3)
THREADS = flags.DEFINE_integer(
    "threads", len(os.sched_getaffinity(0)), "Threads of PyTorch.", lower_bound=1
)


def networks(num: int) -> dict[str, Callable[[], np.ndarray]]:
    """The same pictures through each network, to pooled features (N, 1280)."""
    images = np.random.default_rng(0).standard_normal((num, 224, 224, 3)).astype(np.float32)
    params = load_params()
    on_device = jax.device_put(images)
    by_channel = torch.as_tensor(images).permute(0, 3, 1, 2)

    def run_jaxcap() -> np.ndarray:
        return np.asarray(features(params, on_device).pooled)

    def run_torch(layout: torch.memory_format) -> Callable[[], np.ndarray]:
        model = from_jaxcap({name: np.array(value) for name, value in params.items()})
        model.to(memory_format=layout)
        pictures = by_channel.contiguous(memory_format=layout)

        def run() -> np.ndarray:
            with torch.inference_mode():
                return model(pictures).mean((2, 3)).numpy()

        return run

    return {
        "jaxcap": run_jaxcap,
        "PyTorch, channels first": run_torch(torch.contiguous_format),
        "PyTorch, channels last": run_torch(torch.channels_last),
    }


def compare(num: int, rounds: int) -> None:
    """Time the networks in alternating rounds and print what came out."""
    runs = networks(num)
    expected = runs["jaxcap"]()
    for name, run in runs.items():
        error = np.linalg.norm(run() - expected) / np.linalg.norm(expected)
        if error > 1e-4:
            raise SystemExit(f"{name} differs from jaxcap by {error:.1e}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    print(f"batch {num}")
    for name, times in seconds.items():
        ratios = [t / ours for t, ours in zip(times, seconds["jaxcap"], strict=True)]
        print(
            f"  {name:24} median {statistics.median(times) * 1e3:8.1f} ms, "
            f"best {min(times) * 1e3:8.1f} ms, {num / statistics.median(times):6.1f} images/s, "
            f"ratio {statistics.median(ratios):.2f}"
        )


def main(_: list[str]) -> None:
    torch.set_num_threads(THREADS.value)
    print(f"{jax.devices()[0].device_kind}, {THREADS.value} threads")
    for num in BATCHES.value:
        compare(int(num), ROUNDS.value)


if __name__ == "__main__":
    app.run(main)
