"""The captioner of the course: NumPy parameters, loss and captions, by `jaxcap.nn.captioner`."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Integer

from jaxcap.cs231n.arrays import Dict, check_ids, common_dtype, to_numpy
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.captioner import Params, logits, start, step
from jaxcap.nn.cells import CELLS
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import Targets, temporal_softmax_loss

# The order in which the code of the course draws them from NumPy's generator.
_DRAWN = ("W_embed", "W_proj", "b_proj", "Wx", "Wh", "b", "W_vocab", "b_vocab")


class CaptioningRNN:
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
    ):
        if "<NULL>" not in word_to_idx:
            raise ValueError("`word_to_idx` lacks <NULL>, the padding of captions: add it")
        if cell_type not in CELLS:
            raise ValueError(f"`cell_type` must be one of {', '.join(CELLS)}, got {cell_type}")
        self.config = CaptionerConfig(
            len(word_to_idx), input_dim, wordvec_dim, hidden_dim, cell_type
        )
        self.cell_type = cell_type
        self.dtype = dtype
        self.word_to_idx = word_to_idx
        self.idx_to_word = {i: word for word, i in word_to_idx.items()}
        self.params: Dict[str, np.ndarray] = Dict()
        for name in _DRAWN:
            shape = self.config.parameter_shapes()[name]
            if name.startswith("b"):
                self.params[name] = np.zeros(shape, dtype)
            else:
                scale = 100 if name == "W_embed" else np.sqrt(shape[0])
                self.params[name] = (np.random.randn(*shape) / scale).astype(dtype)

    def loss(
        self, features: Float[np.ndarray, "N D"], captions: Integer[np.ndarray, "N T"]
    ) -> tuple[float, Dict[str, np.ndarray]]:
        """Compute the loss of captions, in nats per caption, and its gradients.

        Args:
            features: one feature vector for each caption.
            captions: word ids; all columns except the first are predicted, `<NULL>` is left out.

        Returns:
            The loss, and the gradients by the names of the parameters.

        Raises:
            IndexError: an id is outside [0, V).
        """
        params, features = self._inputs(features)
        captions = check_ids(captions, self.config.vocab_size, "captions")
        null = self.word_to_idx["<NULL>"]
        with jax.enable_x64(True):
            loss, grads = _loss_and_grads(params, self.config, features, captions, null)
        return float(loss), Dict(to_numpy(grads))

    def sample(
        self, features: Float[np.ndarray, "N D"], max_length: int = 30
    ) -> Integer[np.ndarray, "N T"]:
        """Caption images greedily.

        Args:
            features: one feature vector for each image.
            max_length: maximum number of words in a caption, T.

        Returns:
            int32 word ids without `<START>`: the words, `<END>`, and 0 after it.

        Raises:
            ValueError: the words lack `<START>` or `<END>`.
        """
        for word in ("<START>", "<END>"):
            if word not in self.word_to_idx:
                raise ValueError(f"`word_to_idx` lacks {word}, which sampling needs: add it")
        start, end = (self.word_to_idx[word] for word in ("<START>", "<END>"))
        rules = Rules(start, end, max_length=max_length)
        params, features = self._inputs(features)
        with jax.enable_x64(True):
            return np.array(_sample(params, self.config, features, rules))

    def _inputs(self, features: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Convert the parameters and the features to one dtype."""
        dtype = common_dtype(features, *self.params.values())
        params = {name: np.asarray(value, dtype) for name, value in self.params.items()}
        return params, np.asarray(features, dtype)


@partial(jax.jit, static_argnames=("config", "null"))
def _loss_and_grads(
    params: Params, config: CaptionerConfig, features: Array, captions: Array, null: int
) -> tuple[Array, Params]:
    words, following = captions[:, :-1], captions[:, 1:]
    targets = Targets(following, following != null)

    def loss(params: Params) -> Array:
        each = logits(params, config, features, words)
        return temporal_softmax_loss(each, targets, len(captions)).per_caption

    return jax.value_and_grad(loss)(params)


@partial(jax.jit, static_argnames=("config", "rules"))
def _sample(params: Params, config: CaptionerConfig, features: Array, rules: Rules) -> Array:
    one, carry = partial(step, params, config), start(params, config, features)
    return jnp.asarray(Greedy(scored=False).write(one, carry, rules, len(features)).ids[:, 0])
