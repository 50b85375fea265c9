"""jaxcap's greedy decoding and beam search against the same in PyTorch, in one run.

    pip install -e '.[bench]'
    python benchmarks/decode.py

The captioner has D=512, W=256, H=512; both sides have the same weights, threads, longest caption,
and rules: a beam that ends keeps its place, and the loop stops when all have ended. PyTorch's loop
runs `nn.LSTMCell` over all captions or beams of the batch. The weights are random but for one
hidden unit, which counts steps at a pace that depends on the words and speaks for `<END>`. So
captions have about ten words, give or take two, and the longest of 128 about 17, as the machine
captions that the COCO evaluation comes with (9.9, 2.5, 17). jaxcap looks up the input product of
each word in a table that is computed once for a model, before the rounds.

With `--attention` the captioner attends to 81 places of 1,280 numbers (soft attention); PyTorch's
feeds what it sees to `nn.LSTMCell` with the word vector, and the beams of an image share its grid.

That both give the same captions is checked first; rounds then alternate between the two, and the
median of each and of the ratio are printed. PyTorch's threads wait for each other actively, so
that its times mean nothing while other programs want the same cores; what can be measured then is
processor time on one core:

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/decode.py --processor_time
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from absl import app, flags
from torch import nn

from jaxcap.data.image import Image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import Captioner, decode
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params, word_table
from jaxcap.text.vocabulary import Vocabulary

D, W, H = 512, 256, 512
PLACES, GRID = 81, 1280
NULL, START, END = 0, 1, 2

NUM = flags.DEFINE_integer("num", 128, "Images in the batch.", lower_bound=1)
VOCABULARIES = flags.DEFINE_list("vocabularies", ["1004", "10000"], "Numbers of words.")
WIDTHS = flags.DEFINE_list("widths", ["1", "3", "5"], "Beams; 1 is greedy decoding.")
ATTENTION = flags.DEFINE_bool("attention", False, "A captioner that attends to a grid.")
PROCESSOR_TIME = flags.DEFINE_bool(
    "processor_time", False, "Measure the processor's time instead of the time that passes."
)
ROUNDS = flags.DEFINE_integer("rounds", 11, "Alternating rounds.", lower_bound=3)
MAX_LENGTH = flags.DEFINE_integer("max_length", 30, "Most words in a caption.", lower_bound=1)


def random_captioner(num_words: int) -> tuple[Captioner, dict[str, np.ndarray]]:
    """A captioner and its weights: random, and hidden unit 0 a clock that makes captions end."""
    kind = dict(attention="soft", grid_dim=GRID) if ATTENTION.value else {}
    config = CaptionerConfig(num_words, D, wordvec_dim=W, hidden_dim=H, **kind)
    params = {k: np.array(v) for k, v in init_params(jax.random.key(0), config).items()}
    params["W_embed"] *= 100
    params["W_vocab"] *= 6
    gates = np.arange(4) * H
    params["Wx"][:, gates] = params["Wh"][:, gates] = 0
    params["b"][gates] = (9, 9, 9, 0.05)
    params["Wx"][:, gates[3]] = np.random.default_rng(0).normal(0, 0.035 / W**0.5, W)
    params["W_proj"][:, 0] = 0
    if ATTENTION.value:
        params["W_context"] *= 10  # Else images hardly matter, and captions differ too little.
        params["W_context"][:, gates] = 0
    params["W_vocab"][0] = 0
    params["W_vocab"][0, END], params["b_vocab"][END] = 150, -72
    words = Vocabulary.build([f"w{i}" for i in range(num_words - 4)])
    return Captioner({name: jnp.asarray(p) for name, p in params.items()}, config, words), params


class TorchCaptioner(nn.Module):
    """The same captioner on `nn.LSTMCell`."""

    def __init__(self, params: dict[str, np.ndarray]) -> None:
        super().__init__()
        num_words = len(params["W_embed"])
        self.project, self.vocab = nn.Linear(D, H), nn.Linear(H, num_words)
        self.embed, self.cell = nn.Embedding(num_words, W), nn.LSTMCell(len(params["Wx"]), H)
        # PyTorch has the gates in the order i, f, g, o.
        order = np.concatenate([np.arange(H) + H * k for k in (0, 1, 3, 2)])
        for parameter, value in (
            (self.project.weight, params["W_proj"].T),
            (self.project.bias, params["b_proj"]),
            (self.embed.weight, params["W_embed"]),
            (self.cell.weight_ih, params["Wx"].T[order]),
            (self.cell.weight_hh, params["Wh"].T[order]),
            (self.cell.bias_ih, params["b"][order]),
            (self.cell.bias_hh, np.zeros_like(params["b"])),
            (self.vocab.weight, params["W_vocab"].T),
            (self.vocab.bias, params["b_vocab"]),
        ):
            parameter.data = torch.from_numpy(np.ascontiguousarray(value))

    def start(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = self.project(features)
        return h, torch.zeros_like(h)

    def step(self, h, c, words):
        h, c = self.cell(self.embed(words), (h, c))
        return h, c, self.vocab(h)


class TorchAttending(TorchCaptioner):
    """The same with soft attention; each image has as many rows as there are beams."""

    def __init__(self, params: dict[str, np.ndarray]) -> None:
        super().__init__(params | {"Wx": np.concatenate([params["Wx"], params["W_context"]])})
        self.weights = {name: torch.from_numpy(value) for name, value in params.items()}

    def start(self, features: Any) -> tuple[torch.Tensor, torch.Tensor]:
        pooled, grid = features
        p = self.weights
        self.values = grid @ p["W_grid"] + p["b_grid"]
        self.keys = self.values @ p["W_key"] + p["b_key"]
        return super().start(pooled)

    def step(self, h, c, words):
        p = self.weights
        query = (h @ p["W_query"]).view(len(self.keys), -1, 1, self.keys.shape[2])
        scores = torch.tanh(self.keys[:, None] + query) @ p["W_score"][:, 0]
        z = (scores.softmax(2) @ self.values).flatten(0, 1)
        z = z * torch.sigmoid(h @ p["W_gate"] + p["b_gate"])
        h, c = self.cell(torch.cat([self.embed(words), z], 1), (h, c))
        return h, c, self.vocab(h)


@torch.inference_mode()
def torch_greedy(model: TorchCaptioner, features: Any, length: int) -> torch.Tensor:
    h, c = model.start(features)
    num = len(h)
    ids = torch.full((num, length), NULL)
    words, ended = torch.full((num,), START), torch.zeros(num, dtype=torch.bool)
    for t in range(length):
        h, c, logits = model.step(h, c, words)
        words = logits.argmax(1).masked_fill(ended, NULL)
        ids[:, t] = words
        ended |= words == END
        if ended.all():
            break
    return ids


@torch.inference_mode()
def torch_beam(
    model: TorchCaptioner, features: Any, length: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (N, K, T) and log-probabilities (N, K), the best first."""
    h, c = model.start(features)
    num = len(h)
    h, c, logits = model.step(h, c, torch.full((num,), START))
    scores, words = logits.log_softmax(1).topk(width)
    h, c = h.repeat_interleave(width, 0), c.repeat_interleave(width, 0)
    ids = torch.full((num, width, length), NULL)
    ids[:, :, 0] = words
    ended = words == END
    base = torch.arange(num)[:, None] * width
    for t in range(1, length):
        if ended.all():
            break
        h, c, logits = model.step(h, c, words.flatten())
        # The K likeliest words of each beam are candidates enough.
        best, words = logits.topk(width)
        best = (best - logits.logsumexp(1, keepdim=True)).view(num, width, width)
        words = words.view(num, width, width).masked_fill(ended[..., None], NULL)
        candidates = scores[..., None] + best.masked_fill(ended[..., None], 0)
        # An ended beam stays, as one candidate before all others.
        ranks = candidates.masked_fill(ended[..., None], -torch.inf)
        ranks[..., 0].masked_fill_(ended, torch.inf)
        chosen = ranks.flatten(1).topk(width).indices
        scores = candidates.flatten(1).gather(1, chosen)
        words = words.flatten(1).gather(1, chosen)
        parent = chosen // width
        ids = ids.gather(1, parent[..., None].expand_as(ids))
        ids[:, :, t] = words
        ended = ended.gather(1, parent) | (words == END)
        rows = (base + parent).flatten()
        h, c = h[rows], c[rows]
    order = (scores - 1e6 * (~ended)).argsort(1, descending=True)
    return ids.gather(1, order[..., None].expand_as(ids)), scores.gather(1, order)


def runs(
    captioner: Captioner, model: TorchCaptioner, image: Image, width: int
) -> tuple[Callable[[], tuple], Callable[[], tuple]]:
    """jaxcap's and PyTorch's function; each gives ids and, of beams, log-probabilities."""
    x, y = jax.tree.map(jnp.asarray, image), torch.from_numpy(image.pooled)
    if image.grid is not None:
        y = y, torch.from_numpy(image.grid)
    length, tables = MAX_LENGTH.value, (word_table(captioner.params),)
    strategy = Greedy(scored=False) if width == 1 else Beam(width)

    def ours() -> tuple:
        found = decode((captioner,), x, strategy, Rules(max_length=length), tables=tables)
        ids = np.asarray(found.ids)
        return (ids[:, 0],) if width == 1 else (ids, np.asarray(found.log_probs))

    def theirs() -> tuple:
        if width == 1:
            return (torch_greedy(model, y, length).numpy(),)
        ids, scores = torch_beam(model, y, length, width)
        return ids.numpy(), scores.numpy()

    return ours, theirs


def seconds(run: Callable[[], tuple]) -> float:
    clock = time.process_time if PROCESSOR_TIME.value else time.perf_counter
    begin = clock()
    run()
    return clock() - begin


def main(argv: list[str]) -> None:
    del argv
    print(
        f"jax {jax.__version__} on {jax.devices()[0]}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    rng = np.random.default_rng(0)
    image: Any = Image(rng.standard_normal((NUM.value, D), np.float32))
    if ATTENTION.value:
        grid = rng.standard_normal((NUM.value, PLACES, GRID), np.float32)
        image = image._replace(grid=grid)
    for num_words in map(int, VOCABULARIES.value):
        captioner, weights = random_captioner(num_words)
        model = (TorchAttending if ATTENTION.value else TorchCaptioner)(weights)
        for width in map(int, WIDTHS.value):
            ours, theirs = runs(captioner, model, image, width)
            (ids, *scores), (their_ids, *their_scores) = ours(), theirs()
            same = (ids == their_ids).mean(axis=tuple(range(1, ids.ndim)))
            apart = max(
                (np.abs(a - b).max() for a, b in zip(scores, their_scores, strict=True)), default=0
            )
            steps = (ids != NULL).sum(-1)
            print(
                f"V={num_words} K={width}: {(same == 1).mean():.1%} of images equal, "
                f"log-probabilities within {apart:.1e}; steps {steps.mean():.1f} on average, "
                f"{steps.max()} at most"
            )
            rounds = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS.value)]
            ratios = statistics.quantiles([b / a for a, b in rounds], n=4)
            a, b = (NUM.value / statistics.median(side) for side in zip(*rounds, strict=True))
            print(
                f"    jaxcap {a:.0f} captions/s, PyTorch {b:.0f} captions/s, "
                f"ratio {ratios[1]:.2f} (quartiles {ratios[0]:.2f} to {ratios[2]:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    app.run(main)
