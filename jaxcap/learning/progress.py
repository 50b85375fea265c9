"""What training reports to the host after each call."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxcap.learning.step import TrainState
from jaxcap.nn.loss import CaptionLoss


class Validated(NamedTuple):
    """What was measured on validation data; for K members arrays (K,)."""

    loss: CaptionLoss
    cider: float | Float[np.ndarray, " K"] | None = None


@dataclass(frozen=True)
class Progress:
    """What training has come to after a call of S minibatches.

    Attributes:
        state: the state; valid until the next one is asked for.
        iteration: minibatches done since the run began.
        num_iterations: minibatches of the whole run.
        losses: those of this call's minibatches, (S,), the last being that of `iteration`; for K
            members (K, S).
        params_finite: whether no parameter is NaN or infinite; for K members (K,).
        captions_per_second: of this call and for each member, compilation and validation left out.
        epoch: number of the epoch that this call ended, or None.
        val: validation loss at the end of an epoch, None elsewhere or where none is measured.
        cider: CIDEr-D at the end of an epoch, None elsewhere or where none is measured.
    """

    state: TrainState
    iteration: int
    num_iterations: int
    losses: np.ndarray
    captions_per_second: float
    params_finite: Any = True
    epoch: int | None = None
    val: CaptionLoss | None = None
    cider: Any = None

    @property
    def members(self) -> "list[Progress]":
        """Each member's own progress, whose `state` is that of all; of one run the progress."""
        if self.losses.ndim == 1:
            return [self]
        return [
            replace(
                self,
                losses=self.losses[i],
                params_finite=self.params_finite[i],
                val=self.val and CaptionLoss(*(value[i] for value in self.val)),
                cider=None if self.cider is None else self.cider[i],
            )
            for i in range(len(self.losses))
        ]

    @property
    def failure(self) -> FloatingPointError | None:
        """What went wrong in this call: a loss or a parameter became NaN or infinite."""
        remedy = "try a smaller `learning_rate` or `clip_norm=5`"
        first = self.iteration - len(self.losses) + 1
        bad = np.flatnonzero(~np.isfinite(self.losses))
        if bad.size:
            return FloatingPointError(
                f"the loss became {self.losses[bad[0]]} at iteration {first + bad[0]}: {remedy}"
            )
        if not self.params_finite:
            return FloatingPointError(
                f"a parameter became NaN or infinite by iteration {self.iteration}: {remedy}"
            )
        return None
