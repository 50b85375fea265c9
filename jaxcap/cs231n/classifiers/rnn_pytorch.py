"""The captioner of the notebook of 2025, with PyTorch's tensors as parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxcap.cs231n.classifiers.captioner import Captioner, check_captions, check_features
from jaxcap.cs231n.rnn_layers_pytorch import (
    Tensor,
    affine_forward,
    lstm_forward,
    rnn_forward,
    temporal_affine_forward,
    temporal_softmax_loss,
    word_embedding_forward,
)
from jaxcap.cs231n.tensors import to_array, torch


class CaptioningRNN(Captioner):
    """A captioner with its parameters, tensors, in `params`, under the notebook's names.

    Initial parameters are drawn from PyTorch's global generator with the scales and in the order of
    the course, so the same `torch.manual_seed` gives the same parameters.

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
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(word_to_idx, input_dim, wordvec_dim, hidden_dim, cell_type, dtype)

    def _initial(self, shape: tuple[int, ...], scale: float | None) -> Tensor:
        if scale is None:
            return torch.zeros(shape, dtype=self.dtype)
        return (torch.randn(*shape) / scale).to(self.dtype)

    def _array(self, value: Any) -> np.ndarray:
        return to_array(value)

    def loss(self, features: Tensor, captions: Tensor) -> Tensor:
        """Compute the loss of captions, in nats per caption.

        Args:
            features: (N, D) floats, one feature vector for each caption.
            captions: (N, T) word ids; all columns except the first are predicted, `<NULL>` is left
                out.

        Returns:
            The loss, (). Its `.backward()` gives the gradients of the parameters that require them.

        Raises:
            IndexError: an id is outside [0, V).
            ValueError: a tensor has another shape.
        """
        params = self.params
        features, captions = torch.as_tensor(features), torch.as_tensor(captions)
        check_features(features, self.config.feature_dim)
        check_captions(captions, len(features))
        words, following = captions[:, :-1], captions[:, 1:]
        run = rnn_forward if self.cell_type == "rnn" else lstm_forward
        h0 = affine_forward(features, params["W_proj"], params["b_proj"])
        x = word_embedding_forward(words, params["W_embed"])
        h = run(x, h0, params["Wx"], params["Wh"], params["b"])
        each = temporal_affine_forward(h, params["W_vocab"], params["b_vocab"])
        return temporal_softmax_loss(each, following, following != self._null)

    def sample(self, features: Tensor, max_length: int = 30) -> Tensor:
        """Caption images greedily.

        Args:
            features: (N, D) floats, one feature vector for each image.
            max_length: maximum number of words in a caption, T.

        Returns:
            int64 word ids (N, T) without `<START>`: the words, `<END>`, and 0 after it.

        Raises:
            ValueError: the words lack `<START>` or `<END>`, or `features` has another shape.
        """
        return torch.from_numpy(self._greedy(features, max_length)).long()
