"""The gradient of jaxcap's EfficientNet-Lite0 against the same network in PyTorch, in one run.

    pip install -e '.[bench]'
    python benchmarks/finetune.py

A pass is forward and backward to every parameter, of the squared norm of the pooled features. Both
sides have the same weights, threads and normalised pictures in float32; PyTorch runs in channels
last, its faster layout. That both have the same gradients is checked first; rounds then alternate.
Where other work is on the machine, compare by processor time on one core: `taskset -c 1`.
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

from jaxcap.vision.efficientnet import load_params
from jaxcap.vision.efficientnet_training import trainable_features

sys.path.append(str(Path(__file__).parents[1] / "tools"))
from efficientnet_torch import convolutions, from_jaxcap, to_jaxcap  # noqa: E402

BATCH = flags.DEFINE_integer("batch", 32, "Pictures at once.", lower_bound=1)
SIZE = flags.DEFINE_integer("size", 192, "Height and width of the pictures.", lower_bound=32)
FROZEN = flags.DEFINE_integer("frozen", 0, "Blocks without a gradient.", lower_bound=0)
ROUNDS = flags.DEFINE_integer("rounds", 7, "Alternating rounds.", lower_bound=3)
THREADS = flags.DEFINE_integer(
    "threads", len(os.sched_getaffinity(0)), "Threads of PyTorch.", lower_bound=1
)

Gradients = dict[str, np.ndarray]


def make_jaxcap(images: np.ndarray) -> Callable[[], Gradients]:
    params, pictures = load_params(), jax.device_put(images)

    @jax.jit
    def gradient(params, pictures):
        def loss(params):
            return (trainable_features(params, pictures, frozen=FROZEN.value).pooled ** 2).sum()

        return jax.grad(loss)(params)

    begin, cpu = time.perf_counter(), time.process_time()
    compiled = gradient.lower(params, pictures).compile()
    megabytes = compiled.memory_analysis().temp_size_in_bytes / 1e6
    print(
        f"jaxcap compiled in {time.perf_counter() - begin:.1f} s "
        f"({time.process_time() - cpu:.1f} s of processor time), {megabytes:.0f} MB of activations"
    )

    def run() -> Gradients:
        return {name: np.asarray(grad) for name, grad in compiled(params, pictures).items()}

    return run


def make_torch(images: np.ndarray) -> Callable[[], Gradients]:
    model = from_jaxcap({name: np.array(value) for name, value in load_params().items()})
    model.to(memory_format=torch.channels_last)
    pictures = torch.as_tensor(images).permute(0, 3, 1, 2)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    frozen = [model._conv_stem, *list(model._blocks)[: FROZEN.value]] if FROZEN.value else []
    for module in frozen:
        module.requires_grad_(False)

    def run() -> Gradients:
        model.zero_grad()
        (model(pictures).mean((2, 3)) ** 2).sum().backward()
        grads = {}
        for name, convolution, _ in convolutions(model):
            if convolution.weight.grad is not None:
                grads[f"{name}.kernel"] = to_jaxcap(convolution.weight.grad).numpy()
                grads[f"{name}.bias"] = convolution.bias.grad.numpy()
        return grads

    return run


def main(_: list[str]) -> None:
    torch.set_num_threads(THREADS.value)
    num, size = BATCH.value, SIZE.value
    print(f"{jax.devices()[0].device_kind}, {THREADS.value} threads, {num} pictures at {size}")
    images = np.random.default_rng(0).standard_normal((num, size, size, 3)).astype(np.float32)
    runs = {"jaxcap": make_jaxcap(images), "PyTorch": make_torch(images)}
    ours, expected = (run() for run in runs.values())
    for name, grad in expected.items():
        error = np.linalg.norm(ours[name] - grad) / np.linalg.norm(grad)
        if error > 5e-3:
            raise SystemExit(f"the gradient of {name} differs by {error:.1e}")
    clocks = {"wall": time.perf_counter, "processor": time.process_time}
    seconds = {(name, clock): [] for name in runs for clock in clocks}
    for _ in range(ROUNDS.value):
        for name, run in runs.items():
            begin = {clock: read() for clock, read in clocks.items()}
            run()
            for clock, read in clocks.items():
                seconds[name, clock].append(read() - begin[clock])
    for clock in clocks:
        times = {name: seconds[name, clock] for name in runs}
        ratios = [a / b for a, b in zip(*times.values(), strict=True)]
        rates = ", ".join(
            f"{name} {num / statistics.median(own):.1f} (best {num / min(own):.1f})"
            for name, own in times.items()
        )
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"pictures a second of {clock} time: {rates}; "
            f"jaxcap takes {middle:.2f} ({low:.2f} to {high:.2f}) of PyTorch's"
        )


if __name__ == "__main__":
    app.run(main)
