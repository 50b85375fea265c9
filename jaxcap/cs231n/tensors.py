"""The course's pairs of forward and backward functions as functions of PyTorch's autograd.

Tensors are computed on the CPU, by JAX, and come back to the device that they were on.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

try:
    import torch  # pyright: ignore[reportMissingImports]
    from torch.autograd.function import (  # pyright: ignore[reportMissingImports]
        once_differentiable,
    )
except ImportError:
    raise ImportError(
        "the notebook of 2025 needs PyTorch, which is not installed: pip install torch"
    ) from None

__all__ = ["differentiable", "to_array", "torch"]


def to_array(tensor: Any) -> np.ndarray:
    """Return a tensor, or an array, as a NumPy array on the host; gradients do not pass."""
    return torch.as_tensor(tensor).detach().cpu().numpy()


def differentiable(
    forward: Callable[..., tuple[Any, ...]], backward: Callable[..., Any], *tensors: Any
) -> Any:
    """Call `forward` on tensors, such that `.backward()` calls `backward`.

    Args:
        forward: function of NumPy arrays; returns its values and, last, a cache.
        backward: function of the gradients of the values and the cache; returns the gradients of
            the arguments, in their order, or one gradient.
        tensors: the arguments of `forward`.

    Returns:
        The value, or a tuple of several.
    """
    return _Pair.apply(forward, backward, *map(torch.as_tensor, tensors))


class _Pair(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, forward: Any, backward: Any, *tensors: Any) -> Any:
        *values, ctx.cache = forward(*map(to_array, tensors))
        ctx.back, ctx.device = backward, tensors[0].device
        found = [torch.from_numpy(np.asarray(value)).to(ctx.device) for value in values]
        return tuple(found) if len(found) > 1 else found[0]

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: Any
    ) -> Any:
        found = ctx.back(*map(to_array, gradients), ctx.cache)
        found = found if isinstance(found, tuple | list) else (found,)
        return None, None, *(torch.from_numpy(np.asarray(g)).to(ctx.device) for g in found)
