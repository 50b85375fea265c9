"""Depthwise convolution on a CPU, with a backward pass by hand.

    y[u, v, c] = bias[c] + sum over i, j of x[s u + i - p, s v + j - p, c] * kernel[i, j, c]

with stride s and TensorFlow's SAME padding. XLA has no fast grouped convolution on a CPU, and what
autodiff makes of any other form takes minutes to compile. Here each pass is sums of shifted
products over vectors of channels, which XLA fuses:

- Forward: one sum over the positions (i, j) of the kernel.
- `dx`: the same, of `dy` with the kernel turned by 180 degrees. With stride 2 the even and odd rows
  and columns of `dx` are such a sum each, over the positions of the kernel that reach them.
- `dkernel`: with rows of a padded picture one after another in a line, a position of the kernel is
  an offset in the line. Its gradient is the sum of a stretch of `x` from that offset times `dy`,
  added up in `_PARTS` parts; a loop over the positions compiles one program for all.

Optimisation barriers keep XLA from computing a padded array anew at each position.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

_PARTS = 16


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def depthwise(
    x: Float[Array, "N S S C"],
    kernel: Float[Array, "k k C"],
    bias: Float[Array, " C"],
    stride: int,
) -> Float[Array, "N T T C"]:
    """Convolve each channel with its own kernel, with SAME padding.

    Args:
        x: square pictures.
        kernel: weights at the k * k positions, k at least `stride`.
        bias: added to each channel.
        stride: 1 or more; T is S / stride, rounded up.
    """
    out, around = _geometry(x.shape[1], len(kernel), stride)
    x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
    reach = (out - 1) * stride + 1
    total = bias[None, None, None]
    for row in range(len(kernel)):
        for column in range(len(kernel)):
            shifted = x[:, row : row + reach : stride, column : column + reach : stride]
            total = total + shifted * kernel[row, column][None, None, None]
    return total


def _depthwise_fwd(
    x: Array, kernel: Array, bias: Array, stride: int
) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, kernel, bias, stride), (x, kernel)


def _depthwise_bwd(
    stride: int, residuals: tuple[Array, Array], dy: Array
) -> tuple[Array, Array, Array]:
    x, kernel = residuals
    dy = lax.optimization_barrier(dy)
    dx = _input_gradient(dy, kernel, x.shape[1], stride)
    return dx, _kernel_gradient(x, dy, len(kernel), stride), dy.sum((0, 1, 2))


depthwise.defvjp(_depthwise_fwd, _depthwise_bwd)


def _geometry(size: int, kernel: int, stride: int) -> tuple[int, tuple[int, int]]:
    """Give the size after the convolution, and the padding before and after."""
    out = -(-size // stride)
    missing = max((out - 1) * stride + kernel - size, 0)
    return out, (missing // 2, missing - missing // 2)


def _input_gradient(
    dy: Float[Array, "N T T C"], kernel: Float[Array, "k k C"], size: int, stride: int
) -> Float[Array, "N S S C"]:
    out, (before, _) = _geometry(size, len(kernel), stride)
    cells = -(-size // stride)
    # For each phase of a row of dx: positions of the kernel that reach it, and from how far in dy.
    reached = [
        [
            (i, (phase + before - i) // stride)
            for i in range(len(kernel))
            if (phase + before - i) % stride == 0
        ]
        for phase in range(stride)
    ]
    steps = [step for positions in reached for _, step in positions]
    low, high = max(-min(steps), 0), max(cells + max(steps) - out, 0)
    around = (low, high)
    dy = lax.optimization_barrier(jnp.pad(dy, ((0, 0), around, around, (0, 0))))
    phases = []
    for rows in reached:
        for columns in reached:
            total = jnp.zeros((), dy.dtype)[None, None, None, None]
            for i, down in rows:
                for j, right in columns:
                    shifted = dy[:, low + down :, low + right :][:, :cells, :cells]
                    total = total + shifted * kernel[i, j][None, None, None]
            phases.append(total)
    if stride == 1:
        return phases[0]
    together = jnp.stack(lax.optimization_barrier(phases))
    together = together.reshape(stride, stride, *phases[0].shape).transpose(2, 3, 0, 4, 1, 5)
    return together.reshape(len(dy), cells * stride, cells * stride, -1)[:, :size, :size]


def _kernel_gradient(
    x: Float[Array, "N S S C"], dy: Float[Array, "N T T C"], size: int, stride: int
) -> Float[Array, "k k C"]:
    num, side, _, width = x.shape
    out, (before, after) = _geometry(side, size, stride)
    # A whole number of strides, so that the pictures of all phases are of one size, `cells`.
    cells = -(-(before + side + after) // stride)
    around = (before, cells * stride - side - before)
    x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
    x = x.reshape(num, cells, stride, cells, stride, width).transpose(0, 2, 4, 1, 3, 5)
    line = x.reshape(num, -1, width)
    offsets = [
        ((i % stride) * stride + j % stride) * cells**2 + (i // stride) * cells + j // stride
        for i in range(size)
        for j in range(size)
    ]
    dy = jnp.pad(dy, ((0, 0), (0, 0), (0, cells - out), (0, 0))).reshape(num, -1, width)
    part = -(-dy.shape[1] // _PARTS)
    length = part * _PARTS
    dy = jnp.pad(dy, ((0, 0), (0, length - dy.shape[1]), (0, 0)))
    line = jnp.pad(line, ((0, 0), (0, max(max(offsets) + length - line.shape[1], 0)), (0, 0)))
    line, dy = lax.optimization_barrier((line, dy))

    def at(offset: Array) -> Float[Array, "N P C"]:
        total = jnp.zeros((), dy.dtype)[None, None, None]
        for start in range(0, length, part):
            stretch = lax.dynamic_slice_in_dim(line, offset + start, part, 1)
            total = total + stretch * dy[:, start : start + part]
        return total

    sums = lax.map(at, np.array(offsets, np.int32)).sum((1, 2))
    return sums.reshape(size, size, width)
