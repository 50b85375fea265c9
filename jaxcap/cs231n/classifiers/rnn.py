"""The captioner of the course: NumPy parameters, loss and captions, by `jaxcap.nn.captioner`."""

from collections.abc import Mapping
from functools import partial

import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Int
from numpy.typing import ArrayLike

from jaxcap.cs231n.arrays import Dict, check_ids, to_numpy
from jaxcap.cs231n.classifiers.captioner import Captioner, check_captions
from jaxcap.data.image import Image
from jaxcap.nn.captioner import logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import Targets, temporal_softmax_loss
from jaxcap.nn.parameters import Params


class CaptioningRNN(Captioner):
    """A captioner with its parameters in `params`, under the notebook's names.

    Initial parameters are drawn from NumPy's global generator with the scales and in the order of
    the course, so the same `np.random.seed` gives the same parameters.

    Args:
        word_to_idx: the id of each of the V words, with `<NULL>`; `sample` also needs `<START>` and
            `<END>`.
        input_dim: length of a feature vector, D.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.
        cell_type: "rnn" or "lstm".
        dtype: dtype of the parameters. The loss uses the wider of it and that of the features.
        attention: kind of attention; `features` are then a `jaxcap.Image` with a grid. The course
            has none.
        grid_dim: length of a vector of the grid, with attention.

    Raises:
        ValueError: the cell is unknown, a size is below 1, or `<NULL>` is missing.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int = 512,
        wordvec_dim: int = 128,
        hidden_dim: int = 128,
        cell_type: str = "rnn",
        dtype: DTypeLike = np.float32,
        *,
        attention: str | None = None,
        grid_dim: int = 0,
    ):
        sizes = input_dim, wordvec_dim, hidden_dim
        super().__init__(word_to_idx, *sizes, cell_type, dtype, attention, grid_dim)

    def _initial(self, shape: tuple[int, ...], scale: float | None) -> np.ndarray:
        if scale is None:
            return np.zeros(shape, self.dtype)
        return (np.random.randn(*shape) / scale).astype(self.dtype)

    def loss(
        self, features: ArrayLike | Image, captions: ArrayLike
    ) -> tuple[float, Dict[str, np.ndarray]]:
        """Compute the loss of captions, in nats per caption, and its gradients.

        Args:
            features: (N, D) floats, one feature vector for each caption; or an `Image` of them.
            captions: (N, T) word ids; all columns except the first are predicted, `<NULL>` is left
                out.

        Returns:
            The loss, and the gradients by the names of the parameters.

        Raises:
            IndexError: an id is outside [0, V).
            ValueError: an array has another shape.
        """
        params, image = self._arrays(features)
        captions = check_ids(captions, self.config.vocab_size, "captions")
        check_captions(captions, len(image.pooled))
        with jax.enable_x64(True):
            loss, grads = _loss_and_grads(params, self.config, image, captions, self._null)
        return float(loss), Dict(to_numpy(grads))

    def sample(self, features: ArrayLike | Image, max_length: int = 30) -> Int[np.ndarray, "N T"]:
        """Caption images greedily.

        Args:
            features: (N, D) floats, one feature vector for each image; or an `Image` of them.
            max_length: maximum number of words in a caption, T.

        Returns:
            int32 word ids without `<START>`: the words, `<END>`, and 0 after it.

        Raises:
            ValueError: the words lack `<START>` or `<END>`, or `features` has another shape.
        """
        return self._greedy(features, max_length)


@partial(jax.jit, static_argnames=("config", "null"))
def _loss_and_grads(
    params: Params, config: CaptionerConfig, image: Image, captions: Array, null: int
) -> tuple[Array, Params]:
    words, following = captions[:, :-1], captions[:, 1:]
    targets = Targets(following, following != null)

    def loss(params: Params) -> Array:
        each = logits(params, config, image, words)
        return temporal_softmax_loss(each, targets, len(captions)).per_caption

    return jax.value_and_grad(loss)(params)
