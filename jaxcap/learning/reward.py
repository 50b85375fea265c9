"""Training on CIDEr-D itself: captions that the captioner draws, made likelier as they score.

The gradient is REINFORCE's (Williams 1992), as self-critical training applies it to captions
(Rennie et al. 2017), with the mean reward of an image's other samples as the baseline (Luo 2020,
arXiv 2003.09971). A captioner must have learnt to write before: only what it draws can be rewarded.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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
from jaxcap.learning.call import Call, as_pytree
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.step import (
    Loss,
    Steps,
    StepsResult,
    TrainState,
    all_finite,
    step_key,
    train_step,
)
from jaxcap.learning.streaming import Drawn, Stream
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
        stream: Stream | None = None,
    ) -> Steps:
        """Compile what trains on the next minibatches, in place of the loop's own steps.

        With a stream, grids are read from its file.
        """
        num, columns = call.batch_size // self.samples, data.captions.shape[1]
        likelihood = Likelihood(self.config, self.regularisation)
        learner = as_pytree((call.computed(likelihood, columns), optimiser))
        grid = None if stream is None else stream.shape(num)
        image = jax.eval_shape(_image, data, jax.ShapeDtypeStruct((num,), jnp.int32), grid)
        drawing = draw_samples.lower(
            state,
            image,
            config=self.config,
            words=self.vocabulary,
            columns=columns,
            samples=self.samples,
        )
        captions = drawing.out_info
        rewards = jax.ShapeDtypeStruct(captions.shape[:2], jnp.float32)
        with matmul_precision(call.matmul_precision):
            learning = learn_from_rewards.lower(state, image, captions, rewards, *learner)
        write, learn = drawing.compile(), learning.compile()

        def steps(state: TrainState, data: CaptionSet) -> tuple[TrainState, StepsResult]:
            means, minibatches = [], None
            if stream is not None:
                draw = partial(draw_images, state.key, data, num=num, count=stream.per_epoch)
                minibatches = stream.minibatches(
                    int(state.step), call.count, lambda first: Drawn(draw(first))
                )
            for _ in range(call.count):
                if minibatches is None:
                    images = draw_images(state.key, data, state.step, num=num, count=1)[0]
                    grid = None
                else:
                    (images, *_), grid = next(minibatches)
                image = _image(data, images, grid)
                captions = write(state, image)
                ids = np.asarray(captions[..., 1:])
                repeated = np.repeat(np.asarray(images), ids.shape[1])
                rewards = self.reward(repeated, ids.reshape(len(repeated), -1))
                means.append(rewards.mean())
                rewards = rewards.reshape(ids.shape[:2])
                state = learn(state, image, captions, rewards, *learner)
            return state, StepsResult(-jnp.asarray(means), all_finite(state.params))

        return steps


@partial(jax.jit, static_argnames=("num", "count"))
def draw_images(
    key: Array, data: CaptionSet, first: int | Array, *, num: int, count: int
) -> Int[Array, "S N"]:
    """Draw the images of minibatches, with replacement, in proportion to their captions.

    Args:
        key: of the state.
        data: the training captions.
        first: number of minibatches drawn before, (), integer.
        num: images in a minibatch, N.
        count: number of minibatches, S.
    """
    key, image_idxs = jax.random.fold_in(key, 0), data.image_idxs
    rows = draw_rows(key, image_idxs, num, jnp.asarray(first, jnp.int32), count, "replacement")
    return image_idxs[rows]


@jax.jit
def _image(data: CaptionSet, images: Array, grid: Array | None) -> Image:
    """Take images, with grids where these come from a file."""
    image = data.images.at(images)
    return image if grid is None else image._replace(grid=grid)


@partial(jax.jit, static_argnames=("config", "words", "columns", "samples"))
def draw_samples(
    state: TrainState,
    image: Image,
    *,
    config: CaptionerConfig,
    words: Vocabulary,
    columns: int,
    samples: int,
) -> Int[Array, "N S L"]:
    """Draw captions of the images of the next minibatch from the captioner.

    Args:
        state: state before the step.
        image: N images.
        config: shape of the captioner.
        words: the vocabulary, for its special ids.
        columns: words of a caption, padding included, L.
        samples: captions of each, S.

    Returns:
        Word ids: `<START>`, the words, `<END>` if it came, then `<NULL>`.
    """
    drawn = draw_captions(
        *bind(state.params, config, image),
        Sampling(num_samples=samples),
        Rules(words.start, words.end, words.null, columns - 1),
        jax.random.split(jax.random.fold_in(step_key(state), 0), image.num),
    )
    ids = jnp.asarray(drawn.ids)
    return jnp.pad(ids, ((0, 0), (0, 0), (1, 0)), constant_values=words.start)


@partial(jax.jit, donate_argnames="state")
def learn_from_rewards(
    state: TrainState,
    image: Image,
    captions: Int[Array, "N S L"],
    rewards: Float[Array, "N S"],
    likelihood: Loss,
    optimiser: optax.GradientTransformation,
) -> TrainState:
    """Update the parameters by the rewards of the captions that they drew.

    Args:
        state: state before the step; donated.
        image: N images.
        captions: S of each, as `draw_samples` gives them.
        rewards: of the captions.
        likelihood: of weighted captions.
        optimiser: any of Optax's, as a pytree.
    """
    batch = rewarded_batch(image, captions, rewards)
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
