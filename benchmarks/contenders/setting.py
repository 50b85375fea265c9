"""What is trained in a comparison: sizes, initial weights and a minibatch."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params

NULL, START, END = 0, 1, 2
LEARNING_RATE = 5e-3

WORDS = {7: 1, 8: 12, 9: 21, 10: 24, 11: 17, 12: 10, 13: 6, 14: 4, 15: 5}
"""Captions in a hundred by their number of words, as COCO has them: 10.5 on average."""

Run = Callable[[int], float]


@dataclass(frozen=True)
class Setting:
    """N captions of T predicted words, D features, W word vector, H hidden, V words."""

    cell: str = "lstm"
    N: int = 128
    T: int = 16
    D: int = 512
    W: int = 256
    H: int = 512
    V: int = 1004
    full: bool = True
    """Whether all captions are of full length, or of COCO's lengths."""

    @property
    def model(self) -> CaptionerConfig:
        return CaptionerConfig(self.V, self.D, self.W, self.H, cell=self.cell)

    def params(self) -> dict[str, np.ndarray]:
        """Initial weights, with word vectors large enough to matter in the check of the losses."""
        params = {k: np.array(v) for k, v in init_params(jax.random.key(0), self.model).items()}
        params["W_embed"] *= 100
        return params

    def minibatch(self) -> tuple[np.ndarray, np.ndarray]:
        """Features (N, D) and captions (N, T + 1)."""
        rng = np.random.default_rng(0)
        features = rng.standard_normal((self.N, self.D), np.float32)
        captions = rng.integers(4, self.V, (self.N, self.T + 1), np.int32)
        captions[:, 0] = START
        if self.full:
            return features, captions
        if max(WORDS) + 1 > self.T:
            raise ValueError(f"captions of COCO's lengths have {max(WORDS) + 1} words, T={self.T}")
        lengths = rng.choice(list(WORDS), self.N, p=np.array(list(WORDS.values())) / 100)
        columns = np.arange(self.T + 1)
        captions[columns[None] == lengths[:, None] + 1] = END
        captions[columns[None] > lengths[:, None] + 1] = NULL
        return features, captions

    def __str__(self) -> str:
        lengths = "full length" if self.full else "COCO's lengths"
        return f"{self.cell.upper()} N={self.N} V={self.V:,} T={self.T} {lengths}"
