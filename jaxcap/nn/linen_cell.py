"""A cell that is not built in: any Flax Linen `RNNCellBase`, named by its import path.

`Cell(features=H)` constructs the cell. A step reads word vectors (N, W) and returns the next carry
and the output (N, H). The captioner holds the parameters of the cell under flat names:
`cell/hr/kernel` is `variables["params"]["hr"]["kernel"]`.

The initial carry comes from `initialize_carry` of the cell, except the hidden state, which is h0
from the features. The hidden state is the only array of the carry, as in a GRU, or else the array
that the cell also returns as its output, as h in the (c, h) of Flax's LSTM. Each array in the carry
has the N rows first, or no axes.

Sequences run in a `lax.scan` under autodiff. `jaxcap.nn.flax_cells` shows how to write such a cell.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PyTree

from jaxcap.nn.cell_checks import ROWS, describe_failure, show

CELL_PREFIX = "cell/"
"""Prefix of the names of the parameters of a Linen cell, and of no others."""


@dataclass(frozen=True, eq=False)
class LinenCell:
    """A Linen cell as pure functions of the flat parameters of the captioner.

    Attributes:
        module: the unbound cell.
        wordvec_dim: length of a word vector, W.
        hidden: index of the hidden state among the arrays of the carry.
        shapes: shape of each parameter of the cell by its flat name.
    """

    module: nn.RNNCellBase
    wordvec_dim: int
    hidden: int
    shapes: dict[str, tuple[int, ...]]

    def init(self, key: Array, dtype: DTypeLike = jnp.float32) -> dict[str, Array]:
        """Draw the initial parameters of the cell, converted to `dtype`."""
        return _draw(self.module, key, self.wordvec_dim, dtype)

    def initializer(self, name: str) -> nn.initializers.Initializer:
        """Return the function of key, shape and dtype that draws the parameter of this name."""
        return lambda key, shape, dtype: self.init(key, dtype)[name]

    def start(self, h0: Float[Array, "N H"]) -> PyTree:
        """Make the carry before the first word, with the hidden state `h0`."""
        carry = _first_carry(self.module, len(h0), self.wordvec_dim, h0.dtype)
        leaves, structure = jax.tree.flatten(carry)
        leaves[self.hidden] = h0
        return jax.tree.unflatten(structure, leaves)

    def step(
        self, params: dict[str, Array], carry: PyTree, x: Float[Array, "N W"]
    ) -> tuple[PyTree, Float[Array, "N H"]]:
        """Advance by one step; `params` may hold other parameters of the captioner too."""
        return _apply(self.module, {name: params[name] for name in self.shapes}, carry, x)

    def unroll(
        self, params: dict[str, Array], carry: PyTree, x: Float[Array, "T N W"]
    ) -> tuple[PyTree, Float[Array, "T N H"]]:
        """Run over a sequence, time first; returns the last carry and the output of every step."""
        return lax.scan(partial(self.step, params), carry, x)


def make_linen_cell(found: Any, wordvec_dim: int, hidden_dim: int) -> LinenCell:
    """Make a cell of a Linen class, and check that a captioner can use it.

    Args:
        found: the class; anything else is an error.
        wordvec_dim: length of a word vector, W.
        hidden_dim: number of hidden units, H.

    Raises:
        ValueError: `found` is not a Linen cell, or its parameters, carry or output do not fit; the
            message gives what it has and what is expected.
    """
    if not (isinstance(found, type) and issubclass(found, nn.RNNCellBase)):
        raise ValueError(
            "is neither a jaxcap.nn.cells.Cell nor a subclass of flax.linen.RNNCellBase: give one "
            "of these, such as flax.linen.GRUCell"
        )
    try:
        module = found(features=hidden_dim)  # pyright: ignore[reportCallIssue]
    except Exception as error:  # A missing argument, or a check of the cell.
        raise ValueError(
            f"cannot be made as {found.__name__}(features={hidden_dim}) ({error}): give a subclass "
            "that sets its other arguments"
        ) from error
    try:
        probe = _probe(module, wordvec_dim)
    except Exception as error:  # The cell may raise anything.
        raise ValueError(
            f"a step on word vectors of shape ({ROWS}, {wordvec_dim}) failed with "
            f"{describe_failure(error)}"
        ) from error
    hidden = _check(probe, (ROWS, hidden_dim))
    return LinenCell(module, wordvec_dim, hidden, probe.shapes)


def _draw(module: nn.RNNCellBase, key: Array, wordvec_dim: int, dtype: DTypeLike) -> dict[str, Any]:
    # Drawn by a step in float32, the dtype of the parameters of Flax's cells.
    x = jnp.zeros((ROWS, wordvec_dim), jnp.float32)
    variables = module.init(key, _first_carry(module, ROWS, wordvec_dim, x.dtype), x)
    if others := sorted(set(variables) - {"params"}):
        raise ValueError(f"it has the variables {', '.join(others)}, expected only params")
    flat: dict[str, Any] = flatten_dict(variables.get("params", {}), sep="/")
    return {CELL_PREFIX + name: value.astype(dtype) for name, value in flat.items()}


def _first_carry(module: nn.RNNCellBase, rows: int, wordvec_dim: int, dtype: DTypeLike) -> PyTree:
    # The cells of Flax take a key, but do not use it.
    carry = module.initialize_carry(jax.random.key(0), (rows, wordvec_dim))

    def convert(x: Any) -> Array:
        x = jnp.asarray(x)
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(convert, carry)


def _apply(module: nn.RNNCellBase, params: dict[str, Any], carry: PyTree, x: Array) -> Any:
    own = {name.removeprefix(CELL_PREFIX): value for name, value in params.items()}
    return module.apply({"params": unflatten_dict(own, sep="/")}, carry, x)


class _Probe(NamedTuple):
    """Shapes and types of one step of a cell, found without computing anything."""

    shapes: dict[str, tuple[int, ...]]
    before: PyTree
    after: PyTree
    output: Any
    returned: list[int]
    """Indices of the arrays of the carry that are also the output."""


def _probe(module: nn.RNNCellBase, wordvec_dim: int) -> _Probe:
    returned = []

    def step(key: Array) -> tuple[Any, ...]:
        params = _draw(module, key, wordvec_dim, jnp.float32)
        before = _first_carry(module, ROWS, wordvec_dim, jnp.float32)
        x = jnp.zeros((ROWS, wordvec_dim), jnp.float32)
        after, output = _apply(module, params, before, x)
        returned.extend(i for i, leaf in enumerate(jax.tree.leaves(after)) if leaf is output)
        return params, before, after, output

    params, before, after, output = jax.eval_shape(step, jax.random.key(0))
    shapes = {name: value.shape for name, value in params.items()}
    return _Probe(shapes, before, after, output, returned)


def _check(probe: _Probe, expected: tuple[int, int]) -> int:
    """Find the index of the hidden state among the arrays of the carry.

    Raises:
        ValueError: the carry or the output does not fit.
    """
    if getattr(probe.output, "shape", None) != expected:
        raise ValueError(
            f"its output is {show(probe.output)}, expected an array of shape {expected}"
        )
    before, after = jax.tree.leaves(probe.before), jax.tree.leaves(probe.after)
    same = jax.tree.structure(probe.before) == jax.tree.structure(probe.after)
    if not same or list(map(show, before)) != list(map(show, after)):
        raise ValueError(
            f"its carry is {show(probe.before)} from initialize_carry and {show(probe.after)} "
            "after a step, expected the same structure, shapes and types"
        )
    before = jax.tree.leaves(probe.before)
    for leaf in before:
        if leaf.ndim and leaf.shape[0] != ROWS:
            raise ValueError(
                f"its carry for {ROWS} rows holds {show(leaf)}, expected the rows first"
            )
    if len(before) != 1 and len(probe.returned) != 1:
        raise ValueError(
            f"{len(probe.returned) or 'no'} arrays of its carry {show(probe.before)} are also its "
            "output, expected one, the hidden state that starts from the features: return the same "
            "array twice, as `(c, h), h`"
        )
    hidden = probe.returned[0] if len(before) != 1 else 0
    if before[hidden].shape != expected:
        raise ValueError(
            f"its hidden state is {show(before[hidden])}, expected an array of shape {expected}"
        )
    return hidden
