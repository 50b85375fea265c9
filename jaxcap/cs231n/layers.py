"""The layers of the course that a captioner needs besides the recurrent ones, on NumPy arrays.

Other layers of the course, such as convolutions, are not here.
"""

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxcap.cs231n.arrays import Cache, backward, layer

__all__ = ["affine_backward", "affine_forward", "np", "relu_backward", "relu_forward"]

_Floats = Float[np.ndarray, "..."]


@layer
def _affine(x: Array, w: Array, b: Array) -> Array:
    return x.reshape(len(x), -1) @ w + b[None]


@layer
def _relu(x: Array) -> Array:
    return jax.nn.relu(x)


def affine_forward(
    x: Float[np.ndarray, "N *D"], w: Float[np.ndarray, "D M"], b: Float[np.ndarray, " M"]
) -> tuple[Float[np.ndarray, "N M"], Cache]:
    """Apply an affine layer to N examples, each flattened to D numbers; also returns a cache."""
    return _affine(x, w, b)


def affine_backward(dout: Float[np.ndarray, "N M"], cache: Cache) -> tuple[_Floats, ...]:
    """Compute the gradients `dx, dw, db`."""
    return backward(dout, cache)


def relu_forward(x: _Floats) -> tuple[_Floats, Cache]:
    """Replace negative elements by zero; returns the result and a cache."""
    return _relu(x)


def relu_backward(dout: _Floats, cache: Cache) -> _Floats:
    """Compute the gradient `dx`; it is zero where `x` is."""
    return backward(dout, cache)[0]
