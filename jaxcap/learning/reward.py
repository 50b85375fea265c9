"""Training on CIDEr-D itself: captions that the captioner draws, made likelier as they score.

The gradient is REINFORCE's (Williams 1992), as self-critical training applies it to captions
(Rennie et al. 2017), with the mean reward of an image's other samples as the baseline (Luo 2020,
arXiv 2003.09971). A captioner must have learnt to write before: only what it draws can be rewarded.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from jaxcap.data.batches import Batch, CaptionSet, draw_rows
from jaxcap.data.dataset import Split, choose_images, references_of
from jaxcap.data.image import Image, as_image
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.sampling import Sampling, draw_captions
from jaxcap.learning.loop import (
    Steps,
    StepsResult,
    TrainingConfig,
    TrainState,
    all_finite,
    step_key,
    update,
)
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.nn.captioner import CaptionerConfig, Params, caption_loss, start, step
from jaxcap.scoring.scores import Scorer
from jaxcap.text.vocabulary import UNK, Vocabulary

# Unlike <UNK> no reference says it, and the tokenizer keeps it, so that it counts as a word.
_NO_WORD = "<nothing>"


class CiderReward:
    """CIDEr-D of drawn captions against the captions of a split, computed on the host.

    Args:
        split: images with captions; n-grams are weighed by how many of its images have them.
        vocabulary: what the word ids mean.

    Raises:
        ValueError: there is only one image, so that every score is 0.
    """

    def __init__(self, split: Split, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        images = choose_images(split, split.images.num, jax.random.key(0))
        if len(images) < 2:
            raise ValueError(
                "--objective=cider needs captions of 2 images or more, for CIDEr-D of a single one "
                "is 0 whatever the caption; got 1"
            )
        references = references_of(split, images, vocabulary)
        self._scorer = Scorer(dict(zip(images.tolist(), references, strict=True)))

    def __call__(
        self, images: Int[np.ndarray, " C"], ids: Int[np.ndarray, "C T"]
    ) -> Float32[np.ndarray, " C"]:
        """Score C captions, each of the image beside it; `<UNK>` is a word no reference has."""
        captions = [self.vocabulary.decode(row).replace(UNK, _NO_WORD) for row in ids]
        return self._scorer.rewards(images.tolist(), captions).astype(np.float32)


class RewardSteps:
    """Makes the steps that `fit` takes for the objective "cider".

    A minibatch is the images of `batch_size / samples` captions, drawn with replacement. Scores
    come from the host between two programs on the device: a callback from within one can deadlock
    on the CPU.

    Args:
        model: shape of the captioner.
        training: how to train.
        reward: scores the captions.
    """

    def __init__(self, model: CaptionerConfig, training: TrainingConfig, reward: CiderReward):
        self._static = {"model": model, "training": training, "words": reward.vocabulary}
        self._reward = reward
        self._compiled: tuple[Callable[..., Any], Callable[..., Any]] | None = None

    def __call__(self, state: TrainState, data: CaptionSet, count: int) -> Steps:
        """Compile, and give what trains on `count` minibatches."""
        if self._compiled is None:
            drawing = draw_samples.lower(state, data, **self._static)
            drawn = jax.eval_shape(partial(draw_samples, **self._static), state, data)
            rewards = jax.ShapeDtypeStruct(drawn.ids.shape[:2], jnp.float32)
            learning = learn_from_rewards.lower(state, data, drawn, rewards, **self._static)
            self._compiled = drawing.compile(), learning.compile()
        draw, learn = self._compiled

        def steps(state: TrainState, data: CaptionSet) -> tuple[TrainState, StepsResult]:
            means = []
            for _ in range(count):
                drawn = draw(state, data)
                ids = np.asarray(drawn.ids)
                images = np.repeat(np.asarray(drawn.images), ids.shape[1])
                rewards = self._reward(images, ids.reshape(len(images), -1))
                means.append(rewards.mean())
                state = learn(state, data, drawn, rewards.reshape(ids.shape[:2]))
            return state, StepsResult(-jnp.asarray(means), all_finite(state.params))

        return steps


class Samples(NamedTuple):
    """S captions drawn for each of N images."""

    images: Int[Array, " N"]
    """Rows of the split's features."""
    ids: Int[Array, "N S T"]
    """Word ids without `<START>`: the words, `<END>` if it came, then `<NULL>`."""


@partial(jax.jit, static_argnames=("model", "training", "words"))
def draw_samples(
    state: TrainState,
    data: CaptionSet,
    *,
    model: CaptionerConfig,
    training: TrainingConfig,
    words: Vocabulary,
) -> Samples:
    """Draw the images of the next minibatch, and captions of them from the captioner, T = L - 1.

    Args:
        state: state before the step.
        data: the training captions.
        model: shape of the captioner.
        training: how to train.
        words: the vocabulary, for its special ids.
    """
    rows = draw_rows(
        jax.random.fold_in(state.key, 0),
        data.captions[:, 0],
        training.batch_size // training.samples,
        state.step,
        1,
        training.order,
    )
    images = data.image_idxs[rows[0]]
    key = jax.random.fold_in(step_key(state), 0)
    drawn = draw_captions(
        partial(step, state.params, model),
        start(state.params, model, data.images.at(images)),
        Sampling(num_samples=training.samples),
        Rules(words.start, words.end, words.null, data.captions.shape[1] - 1),
        jax.random.split(key, len(images)),
    )
    return Samples(images, jnp.asarray(drawn.ids))


@partial(jax.jit, static_argnames=("model", "training", "words"), donate_argnames="state")
def learn_from_rewards(
    state: TrainState,
    data: CaptionSet,
    drawn: Samples,
    rewards: Float[Array, "N S"],
    *,
    model: CaptionerConfig,
    training: TrainingConfig,
    words: Vocabulary,
) -> TrainState:
    """Update the parameters by the rewards of drawn captions.

    Args:
        state: state before the step; donated.
        data, model, training, words: as in `draw_samples`.
        drawn: what it gave.
        rewards: of the captions.
    """
    optimiser = make_optimiser(
        training.optimiser, training.steps_per_epoch(len(data.captions)), training.num_epochs
    )
    grads = reward_gradient(
        state.params,
        model,
        data.images.at(drawn.images),
        drawn.ids,
        rewards,
        start=words.start,
        key=jax.random.fold_in(step_key(state), 1),
    )
    return update(state, grads, optimiser)


def reward_gradient(
    params: Params,
    model: CaptionerConfig,
    image: Image | Float[Array, "N D"],
    ids: Int[Array, "N S T"],
    rewards: Float[Array, "N S"],
    *,
    start: int = 1,
    key: Array | None = None,
) -> Params:
    """The gradient of minus the expected reward, estimated from captions that `params` drew.

    Args:
        params: parameters by the notebook's names.
        model: shape of the captioner.
        image: of each of N images, or its pooled features.
        ids: S captions of each, as `Samples` has them.
        rewards: of the captions.
        start: id of `<START>`.
        key: a `jax.random` key turns dropout on.
    """
    samples, length = ids.shape[1:]
    captions = jnp.pad(ids.reshape(-1, length), ((0, 0), (1, 0)), constant_values=start)
    repeated = jax.tree.map(lambda x: jnp.repeat(x, samples, axis=0), as_image(image))
    weights = advantages(rewards).ravel().astype(repeated.pooled.dtype)
    batch = Batch(repeated, captions, weights)

    def loss(params: Params) -> Array:
        return caption_loss(params, model, batch, key).per_caption

    return jax.grad(loss)(params)


def advantages(rewards: Float[Array, "N S"]) -> Float[Array, "N S"]:
    """How much each sample's reward exceeds the mean of the image's other samples."""
    samples = rewards.shape[1]
    return (rewards - rewards.mean(axis=1, keepdims=True)) * (samples / (samples - 1))
