"""Checks of the shapes and types of your own cells, without computing anything."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxcap.nn.cells import Cell

ROWS = 2
"""Number of examples in the steps that check a cell."""


def check_cell(cell: Cell, hidden_dim: int) -> None:
    """Check the shapes of a cell's functions, without computing anything.

    Raises:
        ValueError: a shape or type is wrong; the message gives it and what is expected.
    """
    if not isinstance(cell.gates, int) or cell.gates < 1:
        raise ValueError(f"its gates are {cell.gates}, expected a whole number, at least 1")
    h0 = jax.ShapeDtypeStruct((ROWS, hidden_dim), jnp.float32)
    a = jax.ShapeDtypeStruct((ROWS, cell.gates * hidden_dim), jnp.float32)
    before = _shapes("start(h0)", cell.start, h0)
    if not hasattr(before, "_replace") or "h" not in before._fields:
        raise ValueError(
            f"start(h0) gives {show(before)}, expected a NamedTuple with the hidden state as h"
        )
    if show(before.h) != show(h0):
        raise ValueError(f"start(h0) gives the h {show(before.h)}, expected {show(h0)}")
    for leaf in jax.tree.leaves(before):
        if not leaf.ndim or leaf.shape[0] != ROWS or not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(
                f"its carry for {ROWS} rows holds {show(leaf)}, expected floats with the rows first"
            )
    result = _shapes("update(a, carry)", cell.update, a, before)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"update(a, carry) gives {show(result)}, expected (next carry, saved)")
    after, saved = result
    if not same_shapes(before, after):
        raise ValueError(
            f"its carry is {show(before)} from start and {show(after)} after update, expected the "
            "same structure, shapes and types"
        )
    if cell.pull_back is not None:
        call = "pull_back(saved, before, after, dafter)"
        found = _shapes(call, cell.pull_back, saved, before, after, after)
        if not same_shapes(found, (a, before)):
            raise ValueError(f"{call} gives {show(found)}, expected {show((a, before))}")


def _shapes(call: str, function: Any, *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:  # The cell may raise anything.
        raise ValueError(f"{call} failed with {describe_failure(error)}") from error


def describe_failure(error: Exception) -> str:
    """Describe an error by its type and message, on one line of limited length."""
    message = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {message}"


def same_shapes(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same structure, and their arrays the same shapes and types."""
    return jax.tree.structure(a) == jax.tree.structure(b) and show(a) == show(b)


def show(tree: PyTree) -> str:
    """Show types and shapes, such as `(float32[2, 8], float32[2, 8])`."""
    return str(jax.tree.map(lambda x: f"{x.dtype}{list(x.shape)}", tree)).replace("'", "")
