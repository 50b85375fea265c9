"""Measures on the validation split after every epoch: the loss, and CIDEr-D of greedy captions."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from jaxcap.data.batches import Batch, CaptionSet, gather
from jaxcap.data.dataset import Dataset, Split, choose_images, references_of
from jaxcap.decoding.captions import Captioner
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.learning import processes
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.progress import Validated
from jaxcap.learning.sharding import BATCH, Layout, put
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import CaptionLoss
from jaxcap.nn.parameters import Params
from jaxcap.nn.plan import ComputePlan
from jaxcap.scoring.scores import Scorer

_READ = 128
"""Grids that are read from a file at a time."""


class Validator:
    """Measures parameters on the same validation captions and images each time.

    Args:
        model: shape of the captioner.
        data: a data set with the split `val`. Where the training split is laid out over devices,
            parameters are expected to be, too.
        training: `val_captions` are measured, and `val_images` scored, if any. They are not scored
            if CIDEr-D is 0 whatever the captions, as all of them share their references; a warning
            says so.

    Raises:
        ValueError: a single image is to be scored, or CIDEr-D is to rank checkpoints and is 0
            whatever the captions.
    """

    def __init__(self, model: CaptionerConfig, data: Dataset, training: TrainingConfig):
        train = data.splits.get("train")
        self._layout = None if train is None else Layout.of(train.captions)
        captions = subset(CaptionSet.of(data.val), training.val_captions)
        model = replace(model, dropout=0.0)
        if data.val.grids is None:
            self._loss = partial(
                mean_loss,
                data=captions if self._layout is None else _spread(captions, self._layout),
                model=model,
                num_captions=len(captions.captions),
                layout=self._layout,
            )
        else:
            self._loss = partial(
                self._streamed, partial(streamed_loss, data=captions, split=data.val, model=model)
            )
        self._cider = None
        if training.val_images:
            self._cider = ValidationCider(model, data, training.val_images)
            if self._cider.zero:
                cause = f"CIDEr-D is 0 whatever the captions, for {self._cider.zero} in `val`"
                if training.best_by == "cider":
                    raise ValueError(
                        f"`best_by=cider` cannot tell the best checkpoint: {cause}; rank them by "
                        "`best_by=loss`"
                    )
                warnings.warn(f"{cause}: it is not measured, only the loss is", stacklevel=2)
                self._cider = None

    @classmethod
    def of(
        cls, model: CaptionerConfig, data: Dataset, training: TrainingConfig
    ) -> "Validator | None":
        """Make it, or None if the data set has no validation split and nothing is to be scored."""
        if "val" not in data.splits and not training.val_images:
            return None
        return cls(model, data, training)

    def __call__(self, params: Params) -> Validated:
        """Measure parameters, or those of K members on a first axis."""
        loss = self._loss(params)
        if self._cider is None:
            return Validated(loss)
        if loss.per_caption.ndim:
            scores = [
                self._cider(jax.tree.map(lambda stack, i=i: stack[i], params))
                if np.isfinite(value)
                else np.nan
                for i, value in enumerate(np.asarray(loss.per_caption))
            ]
            return Validated(loss, np.array(scores))
        if self._layout is None:
            return Validated(loss, self._cider(params))
        # Hosts that round differently must still agree on which checkpoint is the best.
        return Validated(loss, processes.of_first(self._cider(self._layout.whole(params))))

    def _streamed(self, measure: Callable[[Params], CaptionLoss], params: Params) -> CaptionLoss:
        """Measure the loss on one device of each process."""
        if self._layout is None:
            return measure(params)
        each = map(float, measure(self._layout.whole(params)))
        return CaptionLoss(*(jnp.float32(processes.of_first(value)) for value in each))


class ValidationCider:
    """Scores parameters on the same images each time: greedy captions, CIDEr-D.

    The references are the data set's own captions, whose rare words are `<UNK>`.

    Args:
        model: shape of the captioner.
        data: a data set with the split `val`.
        num: validation images to score; all if there are no more.

    Attributes:
        zero: why every score is 0 whatever the caption, as a part of a sentence; else empty.

    Raises:
        ValueError: that is only one image, whose score would be 0 whatever the caption.
    """

    def __init__(self, model: CaptionerConfig, data: Dataset, num: int):
        self._model, self._vocabulary = model, data.vocabulary
        images = choose_images(data.val, num, jax.random.key(0))
        if len(images) < 2:
            raise ValueError(
                "CIDEr-D of a single image is 0 whatever the caption: give `val_images=2` or more, "
                "or leave it out where the validation split has one image"
            )
        self._split, self._images = data.val, images
        references = references_of(data.val, images, data.vocabulary)
        tokenizer = "character" if data.vocabulary.of_characters else "ptb"
        self._scorer = Scorer(dict(enumerate(references)), tokenizer)
        self.zero = self._scorer.cider.zero

    def __call__(self, params: Params) -> float:
        """Give the mean CIDEr-D of the images, from 0 to 10."""
        captioner = Captioner(params, self._model, self._vocabulary)
        size = len(self._images) if self._split.grids is None else _READ
        sentences = [
            caption.sentence
            for first in range(0, len(self._images), size)
            for caption in captioner.decode(
                self._split.image(self._images[first : first + size]), Greedy(scored=False)
            )
        ]
        rewards = self._scorer.rewards(range(len(sentences)), sentences)
        return float(rewards.mean())


@partial(jax.jit, static_argnames=("model", "batch_size", "layout", "num_captions"))
def mean_loss(
    params: Params,
    data: CaptionSet,
    *,
    model: CaptionerConfig,
    batch_size: int = 128,
    layout: Layout | None = None,
    num_captions: int | None = None,
) -> CaptionLoss:
    """Average the loss over all captions, `batch_size` at a time, without dropout.

    Args:
        params: parameters, or those of K members on a first axis.
        data: the captions. With a `layout` they are split over its batch axis, and their images are
            everywhere.
        model: shape of the captioner.
        batch_size: captions at a time.
        layout: of parameters and captions over devices.
        num_captions: captions that are more than padding; all if left out.

    Returns:
        The loss; of K members two arrays (K,).
    """
    num = num_captions or len(data.captions)
    sums = partial(_loss_sums, model=model, batch_size=batch_size)
    if params["b_vocab"].ndim == 2:
        vectorised = jax.default_backend() != "cpu"
        every = partial(sums, data=data)
        total, words = jax.vmap(every)(params) if vectorised else lax.map(every, params)
    elif layout is None:
        total, words = sums(params, data)
    elif layout.batch_shards == 1:
        total, words = sums(layout.pin(params), data)
    else:

        def all_sums(params: Params, data: CaptionSet) -> tuple[Array, Array]:
            return lax.psum(sums(params, data), BATCH)

        specs = (P(), CaptionSet(P(BATCH), P(BATCH), P()))  # pyright: ignore[reportArgumentType]
        total, words = layout.over_batch(all_sums, specs)(layout.pin(params), data)
    return CaptionLoss(total / num, total / jnp.maximum(words, 1).astype(total.dtype))


def streamed_loss(
    params: Params, data: CaptionSet, *, split: Split, model: CaptionerConfig
) -> CaptionLoss:
    """Average the loss over all captions, as `mean_loss` does, with grids read by batches.

    Args:
        params: parameters.
        data: captions of the split.
        split: has the images, with their grids in a file.
        model: shape of the captioner.
    """
    num, image_idxs = len(data.captions), np.asarray(data.image_idxs)
    plan = ComputePlan.choose(model.vocab_size, _READ, data.captions.shape[1])
    sums = []
    for first in range(0, num, _READ):
        rows = np.minimum(np.arange(first, first + _READ), num - 1)
        captions = jnp.where(
            jnp.arange(first, first + _READ)[:, None] < num, data.captions[rows], jnp.int32(0)
        )
        batch = Batch(split.image(image_idxs[rows]), captions)
        sums.append(_jitted_sums(params, batch, model=model, plan=plan))
    nats, words = (sum(map(float, each)) for each in zip(*sums, strict=True))
    return CaptionLoss(jnp.float32(nats / num), jnp.float32(nats / max(words, 1)))


def _loss_sums(
    params: Params, data: CaptionSet, *, model: CaptionerConfig, batch_size: int
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Nats and words of all captions."""
    num = len(data.captions)
    batches = -(-num // batch_size)
    rows = jnp.arange(batches * batch_size, dtype=jnp.int32)
    # The last batch is filled up with captions that are all padding and so weigh nothing.
    real = (rows < num).reshape(batches, batch_size, 1)
    rows = jnp.minimum(rows, num - 1).reshape(batches, batch_size)
    plan = ComputePlan.choose(model.vocab_size, batch_size, data.captions.shape[1])

    def one(args: tuple[Array, Array]) -> tuple[Array, Array]:
        batch = gather(data, args[0])
        captions = jnp.where(args[1], batch.captions, jnp.zeros_like(batch.captions))
        return _batch_sums(params, batch._replace(captions=captions), model=model, plan=plan)

    nats, words = lax.map(one, (rows, real))
    return nats.sum(), words.sum()


def _batch_sums(
    params: Params, batch: Batch, *, model: CaptionerConfig, plan: ComputePlan
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    """Nats and words of a batch."""
    loss = caption_loss(params, model, batch, plan=plan)
    return loss.per_caption * len(batch.captions), (batch.captions[:, 1:] != 0).sum()


_jitted_sums = jax.jit(_batch_sums, static_argnames=("model", "plan"))


def subset(data: CaptionSet, num: int) -> CaptionSet:
    """Choose at most `num` captions, the same for every run."""
    if num >= len(data.captions):
        return data
    rows = jax.random.permutation(jax.random.key(0), len(data.captions))[:num]
    return data._replace(captions=data.captions[rows], image_idxs=data.image_idxs[rows])


def _spread(data: CaptionSet, layout: Layout) -> CaptionSet:
    """Split captions over the batch axis, padding behind them; put their images everywhere."""
    more = -len(data.captions) % layout.batch_shards
    images, image_idxs = np.unique(np.asarray(data.image_idxs), return_inverse=True)
    return CaptionSet(
        put(np.pad(np.asarray(data.captions), ((0, more), (0, 0))), layout.rows),
        put(np.pad(image_idxs.astype(np.int32), (0, more)), layout.rows),
        jax.tree.map(lambda array: put(np.asarray(array)[images], layout.everywhere), data.images),
    )
