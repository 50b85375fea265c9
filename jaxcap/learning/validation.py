"""CIDEr-D of a captioner on a sample of the validation images, while it is trained."""

import jax
import jax.numpy as jnp

from jaxcap.data.dataset import Dataset, choose_images, references_of
from jaxcap.decoding.captions import Captioner
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.captioner import CaptionerConfig, Params
from jaxcap.scoring.scores import Scorer


class ValidationCider:
    """Scores parameters on the same images each time: greedy captions, CIDEr-D.

    The references are the data set's own captions, whose rare words are `<UNK>`.

    Args:
        model: shape of the captioner.
        data: a data set with the split `val`.
        num: validation images to score; all if there are no more.

    Raises:
        ValueError: that is only one image, whose score would be 0 whatever the caption.
    """

    def __init__(self, model: CaptionerConfig, data: Dataset, num: int):
        self._model, self._vocabulary = model, data.vocabulary
        images = choose_images(data.val, num, jax.random.key(0))
        if len(images) < 2:
            raise ValueError(
                "CIDEr-D of a single image is 0 whatever the caption: give --val_images=2 or more, "
                "or leave it out where the validation split has one image"
            )
        self._images = data.val.images.at(jnp.asarray(images))
        references = references_of(data.val, images, data.vocabulary)
        self._scorer = Scorer(dict(enumerate(references)))

    def __call__(self, params: Params) -> float:
        """Mean CIDEr-D of the images, from 0 to 10."""
        captioner = Captioner(params, self._model, self._vocabulary)
        captions = captioner.decode(self._images, Greedy(scored=False))
        sentences = [caption.sentence for caption in captions]
        rewards = self._scorer.rewards(range(len(sentences)), sentences)
        return float(rewards.mean())
