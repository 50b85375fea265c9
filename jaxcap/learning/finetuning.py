"""Fine-tuning: a captioner and the encoder of its pictures learn together.

The parameters of both are one flat dictionary, those of the encoder under names that begin with
`encoder.`. So `TrainState`, checkpoints and `fit` are the same as for a captioner alone.

Pictures stand where grids do in an `Image`: `Image(features, pictures)` with pictures (K, S, S, 3)
uint8, or `Split.grids` as `jaxcap.data.pictures.Pictures`. Whatever brings the grids of a minibatch
to the device brings its pictures, and with `order="images"` captions share them as they do grids.

    encode = Trainable(PREPROCESSING, frozen=8)              # jaxcap.vision.efficientnet_training
    params = join(captioner_params, encoder_params)
    loss = FineTuning(Likelihood(config), encode, partial(mirror_and_crop, size=192))
    optimiser = each_its_own(optax.adam(1e-3), optax.adam(1e-5), encode.frozen_names)
    state = init_state(key, config, optimiser, params)
    data = CaptionSet(captions, image_idxs, Image(features, pictures))
    for progress in fit(state, loss, optimiser, data, training): ...
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import jax
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.learning.step import Loss
from jaxcap.nn.parameters import Params

_PREFIX = "encoder."

Encode = Callable[
    [Params, UInt8[Array, "N S S 3"]], tuple[Float[Array, "N D"], Float[Array, "N L C"]]
]
"""From an encoder's parameters and pictures to pooled features and grids."""
Views = Callable[[UInt8[Array, "N S S 3"], Array], UInt8[Array, "N T T 3"]]
"""From pictures and a `jax.random` key to what is encoded."""


def join(captioner: Mapping[str, Array], encoder: Mapping[str, Array]) -> Params:
    """Put the parameters of a captioner and of an encoder into one dictionary."""
    return {**captioner, **{_PREFIX + name: value for name, value in encoder.items()}}


def part(params: Params) -> tuple[Params, Params]:
    """Give the parameters of the captioner and of the encoder apart."""
    captioner, encoder = {}, {}
    for name, value in params.items():
        whose = encoder if name.startswith(_PREFIX) else captioner
        whose[name.removeprefix(_PREFIX)] = value
    return captioner, encoder


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FineTuning:
    """A captioner's loss, of pictures in place of features; a loss for `fit`.

    A pytree, as the captioner's loss is. The order "buckets" would compile a gradient of the
    encoder for each width of captions: use another.

    Attributes:
        loss: the captioner's.
        encode: encodes a minibatch's pictures; differentiated by the encoder's parameters.
        views: what of them is encoded, drawn by the key; None for the whole pictures.
    """

    loss: Loss
    encode: Encode = field(metadata={"static": True})
    views: Views | None = field(default=None, metadata={"static": True})

    def at(self, step: Int[Array, ""]) -> "FineTuning":
        """Give the loss at a step of the run, where the captioner's changes over it."""
        of_step = getattr(self.loss, "at", None)
        return self if of_step is None else replace(self, loss=of_step(step))

    def __call__(self, params: Params, batch: Batch, key: Array | None) -> Float[Array, ""]:
        """Give the loss of N pictures with captions; a key turns views and dropout on."""
        captioner, encoder = part(params)
        pictures, own = batch.image.grid, None
        if key is not None:
            of_views, own = jax.random.split(key)
            if self.views is not None:
                pictures = self.views(pictures, of_views)  # pyright: ignore[reportArgumentType]
        image = Image(*self.encode(encoder, pictures))  # pyright: ignore[reportArgumentType]
        return self.loss(captioner, batch._replace(image=image), own)  # pyright: ignore[reportArgumentType]


def each_its_own(
    captioner: optax.GradientTransformation,
    encoder: optax.GradientTransformation,
    frozen: Collection[str] = (),
) -> optax.GradientTransformation:
    """Update captioner and encoder by optimisers of their own, and frozen parameters by none.

    Args:
        captioner: of the captioner's parameters.
        encoder: of the encoder's; its learning rate is most often far smaller.
        frozen: names of the encoder's parameters that stay as they are; they have no state either.
    """
    still = frozenset(frozen)

    def labels(params: Params) -> dict[str, str]:
        return {name: label(name) for name in params}

    def label(name: str) -> str:
        if not name.startswith(_PREFIX):
            return "captioner"
        return "frozen" if name.removeprefix(_PREFIX) in still else "encoder"

    groups = {"captioner": captioner, "encoder": encoder, "frozen": optax.set_to_zero()}
    return optax.multi_transform(groups, labels)  # pyright: ignore[reportArgumentType]
