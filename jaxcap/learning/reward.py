"""Training on CIDEr-D itself: captions that the captioner draws, made likelier as they score.

The gradient is REINFORCE's (Williams 1992), as self-critical training applies it to captions
(Rennie et al. 2017), with the mean reward of an image's other samples as the baseline (Luo 2020,
arXiv 2003.09971). A captioner must have learnt to write before: only what it draws can be rewarded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Float32, Int

from jaxcap.data.batches import Batch, CaptionSet, draw_rows
from jaxcap.data.dataset import Dataset, choose_images, references_of
from jaxcap.data.image import Image
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.sampling import Sampling, draw_captions
from jaxcap.learning.loop import Call, as_pytree
from jaxcap.learning.objective import Likelihood, for_minibatches
from jaxcap.learning.step import (
    Loss,
    Steps,
    StepsResult,
    TrainState,
    all_finite,
    step_key,
    train_step,
)
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import bind
from jaxcap.nn.parameters import Params
from jaxcap.nn.products import matmul_precision
from jaxcap.nn.regularisation import Regularisation
from jaxcap.scoring.scores import Scorer
from jaxcap.text.vocabulary import UNK, Vocabulary

# Unlike <UNK> no reference says it, and the tokenizer keeps it, so that it counts as a word.
_NO_WORD = "<nothing>"

Reward = Callable[[Int[np.ndarray, " C"], Int[np.ndarray, "C T"]], Float32[np.ndarray, " C"]]
"""Scores C captions, word ids after `<START>`, each of the image beside it."""


class CiderD:
    """Scores captions by CIDEr-D against the training captions, on the host.

    Args:
        data: a data set; n-grams are weighed by how many of its training images have them.

    Raises:
        ValueError: there is only one image, or all share their references, so that every score is
            0.
    """

    def __init__(self, data: Dataset):
        split, self._vocabulary = data.train, data.vocabulary
        images = choose_images(split, split.num_images, jax.random.key(0))
        if len(images) < 2:
            raise ValueError(
                "`objective=cider` needs captions of 2 images or more, for CIDEr-D of a single one "
                "is 0 whatever the caption; got 1"
            )
        references = references_of(split, images, data.vocabulary)
        self._scorer = Scorer(dict(zip(images.tolist(), references, strict=True)))
        if cause := self._scorer.cider.zero:
            raise ValueError(
                f"`objective=cider` has nothing to learn from: CIDEr-D is 0 whatever the caption, "
                f"for {cause} in `train`; train with `objective=likelihood`"
            )

    def __call__(
        self, images: Int[np.ndarray, " C"], ids: Int[np.ndarray, "C T"]
    ) -> Float32[np.ndarray, " C"]:
        """Score C captions, each of the image beside it; `<UNK>` is a word no reference has."""
        captions = [self._vocabulary.decode(row).replace(UNK, _NO_WORD) for row in ids]
        return self._scorer.rewards(images.tolist(), captions).astype(np.float32)


@dataclass(frozen=True, eq=False)
class CiderReward:
    """Minus the reward of captions that the captioner draws itself; a loss for `fit`.

    `fit` draws the captions and scores them on the host, between two programs on the device: a
    callback from within one can deadlock on the CPU. A minibatch is the images of `batch_size /
    samples` captions, drawn with replacement.

    Called, it is a surrogate: its gradient is that of minus the expected reward, of captions that
    `params` drew, weighted by their `advantages`.

    Attributes:
        config: shape of the captioner.
        vocabulary: what the word ids mean.
        reward: scores the captions, as `CiderD(data)` does.
        samples: captions drawn for each image, S.
        regularisation: dropout; None for that of `config`.
    """

    config: CaptionerConfig
    vocabulary: Vocabulary
    reward: Reward
    samples: int = 5
    regularisation: Regularisation | None = None

    def __call__(self, params: Params, batch: Batch, key: Array | None) -> Float[Array, ""]:
        """Give the surrogate of N weighted captions."""
        return Likelihood(self.config, self.regularisation)(params, batch, key)

    def compile_steps(
        self,
        state: TrainState,
        data: CaptionSet,
        optimiser: optax.GradientTransformation,
        call: Call,
    ) -> Steps:
        """Compile what trains on the next minibatches, in place of the loop's own steps."""
        drawing = draw_samples.lower(
            state,
            data,
            config=self.config,
            words=self.vocabulary,
            num_images=call.batch_size // self.samples,
            samples=self.samples,
        )
        drawn = drawing.out_info
        rewards = jax.ShapeDtypeStruct(drawn.captions.shape[:2], jnp.float32)
        learner = as_pytree((self._likelihood(data, call), optimiser))
        with matmul_precision(call.matmul_precision):
            learning = learn_from_rewards.lower(state, data, drawn, rewards, *learner)
        draw, learn = drawing.compile(), learning.compile()

        def steps(state: TrainState, data: CaptionSet) -> tuple[TrainState, StepsResult]:
            means = []
            for _ in range(call.count):
                drawn = draw(state, data)
                ids = np.asarray(drawn.captions[..., 1:])
                images = np.repeat(np.asarray(drawn.images), ids.shape[1])
                rewards = self.reward(images, ids.reshape(len(images), -1))
                means.append(rewards.mean())
                state = learn(state, data, drawn, rewards.reshape(ids.shape[:2]), *learner)
            return state, StepsResult(-jnp.asarray(means), all_finite(state.params))

        return steps

    def _likelihood(self, data: CaptionSet, call: Call) -> Loss:
        likelihood = Likelihood(self.config, self.regularisation)
        rows, columns = call.batch_size, data.captions.shape[1]
        return for_minibatches(likelihood, rows, columns, cut=False, remat=call.remat, axis=None)


class Samples(NamedTuple):
    """S captions drawn for each of N images."""

    images: Int[Array, " N"]
    """Rows of the split's images."""
    captions: Int[Array, "N S L"]
    """Word ids: `<START>`, the words, `<END>` if it came, then `<NULL>`."""


@partial(jax.jit, static_argnames=("config", "words", "num_images", "samples"))
def draw_samples(
    state: TrainState,
    data: CaptionSet,
    *,
    config: CaptionerConfig,
    words: Vocabulary,
    num_images: int,
    samples: int,
) -> Samples:
    """Draw the images of the next minibatch, and captions of them from the captioner.

    Args:
        state: state before the step.
        data: the training captions.
        config: shape of the captioner.
        words: the vocabulary, for its special ids.
        num_images: N.
        samples: captions of each, S.
    """
    rows = draw_rows(
        jax.random.fold_in(state.key, 0),
        data.captions[:, 0],
        num_images,
        state.step,
        1,
        "replacement",
    )
    images = data.image_idxs[rows[0]]
    drawn = draw_captions(
        *bind(state.params, config, data.images.at(images)),
        Sampling(num_samples=samples),
        Rules(words.start, words.end, words.null, data.captions.shape[1] - 1),
        jax.random.split(jax.random.fold_in(step_key(state), 0), num_images),
    )
    ids = jnp.asarray(drawn.ids)
    return Samples(images, jnp.pad(ids, ((0, 0), (0, 0), (1, 0)), constant_values=words.start))


@partial(jax.jit, donate_argnames="state")
def learn_from_rewards(
    state: TrainState,
    data: CaptionSet,
    drawn: Samples,
    rewards: Float[Array, "N S"],
    likelihood: Loss,
    optimiser: optax.GradientTransformation,
) -> TrainState:
    """Update the parameters by the rewards of the captions that they drew.

    Args:
        state: state before the step; donated.
        data: the training captions.
        drawn: as `draw_samples` gives it.
        rewards: of the captions.
        likelihood: of weighted captions.
        optimiser: any of Optax's, as a pytree.
    """
    batch = rewarded_batch(data.images.at(drawn.images), drawn.captions, rewards)
    return train_step(state, batch, likelihood, optimiser)[0]


def rewarded_batch(
    image: Image, captions: Int[Array, "N S L"], rewards: Float[Array, "N S"]
) -> Batch:
    """Make a minibatch of S captions of each of N images, weighted by their advantages."""
    samples, columns = captions.shape[1:]
    weights = advantages(rewards).ravel().astype(image.pooled.dtype)
    rows = jnp.repeat(jnp.arange(image.num), samples)
    return Batch(image, captions.reshape(-1, columns), weights, rows)


def advantages(rewards: Float[Array, "N S"]) -> Float[Array, "N S"]:
    """How much each sample's reward exceeds the mean of the image's other samples."""
    samples = rewards.shape[1]
    return (rewards - rewards.mean(axis=1, keepdims=True)) * (samples / (samples - 1))
