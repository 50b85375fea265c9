"""jaxcap's train step against PyTorch's `nn.LSTM`, on the same inputs and threads in one run.

    pip install -e '.[bench]'
    python benchmarks/train_step.py

A step is forward, backward and Adam of the notebook's captioner: D=512, W=256, H=512, V=1004, 16
words predicted, all captions of full length. Rounds alternate between the two, and the median of
each and of the ratio are printed.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import torch
from absl import app, flags
from torch import nn

from jaxcap.data.batches import Batch
from jaxcap.learning.loop import TrainingConfig, init_state, train_step
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.nn.captioner import CaptionerConfig

D, W, H, V, T = 512, 256, 512, 1004, 16

BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["25", "128"], "Captions in a minibatch.")
ROUNDS = flags.DEFINE_integer("rounds", 15, "Alternating rounds.", lower_bound=3)
STEPS = flags.DEFINE_integer("steps", 5, "Steps in a round.", lower_bound=1)


def jaxcap_step(features: np.ndarray, captions: np.ndarray) -> Callable[[], None]:
    model = CaptionerConfig(vocab_size=V, feature_dim=D, wordvec_dim=W, hidden_dim=H)
    training = TrainingConfig(batch_size=len(captions))
    optimiser = make_optimiser(training.optimiser, 100, 1)
    step = jax.jit(
        lambda state, batch: train_step(state, batch, model, optimiser), donate_argnums=0
    )
    batch = Batch(jnp.asarray(features), jnp.asarray(captions))
    state = init_state(jax.random.key(0), model, training)

    def run() -> None:
        nonlocal state
        for _ in range(STEPS.value):
            state, loss = step(state, batch)
        loss.block_until_ready()

    return run


class TorchCaptioner(nn.Module):
    """The same captioner on `nn.LSTM`, whose second bias is the only difference."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(D, H)
        self.embed = nn.Embedding(V, W)
        self.lstm = nn.LSTM(W, H, batch_first=True)
        self.vocab = nn.Linear(H, V)

    def forward(self, features: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
        h0 = self.project(features)[None]
        h, _ = self.lstm(self.embed(captions[:, :-1]), (h0, torch.zeros_like(h0)))
        logits = self.vocab(h).flatten(0, 1)
        nats = nn.functional.cross_entropy(
            logits, captions[:, 1:].flatten(), ignore_index=0, reduction="sum"
        )
        return nats / len(captions)


def torch_step(features: np.ndarray, captions: np.ndarray) -> Callable[[], None]:
    torch.manual_seed(0)
    model = TorchCaptioner()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
    x, words = torch.from_numpy(features), torch.from_numpy(captions).long()

    def run() -> None:
        for _ in range(STEPS.value):
            adam.zero_grad()
            model(x, words).backward()
            adam.step()

    return run


def seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return (time.perf_counter() - begin) / STEPS.value


def main(argv: list[str]) -> None:
    del argv
    print(
        f"jax {jax.__version__} on {jax.devices()[0]}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    rng = np.random.default_rng(0)
    for num in map(int, BATCH_SIZES.value):
        features = rng.standard_normal((num, D), np.float32)
        captions = rng.integers(4, V, (num, T + 1), np.int32)
        captions[:, 0] = 1
        ours, theirs = jaxcap_step(features, captions), torch_step(features, captions)
        for run in (ours, theirs, ours, theirs):
            run()
        rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS.value)]
        ratios = statistics.quantiles([a / b for a, b in rounds], n=4)
        print(
            f"N={num}: jaxcap {1e3 * statistics.median(a for a, _ in rounds):.1f} ms, "
            f"PyTorch {1e3 * statistics.median(b for _, b in rounds):.1f} ms, "
            f"ratio {ratios[1]:.2f} (quartiles {ratios[0]:.2f} to {ratios[2]:.2f})"
        )


if __name__ == "__main__":
    app.run(main)
