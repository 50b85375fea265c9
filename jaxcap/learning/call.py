"""What a call of the training loop depends on, and how it computes a loss."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from jaxcap.data.batches import CaptionSet, count_images
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.objective import for_minibatches
from jaxcap.learning.sharding import Layout
from jaxcap.learning.step import Loss, TrainState


@dataclass(frozen=True)
class Call:
    """What the program of a call depends on besides shapes; hashable, static under `jit`.

    Attributes:
        count: minibatches, which must be of one epoch.
        num_captions: captions that are drawn, the first; the others are padding.
        batch_size, order, remat, matmul_precision: as `TrainingConfig` has them.
        layout: of state and data over devices; None for one device.
        vectorised: whether the members of a sweep are computed at once or one after another. At
            once, the order "buckets" draws what it always does and computes it at full width.
        most_images: a bound on the images that the captions of a minibatch share; None if each
            caption is given an image of its own.
    """

    count: int
    num_captions: int
    batch_size: int
    order: str = "replacement"
    remat: bool = False
    matmul_precision: str = "float32"
    layout: Layout | None = None
    vectorised: bool = False
    most_images: int | None = None

    @classmethod
    def of(
        cls, training: TrainingConfig, state: TrainState, data: CaptionSet, num_captions: int
    ) -> "Call":
        """Read it from a configuration, for an epoch of `data`."""
        layout, most_images = Layout.of(data.captions), None
        # Parts of a minibatch hold other images each.
        if training.order == "images" and (layout is None or layout.batch_shards == 1):
            each = np.atleast_2d(np.asarray(data.image_idxs))[:, :num_captions]
            most_images = max(count_images(own, training.batch_size) for own in each)
        return cls(
            count=training.steps_per_epoch(num_captions),
            num_captions=num_captions,
            batch_size=training.batch_size,
            order=training.order,
            remat=training.remat,
            matmul_precision=training.matmul_precision,
            layout=layout,
            vectorised=state.step.ndim == 1 and jax.default_backend() != "cpu",
            most_images=None if most_images == training.batch_size else most_images,
        )

    def computed(self, loss: Loss, columns: int, axis: str | None = None) -> Loss:
        """Choose how a loss is computed; see `for_minibatches`.

        Args:
            loss: what is minimised.
            columns: words of a caption, padding included, L.
            axis: of a mesh over which minibatches are split.
        """
        return for_minibatches(
            loss,
            self.batch_size,
            columns,
            cut=self.order == "buckets" and not self.vectorised,
            remat=self.remat,
            axis=axis,
        )


def as_pytree(tree: Any) -> Any:
    """Make the functions in a loss or optimiser static, so that `jit` takes it for an argument."""
    return jax.tree.map(lambda leaf: Partial(leaf) if callable(leaf) else leaf, tree)
