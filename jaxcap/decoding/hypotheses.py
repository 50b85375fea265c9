"""What a strategy gives: K captions of each image."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int


class Hypotheses(NamedTuple):
    """K captions for each of N images, at most T words long, on the device or the host."""

    ids: Int[Array | np.ndarray, "N K T"]
    """Word ids without `<START>`: the words, `<END>` if it came, then `<NULL>`."""
    lengths: Int[Array | np.ndarray, "N K"]
    """Words before `<END>`, or all of them where it did not come."""
    finished: Bool[Array | np.ndarray, "N K"]
    """Whether `<END>` came within T steps."""
    log_probs: Float[Array | np.ndarray, "N K"]
    """The model's log-probability of the words and `<END>`, in nats, whatever the strategy."""
    scores: Float[Array | np.ndarray, "N K"]
    """What beams are ranked by; elsewhere `log_probs`."""
