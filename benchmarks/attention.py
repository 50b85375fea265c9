"""A train step of soft attention beside the same model in PyTorch, in one run.

    pip install -e '.[bench]'
    python benchmarks/attention.py

A step is forward, backward and Adam of a captioner that attends to 81 places of 1,280 numbers, as
EfficientNet-Lite0 gives at 288 pixels: W=256, H=512, V=1,004, 20 words predicted, from the same
weights on the same minibatch and with the same number of threads. That all have the same loss is
checked first. Rounds then alternate between the contenders; printed are the median of each, and of
jaxcap's time over its own in the same round with the quartiles.

PyTorch projects the grid once a minibatch, and loops over words with `nn.LSTMCell`'s arithmetic.
It counts by the fastest of eager, compiled, and packed, where the captions are sorted by length and
each step computes only those that go on. "products" are the step's matrix products alone, by XLA.

With --images the minibatch holds five captions of each image. jaxcap then computes what is linear
in the grid once an image, and PyTorch is given the image of each caption, as its loaders do.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from absl import app, flags
from contenders import attending_products, ours, rounds
from contenders.setting import LEARNING_RATE, NULL, Run, Setting
from torch import nn

from jaxcap.data.image import Image
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params

NUM = flags.DEFINE_integer("num", 128, "Captions in the minibatch.", lower_bound=1)
PLACES = flags.DEFINE_integer("places", 81, "Places of the grid, L.", lower_bound=1)
GRID_DIM = flags.DEFINE_integer("grid_dim", 1280, "Length of a vector of the grid.", lower_bound=1)
LENGTHS = flags.DEFINE_list("lengths", ["full", "coco"], "Of captions: full, coco.")
IMAGES = flags.DEFINE_bool(
    "images", False, "Take five captions of each image, as --order=images of jaxcap.train does."
)
ROUNDS = flags.DEFINE_integer("rounds", 7, "Alternating rounds.", lower_bound=3)
SECONDS = flags.DEFINE_float("seconds", 1.5, "Length of a contender's turn, about.", 0)
WITHOUT = flags.DEFINE_list("without", [], "Contenders to leave out.")


class AttendingSetting(Setting):
    """A setting whose captioner attends to a grid."""

    @property
    def model(self) -> CaptionerConfig:
        return CaptionerConfig(
            self.V, self.D, self.W, self.H, attention="soft", grid_dim=GRID_DIM.value
        )

    def params(self) -> dict[str, np.ndarray]:
        params = {k: np.array(v) for k, v in init_params(jax.random.key(0), self.model).items()}
        params["W_embed"] *= 100
        return params


class TorchAttending(nn.Module):
    """The same captioner by PyTorch's operations."""

    def __init__(self, params: dict[str, np.ndarray], packed: bool) -> None:
        super().__init__()
        self.packed = packed
        tensors = {name: torch.from_numpy(value.copy()) for name, value in params.items()}
        self.weights = nn.ParameterDict({k: nn.Parameter(value) for k, value in tensors.items()})

    def forward(self, pooled, grid, captions, going: list[int]) -> torch.Tensor:
        p = self.weights
        h = pooled @ p["W_proj"] + p["b_proj"]
        c = torch.zeros_like(h)
        values = grid @ p["W_grid"] + p["b_grid"]
        keys = values @ p["W_key"] + p["b_key"]
        x = nn.functional.embedding(captions[:, :-1], p["W_embed"]) @ p["Wx"] + p["b"]
        hidden, targets = [], []
        for t in range(captions.shape[1] - 1):
            n = going[t] if self.packed else len(captions)
            if n == 0:
                break
            h, c = h[:n], c[:n]
            scores = torch.tanh(keys[:n] + (h @ p["W_query"])[:, None]) @ p["W_score"]
            alpha = torch.softmax(scores[..., 0], 1)
            gate = torch.sigmoid(h @ p["W_gate"] + p["b_gate"])
            z = gate * (alpha[:, None] @ values[:n])[:, 0]
            a = x[:n, t] + h @ p["Wh"] + z @ p["W_context"]
            i, f, o, g = a.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            hidden.append(h)
            targets.append(captions[:n, t + 1])
        logits = torch.cat(hidden) @ p["W_vocab"] + p["b_vocab"]
        nats = nn.functional.cross_entropy(
            logits, torch.cat(targets), ignore_index=NULL, reduction="sum"
        )
        return nats / len(captions)


def make_torch(params, image, captions, *, packed=False, compiled=False) -> Run:
    """Sorted by length, as packing needs; the loss does not depend on the order."""
    order = np.argsort(-(captions != NULL).sum(1), kind="stable")
    going = [int((captions[:, t + 1] != NULL).sum()) for t in range(captions.shape[1] - 1)]
    pooled, grid, words = (torch.from_numpy(np.array(x)[order]) for x in (*image[:2], captions))
    model = TorchAttending(params, packed)
    forward = torch.compile(model) if compiled else model
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)

    def run(steps: int) -> float:
        loss = torch.zeros(())
        for _ in range(steps):
            adam.zero_grad(set_to_none=True)
            loss = forward(pooled, grid, words.long(), going)
            loss.backward()
            adam.step()
        return loss.item()

    return run


def compare(setting: AttendingSetting) -> None:
    print(f"{setting}, {PLACES.value} places of {GRID_DIM.value:,}", flush=True)
    pooled, captions = setting.minibatch()
    rows = jnp.arange(setting.N) // 5 if IMAGES.value else None
    num = setting.N if rows is None else int(rows[-1]) + 1
    grid = np.random.default_rng(1).standard_normal((num, PLACES.value, GRID_DIM.value), np.float32)
    own, params = Image(jnp.asarray(pooled[:num]), jnp.asarray(grid)), setting.params()
    image = own if rows is None else own.at(rows)
    makers = {
        "jaxcap": lambda: ours.make(setting, params, own, captions, rows=rows),
        "PyTorch": lambda: make_torch(params, image, captions),
        "PyTorch packed": lambda: make_torch(params, image, captions, packed=True),
        "PyTorch compiled": lambda: make_torch(params, image, captions, compiled=True),
        "products": lambda: attending_products.make(setting, params, image, captions),
    }
    if rows is not None:
        del makers["products"]
    runs = {name: make() for name, make in makers.items() if name not in WITHOUT.value}
    losses = {name: run(1) for name, run in runs.items()}
    for name in losses.keys() - {"products"}:
        np.testing.assert_allclose(losses[name], losses["jaxcap"], rtol=1e-4, err_msg=name)
    peers = [name for name in runs if name.startswith("PyTorch")]
    rounds.compare(runs, peers, rounds=ROUNDS.value, seconds=SECONDS.value)


def main(argv: list[str]) -> None:
    del argv
    print(f"jax {jax.__version__}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    for lengths in LENGTHS.value:
        compare(AttendingSetting(N=NUM.value, T=20, full=lengths == "full"))


if __name__ == "__main__":
    app.run(main)
