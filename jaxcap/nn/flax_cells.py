"""The built-in cells as Flax cells, and how to write your own Flax cell.

`LSTMCell` and `RNNCell` are Linen cells, for `flax.linen.RNN`. `NNXLSTMCell` and `NNXRNNCell` are
NNX cells, for `flax.nnx.RNN`. They call `jaxcap.nn.scan.cell_step`, with the parameters `Wx`, `Wh`
and `b` and the carries of `jaxcap.nn.cells`, so results and gradients are the same:

    flax.linen.RNN(LSTMCell(features=512)).apply(variables, x, initial_carry=LSTMCarry(h0, c0))
    flax.nnx.RNN(NNXLSTMCell(256, 512, rngs=nnx.Rngs(0)))(x)

**Your own cell.** A captioner takes any Linen cell by its import path: a cell of Flax
(`--cell=flax.linen.GRUCell`), or a cell in a module that Python finds, such as one in the folder
where you start the command. There is nothing to register. For instance, in `my_cells.py`:

    import flax.linen as nn
    import jax.numpy as jnp

    class LeakyCell(nn.RNNCellBase):
        features: int
        keep: float = 0.5

        @nn.compact
        def __call__(self, h, x):
            new = jnp.tanh(nn.Dense(self.features, name="x")(x) + nn.Dense(self.features)(h))
            h = self.keep * h + (1 - self.keep) * new
            return h, h

        @nn.nowrap
        def initialize_carry(self, rng, input_shape):
            return jnp.zeros((*input_shape[:-1], self.features))

        @property
        def num_feature_axes(self):
            return 1

and then `python -m jaxcap.train --cell=my_cells:LeakyCell ...`. `--resume` and the other commands
work as usual: a checkpoint records the path, and loads where that module can be imported.

- `Cell(features=H)` must construct it. Other fields need defaults; use a subclass to set them.
- A step takes the carry and word vectors (N, W). It returns the next carry, of the same structure,
  shapes and types, and the output (N, H). It may have `params`, but no other variables and no
  random numbers. `--dropout` acts outside the cell.
- The arrays of the carry have the N captions first. The initial carry comes from
  `initialize_carry`, except the hidden state, which is projected from the image. The hidden state
  is the only array of the carry, or else the array that is also the output, as in
  `return (c, h), h`.

A cell that does not fit raises an error that says what is wrong, before training starts. Your cell
trains under autodiff. Only the built-in cells have the faster backward pass by hand and the input
products of all steps in one matmul.
"""

from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxcap.nn.cells import LSTM, RNN, WEIGHTS, Cell, CellParams
from jaxcap.nn.scan import cell_step


def _parameters(cell: Cell, D: int, H: int) -> dict[str, tuple[tuple[int, ...], Initializer]]:
    """Return the shape and the initializer of each parameter by its name."""
    G = cell.gates * H
    zeros = nn.initializers.zeros
    return {"Wx": ((D, G), WEIGHTS), "Wh": ((H, G), WEIGHTS), "b": ((G,), zeros)}


def _advance(
    cell: Cell, params: CellParams, carry: Any, x: Float[Array, "*N D"]
) -> tuple[Any, Array]:
    """Advance by one step with any number of batch axes, as in Flax."""
    advanced: Any = cell_step(cell, params, jax.tree.map(_rows, carry), _rows(x))
    carry = jax.tree.map(lambda a: a.reshape(*x.shape[:-1], a.shape[-1]), advanced[0])
    return carry, carry.h


def _rows(a: Float[Array, "*N K"]) -> Float[Array, "M K"]:
    return a.reshape(-1, a.shape[-1])


class _LinenCell(nn.RNNCellBase):
    """The base of the two Linen cells.

    Attributes:
        features: number of hidden units, H.
        param_dtype: dtype of the parameters and of the carry from `initialize_carry`.
    """

    features: int
    param_dtype: DTypeLike = jnp.float32
    _cell: ClassVar[Cell]

    @nn.compact
    def __call__(self, carry: Any, inputs: Float[Array, "*N D"]) -> tuple[Any, Array]:
        """Advance by one step: the carry after it, and its hidden state (*N, H)."""
        parameters = _parameters(self._cell, inputs.shape[-1], self.features)
        params = {
            name: self.param(name, initializer, shape, self.param_dtype)
            for name, (shape, initializer) in parameters.items()
        }
        return _advance(self._cell, CellParams(**params), carry, inputs)

    @nn.nowrap
    def initialize_carry(self, rng: Array, input_shape: tuple[int, ...]) -> Any:
        """Make the initial carry, zeros for inputs of shape (*N, D)."""
        zeros = jnp.zeros((*input_shape[:-1], self.features), self.param_dtype)
        return self._cell.start(zeros)

    @property
    def num_feature_axes(self) -> int:
        """One."""
        return 1


class LSTMCell(_LinenCell):
    """The LSTM as a Linen cell; its carry is an `LSTMCarry`."""

    _cell = LSTM


class RNNCell(_LinenCell):
    """The vanilla RNN as a Linen cell; its carry is an `RNNCarry`."""

    _cell = RNN


class _NNXCell(nnx.RNNCellBase):
    """The base of the two NNX cells.

    Args:
        in_features: length of an input, D.
        hidden_features: number of hidden units, H.
        param_dtype: dtype of the parameters and of the carry from `initialize_carry`.
        rngs: its stream `params` draws the weights.
    """

    _cell: ClassVar[Cell]

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        *,
        param_dtype: DTypeLike = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.hidden_features = hidden_features
        self.param_dtype = param_dtype
        parameters = _parameters(self._cell, in_features, hidden_features)
        for name, (shape, initializer) in parameters.items():
            setattr(self, name, nnx.Param(initializer(rngs.params(), shape, param_dtype)))

    def __call__(self, carry: Any, inputs: Float[Array, "*N D"]) -> tuple[Any, Array]:
        """Advance by one step: the carry after it, and its hidden state (*N, H)."""
        params = CellParams(*(getattr(self, name)[...] for name in CellParams._fields))
        return _advance(self._cell, params, carry, inputs)

    def initialize_carry(
        self,
        input_shape: tuple[int, ...],
        rngs: nnx.Rngs | nnx.RngStream | None = None,
        carry_init: Initializer | None = None,
    ) -> Any:
        """Make the initial carry for inputs of shape (*N, D): zeros, or drawn by `carry_init`.

        Raises:
            ValueError: `carry_init` is given without `rngs`.
        """
        shape = (*input_shape[:-1], self.hidden_features)
        stream = rngs.carry if isinstance(rngs, nnx.Rngs) else rngs

        carry = self._cell.start(jnp.zeros(shape, self.param_dtype))
        if carry_init is None:
            return carry
        if stream is None:
            raise ValueError("`carry_init` draws random numbers: give `rngs` too")
        return jax.tree.map(lambda x: carry_init(stream(), x.shape, x.dtype), carry)

    @property
    def num_feature_axes(self) -> int:
        """One."""
        return 1


class NNXLSTMCell(_NNXCell):
    """The LSTM as an NNX cell; its carry is an `LSTMCarry`."""

    _cell = LSTM


class NNXRNNCell(_NNXCell):
    """The vanilla RNN as an NNX cell; its carry is an `RNNCarry`."""

    _cell = RNN
