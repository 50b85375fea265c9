"""The recurrent layers of the notebook of 2025, on PyTorch's tensors and without caches.

Each is the function of the same name in `rnn_layers`, with its handwritten backward pass behind
`.backward()`; shapes, letters and errors are the same.
"""

from typing import Any

import numpy as np

from jaxcap.cs231n import layers, rnn_layers
from jaxcap.cs231n.tensors import differentiable, to_array, torch

__all__ = [
    "affine_forward",
    "lstm_forward",
    "lstm_step_forward",
    "rnn_forward",
    "rnn_step_forward",
    "temporal_affine_forward",
    "temporal_softmax_loss",
    "torch",
    "word_embedding_forward",
]

Tensor = torch.Tensor


def affine_forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Apply an affine layer to N examples, each flattened to D numbers; (N, M)."""
    return differentiable(layers.affine_forward, layers.affine_backward, x, w, b)


def rnn_step_forward(x: Tensor, prev_h: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Advance a vanilla RNN by one step; (N, H)."""
    functions = rnn_layers.rnn_step_forward, rnn_layers.rnn_step_backward
    return differentiable(*functions, x, prev_h, Wx, Wh, b)


def rnn_forward(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Run a vanilla RNN over a sequence; (N, T, H)."""
    return differentiable(rnn_layers.rnn_forward, rnn_layers.rnn_backward, x, h0, Wx, Wh, b)


def lstm_step_forward(
    x: Tensor, prev_h: Tensor, prev_c: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """Advance an LSTM by one step; `next_h` and `next_c`, both (N, H)."""
    functions = rnn_layers.lstm_step_forward, rnn_layers.lstm_step_backward
    return differentiable(*functions, x, prev_h, prev_c, Wx, Wh, b)


def lstm_forward(x: Tensor, h0: Tensor, Wx: Tensor, Wh: Tensor, b: Tensor) -> Tensor:
    """Run an LSTM over a sequence from cell state zero; (N, T, H)."""
    return differentiable(rnn_layers.lstm_forward, rnn_layers.lstm_backward, x, h0, Wx, Wh, b)


def word_embedding_forward(x: Tensor, W: Tensor) -> Tensor:
    """Look up word vectors of the ids `x` (N, T), or (N,); (N, T, D), or (N, D).

    Raises:
        IndexError: a word is outside [0, V).
    """

    def forward(W: np.ndarray) -> tuple[Any, ...]:
        return rnn_layers.word_embedding_forward(to_array(x), W)

    return differentiable(forward, rnn_layers.word_embedding_backward, W)


def temporal_affine_forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """Apply an affine layer to every step; (N, T, M)."""
    functions = rnn_layers.temporal_affine_forward, rnn_layers.temporal_affine_backward
    return differentiable(*functions, x, w, b)


def temporal_softmax_loss(x: Tensor, y: Tensor, mask: Tensor, verbose: bool = False) -> Tensor:
    """Sum the softmax cross-entropy of words over time and average it over the batch; ().

    Raises:
        IndexError: a word is outside [0, V).
    """

    def forward(x: np.ndarray) -> tuple[Any, ...]:
        loss, dx = rnn_layers.temporal_softmax_loss(x, to_array(y), to_array(mask), verbose)
        return np.asarray(loss, dx.dtype), dx

    return differentiable(forward, np.multiply, x)
