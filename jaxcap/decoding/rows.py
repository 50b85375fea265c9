"""The rows of a model's step: the captions that are still open.

A model is `start(features) -> carry` and `step(carry, words) -> (carry, logits)`. A row is one
caption. Every array in the carry has the rows first, and scalars are shared by all rows. Rows are
repeated for beams and samples, moved, and dropped once they ended. So what belongs to one image,
such as its features, must be in the carry or be looked up by an index in it.

Captions of one batch end at different steps. To spend little on the ended ones, the loop over steps
is a chain of loops over fewer and fewer rows. Each ends as soon as the open captions fit in the
next. Shapes are fixed within each.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

from jaxcap.decoding.strategy import Step

State = TypeVar("State")

# Sizes of the loops as shares of the rows. Each loop is compiled separately, and below some number
# of rows fewer rows make a step no faster.
_SHARES = (0.75, 0.375, 0.125)
_FEW_ROWS = 16
_ONE_LOOP = 32


def take_rows(carry: Any, rows: Int[Array, " R"]) -> Any:
    """Gather rows of every array in a carry; an index past the end takes the last row."""
    return jax.tree.map(lambda x: x if x.ndim == 0 else jnp.take(x, rows, 0, mode="clip"), carry)


def repeat_rows(carry: Any, times: int) -> Any:
    """Repeat each row of a carry, the copies side by side."""
    return jax.tree.map(lambda x: x if x.ndim == 0 else jnp.repeat(x, times, 0), carry)


def which(mask: Bool[Array, " M"], size: int) -> Int[Array, " size"]:
    """Find the indices where a mask is true, padded with M."""
    return jnp.nonzero(mask, size=size, fill_value=mask.shape[0])[0].astype(jnp.int32)


def words_and_dtype(step: Step, carry: Any, num: int) -> tuple[int, jnp.dtype]:
    """Find the number of words of a model, and the dtype for sums of its log-probabilities.

    The dtype is that of the logits, or float32 if they are narrower. Nothing is computed.
    """
    logits = jax.eval_shape(step, carry, jax.ShapeDtypeStruct((num,), jnp.int32))[1]
    narrow = logits.dtype.itemsize < 4
    return logits.shape[1], jnp.dtype(jnp.float32) if narrow else logits.dtype


def run(
    advance: Callable[[State], State],
    shrink: Callable[[State, int], State],
    num_open: Callable[[State], Array],
    state: State,
    num: int,
) -> State:
    """Advance until no caption is open, over fewer and fewer rows.

    Args:
        advance: one step of all captions; shapes stay the same.
        shrink: `shrink(state, size)` packs the open captions into `size` rows.
        num_open: number of rows that open captions can still need, () int32; never grows.
        state: state before the first step.
        num: number of rows in `state`.

    Returns:
        The state after the last step.
    """
    sizes = [num]
    if num > _ONE_LOOP:
        sizes += [max(_FEW_ROWS, -(-int(share * num) // 8) * 8) for share in _SHARES]
    for size, smaller in zip(sizes, [*sizes[1:], 0], strict=True):
        if size < num:
            state = shrink(state, size)
        state = lax.while_loop(lambda s, enough=smaller: num_open(s) > enough, advance, state)
    return state
