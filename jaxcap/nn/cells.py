"""Recurrent cells: what one step does after its matrix products, as pure functions.

Axes: N examples, H hidden units, G = gates * H. A step computes `a = x @ Wx + h @ Wh + b`, (N, G),
and from it

    RNN    h' = tanh(a)
    LSTM   i, f, o, g = split(a, 4);  i, f, o = sigmoid(i, f, o);  g = tanh(g)
           c' = f * c + i * g;        h' = o * tanh(c')

with the gates in the order i, f, o, g of the notebook ("LSTM: step forward"). The LSTM is that of
Hochreiter and Schmidhuber (1997) with the forget gate of Gers et al. (2000), without peepholes.

Your own `Cell` is three functions. It trains, decodes and is saved like the built-in ones. For
instance, in `my_cells.py`:

    from typing import NamedTuple

    import jax
    import jax.numpy as jnp

    from jaxcap.nn.cells import Cell

    class Carry(NamedTuple):
        h: jax.Array

    def update(a, carry):
        h = 0.5 * carry.h + 0.5 * jnp.tanh(a)
        return Carry(h), ()

    leaky = Cell(gates=1, start=Carry, update=update, path="my_cells:leaky")

and then `CaptionerConfig(..., cell=leaky)`, or `python -m jaxcap.train --cell=my_cells:leaky`. In a
notebook you may leave out the path: the captioner trains, but cannot be saved in a checkpoint,
which finds the cell again by its path. `jaxcap.nn.unroll` runs cells over sequences.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class CellParams(NamedTuple):
    """Weights of one recurrent cell, of one dtype."""

    Wx: Float[Array, "D G"]
    Wh: Float[Array, "H G"]
    b: Float[Array, " G"]


class Cell(NamedTuple):
    """A cell as pure functions of `a = x @ Wx + h @ Wh + b`; hashable, static under `jit`.

    A carry is a NamedTuple of floating-point arrays with the N rows first, one of them `h` (N, H).

    >>> import jax, jax.numpy as jnp
    >>> from jaxcap.nn.cells import RNNCarry
    >>> def update(a, carry):
    ...     return RNNCarry(0.5 * carry.h + 0.5 * jnp.tanh(a)), ()
    >>> leaky = Cell(gates=1, start=RNNCarry, update=update)
    >>> from jaxcap import CaptionerConfig, init_params
    >>> config = CaptionerConfig(vocab_size=9, feature_dim=3, hidden_dim=4, cell=leaky)
    >>> init_params(jax.random.key(0), config)["Wh"].shape
    (4, 4)
    """

    gates: int
    """`a` has `gates * H` columns."""
    start: Callable[..., Any]
    """`start(h0) -> carry`, the carry before the first step; its `h` is `h0`."""
    update: Callable[[Any, Any], tuple[Any, Any]]
    """`update(a, carry) -> (next carry, saved)`; `saved` is any pytree that `pull_back` reads."""
    pull_back: Callable[[Any, Any, Any, Any], tuple[Any, Any]] | None = None
    """`pull_back(saved, before, after, dafter) -> (da, dbefore)`: the backward pass of `update`,
    given the gradient of the carry after it. `dbefore.h` leaves out the gradient through `a`. None
    uses autodiff of `update`, which saves `a` and computes `update` again."""
    path: str | None = None
    """Import path, such as "my_cells:leaky", by which a checkpoint finds the cell again."""

    def __str__(self) -> str:
        """Return the path, or say that there is none."""
        return self.path or "a Cell without a path"

    def backward(self) -> "Cell":
        """Return the cell with a `pull_back`: the given one, or one by autodiff."""
        if self.pull_back is not None:
            return self

        def update(a: Array, carry: Any) -> tuple[Any, Array]:
            return self.update(a, carry)[0], a

        def pull_back(a: Array, before: Any, after: Any, dafter: Any) -> tuple[Array, Any]:
            del after
            return jax.vjp(lambda a, before: self.update(a, before)[0], a, before)[1](dafter)

        return self._replace(update=update, pull_back=pull_back)


class RNNCarry(NamedTuple):
    """State of a vanilla RNN between two steps."""

    h: Float[Array, "N H"]


class LSTMCarry(NamedTuple):
    """State of an LSTM between two steps."""

    h: Float[Array, "N H"]
    c: Float[Array, "N H"]


class Gates(NamedTuple):
    """Activations of the gates of the LSTM."""

    i: Float[Array, "*N H"]
    """Input gate, in (0, 1)."""
    f: Float[Array, "*N H"]
    """Forget gate, in (0, 1): the share of the cell state to keep."""
    o: Float[Array, "*N H"]
    """Output gate, in (0, 1)."""
    g: Float[Array, "*N H"]
    """Candidate cell state, in (-1, 1)."""


def _rnn_update(a: Array, carry: RNNCarry) -> tuple[RNNCarry, tuple[()]]:
    del carry
    return RNNCarry(jnp.tanh(a)), ()


def _rnn_pull_back(
    saved: tuple[()], before: RNNCarry, after: RNNCarry, dafter: RNNCarry
) -> tuple[Array, RNNCarry]:
    del saved
    return dafter.h * (1 - after.h * after.h), RNNCarry(jnp.zeros_like(before.h))


def _lstm_start(h0: Array, c0: Array | None = None) -> LSTMCarry:
    return LSTMCarry(h0, jnp.zeros_like(h0) if c0 is None else c0)


def _lstm_update(a: Array, carry: LSTMCarry) -> tuple[LSTMCarry, Gates]:
    i, f, o, g = jnp.split(a, 4, axis=-1)
    i, f, o, g = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jax.nn.sigmoid(o), jnp.tanh(g)
    c = f * carry.c + i * g
    return LSTMCarry(o * jnp.tanh(c), c), Gates(i, f, o, g)


def _lstm_pull_back(
    gates: Gates, before: LSTMCarry, after: LSTMCarry, dafter: LSTMCarry
) -> tuple[Array, LSTMCarry]:
    i, f, o, g = gates
    dh, tanh_c = dafter.h, jnp.tanh(after.c)
    dc = dafter.c + dh * o * (1 - tanh_c * tanh_c)
    da = jnp.concatenate(
        [
            dc * g * i * (1 - i),
            dc * before.c * f * (1 - f),
            dh * tanh_c * o * (1 - o),
            dc * i * (1 - g * g),
        ],
        axis=-1,
    )
    return da, LSTMCarry(jnp.zeros_like(dh), dc * f)


RNN = Cell(1, RNNCarry, _rnn_update, _rnn_pull_back, "rnn")
LSTM = Cell(4, _lstm_start, _lstm_update, _lstm_pull_back, "lstm")
CELLS = {"lstm": LSTM, "rnn": RNN}
"""The built-in cells by name."""

WEIGHTS = jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal")
"""The scale of weights in the course, N(0, 1 / fan in)."""


def init_cell(cell: Cell, key: Array, D: int, H: int, dtype: DTypeLike = jnp.float32) -> CellParams:
    """Draw the initial parameters of a cell: weights N(0, 1 / fan in), biases zero.

    Args:
        cell: the cell.
        key: a `jax.random` key.
        D: length of an input.
        H: number of hidden units.
        dtype: of the parameters.
    """
    G = cell.gates * H
    Wx, Wh = (WEIGHTS(k, (n, G), dtype) for k, n in zip(jax.random.split(key), (D, H), strict=True))
    return CellParams(Wx, Wh, jnp.zeros((G,), dtype))


def rnn_init(key: Array, D: int, H: int, dtype: DTypeLike = jnp.float32) -> CellParams:
    """Draw initial parameters of a vanilla RNN, `Wx (D, H)`, `Wh (H, H)`, `b (H,)`.

    Args:
        key: a `jax.random` key.
        D: length of an input.
        H: number of hidden units.
        dtype: of the parameters.
    """
    return init_cell(RNN, key, D, H, dtype)


def lstm_init(key: Array, D: int, H: int, dtype: DTypeLike = jnp.float32) -> CellParams:
    """Draw initial parameters of an LSTM, `Wx (D, 4H)`, `Wh (H, 4H)`, `b (4H,)`.

    >>> lstm_init(jax.random.key(0), D=3, H=5).Wx.shape
    (3, 20)

    Args:
        key: a `jax.random` key.
        D: length of an input.
        H: number of hidden units.
        dtype: of the parameters.
    """
    return init_cell(LSTM, key, D, H, dtype)
