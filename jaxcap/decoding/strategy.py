"""Types of decoding: the step of a model, strategies and hypotheses.

To add a strategy, write a frozen dataclass with the two members of `Strategy`. Every captioner
accepts it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from jaxcap.decoding.rules import Rules

Step = Callable[[Any, Int[Array, " R"]], tuple[Any, Float[Array, "R V"]]]
"""`step(carry, words) -> (carry, logits)` for any number of rows R; see `jaxcap.decoding.rows`."""

Keys = Key[Array, " N"] | UInt32[Array, "N 2"]
"""A `jax.random` key for each image, new-style or old-style."""


class Hypotheses(NamedTuple):
    """K captions for each of N images, at most T words long, on the device or the host."""

    ids: Int[Array | np.ndarray, "N K T"]
    """Word ids without `<START>`: the words, `<END>` if it came, then `<NULL>`."""
    lengths: Int[Array | np.ndarray, "N K"]
    """Number of words before `<END>`, or of all words if it did not come."""
    finished: Bool[Array | np.ndarray, "N K"]
    """Whether `<END>` came within T steps."""
    log_probs: Float[Array | np.ndarray, "N K"]
    """Log-probability of the words and `<END>` under the model, in nats, for every strategy."""
    scores: Float[Array | np.ndarray, "N K"]
    """Scores that rank beams; `log_probs` for other strategies."""


@runtime_checkable
class Strategy(Protocol):
    """How to choose words; hashable, static under `jit`."""

    @property
    def captions_each(self) -> int:
        """Number of captions for each image, K."""
        ...

    def write(
        self, step: Step, carry: Any, rules: Rules, num: int, keys: Keys | None = None
    ) -> Hypotheses:
        """Write captions of N images.

        Args:
            step: step of the model.
            carry: state of the model before the first word, N rows.
            rules: special ids, maximum length, and rules on the words.
            num: number of images, N.
            keys: a `jax.random` key for each image, for strategies that draw.

        Raises:
            ValueError: the rules do not fit the vocabulary, or keys are missing.
        """
        ...
