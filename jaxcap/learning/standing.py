"""How a run stands, or each member of a sweep: its best validation, and whether it still trains."""

import math
from dataclasses import dataclass, field

from jaxcap.learning.checkpoint_info import RunInfo, Validation
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.progress import Progress


@dataclass
class Standing:
    """What has become of one member.

    Attributes:
        info: what its checkpoints record; of its own are seed, model and training.
        name: what sets it apart from the others; empty in a run of one.
        loss: that of its last minibatch; None before the first.
        best: its best validation metrics so far.
        best_at: the iteration of those.
        failure: what went wrong with it, after which it is no longer followed.
        ended: whether its patience has run out, after which it is not either.
    """

    info: RunInfo
    name: str = ""
    loss: float | None = None
    best: Validation = field(default_factory=Validation)
    best_at: int = 0
    failure: FloatingPointError | None = None
    ended: bool = False

    @property
    def followed(self) -> bool:
        """Whether it still trains."""
        return self.failure is None and not self.ended

    @property
    def rank(self) -> float:
        """That of its best validation metrics; the lower the better."""
        return math.inf if self.best.rank is None else self.best.rank

    def note(self, progress: Progress) -> None:
        """Bring it up to date with its own progress."""
        training = self.info.training
        self.loss = float(progress.losses[-1])
        validation = validation_of(progress, training)
        if validation.rank is not None and validation.rank < self.rank:
            self.best, self.best_at = validation, progress.iteration
        if progress.epoch is not None:
            patience = training.patience_steps(self.info.num_captions)
            self.ended = progress.iteration - self.best_at >= patience


def validation_of(progress: Progress, training: TrainingConfig) -> Validation:
    """Give what was measured at the end of an epoch, if this was one."""
    loss = None if progress.val is None else float(progress.val.per_caption)
    if loss is not None and not math.isfinite(loss):
        loss = None
    cider = None if progress.cider is None else float(progress.cider)
    return Validation(loss, cider, training.best_by)
