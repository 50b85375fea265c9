"""A captioner's parameters from elsewhere and back: NumPy dictionaries, npz files, PyTorch.

    params, config = from_numpy("model.npz")        # or the dictionary of a notebook's model
    params, config = from_torch("model.safetensors", TorchLayers(recurrent="decoder.lstm"))
    model.load_state_dict({name: torch.as_tensor(x) for name, x in to_torch(params).items()})

Axes: D features, W word vector, H hidden, V words; G is H for the RNN and 4H for the LSTM. Under
the notebook's names arrays are taken as they are. PyTorch's layers store their weights transposed,
the LSTM's gates in the order i, f, g, o where they are i, f, o, g here, and two biases that are
always added:

    Wx = weight_ih_l0.T     Wh = weight_hh_l0.T     b = bias_ih_l0 + bias_hh_l0

The sizes are read off the shapes. Every array is checked before use and no pickle is read; PyTorch
itself is not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from jaxcap.files.tensors import read_all_tensors
from jaxcap.files.text import list_names
from jaxcap.files.whole import replacing
from jaxcap.nn.captioner import Params
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.linen_cell import CELL_PREFIX

Source = Mapping[str, Any] | str | PathLike[str]
"""Arrays by name, or the `.npz` or `.safetensors` file that holds them."""

_Arrays = dict[str, Float[np.ndarray, "..."]]

_AXES = {
    "W_embed": "V W",
    "Wh": "H G",
    "Wx": "W G",
    "b": "G",
    "W_proj": "D H",
    "b_proj": "H",
    "W_vocab": "H V",
    "b_vocab": "V",
}
_CELL_AXES = {"W_cell": "D H", "b_cell": "H"}
_FEED_AXES = {"W_feed": "D W"}


@dataclass(frozen=True)
class TorchLayers:
    """Names of a PyTorch captioner's layers in its state dictionary, dots and all.

    Attributes:
        projection: `nn.Linear(D, H)`, which makes the first hidden state of the features.
        cell: `nn.Linear(D, H)`, which makes the LSTM's first cell state of them; that state is zero
            in a model without such a layer.
        embedding: `nn.Embedding(V, W)`.
        recurrent: `nn.LSTM(W, H)`, or `nn.RNN(W, H)` with tanh; of one layer and one direction.
        vocabulary: `nn.Linear(H, V)`, which makes the logits of the hidden state.
    """

    projection: str = "proj"
    cell: str = "cell"
    embedding: str = "embed"
    recurrent: str = "rnn"
    vocabulary: str = "vocab"


def from_numpy(source: Source) -> tuple[Params, CaptionerConfig]:
    """Take parameters under the notebook's names, such as the `params` of its `CaptioningRNN`.

    Args:
        source: the arrays, of one dtype or brought to the widest among them; float64 stays so under
            `jax.enable_x64`, and becomes float32 elsewhere.

    Returns:
        The parameters, and the shape of the captioner that has them (without dropout).

    Raises:
        ValueError: a name is missing or unknown, or an array is of another shape, not of floats, or
            not finite; the message names the file and the array.
        FileNotFoundError: there is no such file.
        OSError: the file is cut short or broken.
    """
    arrays, config = _checked(_Tensors(source))
    return {name: jnp.asarray(array) for name, array in arrays.items()}, config


def to_npz(path: str | PathLike[str], params: Mapping[str, Any]) -> None:
    """Write parameters to a file that `from_numpy` and a notebook's `np.load` read.

    bfloat16, which npz files do not know, is written as float32.

    Raises:
        ValueError: the path does not end in `.npz`, or the parameters are not a captioner's.
    """
    path = _path(path, ".npz")
    arrays, _ = _checked(_Tensors(params))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its allow_pickle)


def from_torch(source: Source, layers: TorchLayers | None = None) -> tuple[Params, CaptionerConfig]:
    """Take the parameters of a PyTorch captioner.

    Args:
        source: its state dictionary as arrays, `{name: x.numpy() for name, x in
            model.state_dict().items()}`, or the safetensors file that holds it. Tensors of other
            layers in it are left out.
        layers: how the layers are called there.

    Returns:
        The parameters, and the shape of the captioner that has them (without dropout).

    Raises:
        ValueError: a tensor is missing, of another shape, not of floats, or not finite, or the
            recurrent layer is of a kind that jaxcap lacks; the message names it.
        FileNotFoundError: there is no such file.
        OSError: the file is cut short or broken.
    """
    layers = layers or TorchLayers()
    tensors = _Tensors(source, "; name the layers by TorchLayers")
    recurrent = layers.recurrent
    embedding = tensors.take(f"{layers.embedding}.weight", "V W")
    Wh = tensors.take(f"{recurrent}.weight_hh_l0", "G H")
    tensors.check_cell(f"{recurrent}.weight_hh_l0")
    Wx = tensors.take(f"{recurrent}.weight_ih_l0", "G W")
    b = tensors.take(f"{recurrent}.bias_ih_l0", "G") + tensors.take(f"{recurrent}.bias_hh_l0", "G")
    own = {f"{recurrent}.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    for name in tensors.names:
        if name.startswith(f"{recurrent}.") and name not in own:
            raise ValueError(
                f"{tensors.where}{name} is of a layer that jaxcap lacks: only nn.LSTM and nn.RNN "
                "of one layer and one direction convert"
            )
    if tensors.sizes["G"] == 4 * tensors.sizes["H"]:
        Wx, Wh, b = (_swap_last_gates(x) for x in (Wx, Wh, b))
    arrays = {"W_embed": embedding, "Wx": Wx.T, "Wh": Wh.T, "b": b}
    linear = {"proj": (layers.projection, "H D"), "vocab": (layers.vocabulary, "V H")}
    if f"{layers.cell}.weight" in tensors.names:
        linear["cell"] = (layers.cell, "H D")
    for name, (layer, axes) in linear.items():
        arrays[f"W_{name}"] = tensors.take(f"{layer}.weight", axes).T
        arrays[f"b_{name}"] = tensors.take(f"{layer}.bias", axes[0])
    return from_numpy(arrays)


def to_torch(params: Mapping[str, Any], layers: TorchLayers | None = None) -> _Arrays:
    """Make the state dictionary of a PyTorch captioner, as NumPy arrays.

    Args:
        params: parameters by the notebook's names.
        layers: how the layers are called there.

    Returns:
        Arrays that nothing else refers to. `bias_hh_l0` is zero, and `bias_ih_l0` the whole bias.

    Raises:
        ValueError: the parameters are not a captioner's.
    """
    layers = layers or TorchLayers()
    arrays, config = _checked(_Tensors(params))
    if config.feed_features:
        raise ValueError("W_feed has no counterpart among the layers of TorchLayers")
    recurrent = [arrays["Wx"].T, arrays["Wh"].T, arrays["b"]]
    if config.cell == "lstm":
        recurrent = [_swap_last_gates(x) for x in recurrent]
    weight_ih, weight_hh, bias = recurrent
    state = {
        f"{layers.embedding}.weight": arrays["W_embed"],
        f"{layers.recurrent}.weight_ih_l0": weight_ih,
        f"{layers.recurrent}.weight_hh_l0": weight_hh,
        f"{layers.recurrent}.bias_ih_l0": bias,
        f"{layers.recurrent}.bias_hh_l0": np.zeros_like(bias),
    }
    linear = {"proj": layers.projection, "vocab": layers.vocabulary}
    if config.init_cell:
        linear["cell"] = layers.cell
    for name, layer in linear.items():
        state[f"{layer}.weight"] = arrays[f"W_{name}"].T
        state[f"{layer}.bias"] = arrays[f"b_{name}"]
    # In C order, since safetensors writes an array's memory as it lies.
    return {name: np.array(array, order="C") for name, array in state.items()}


def to_safetensors(
    path: str | PathLike[str], params: Mapping[str, Any], layers: TorchLayers | None = None
) -> None:
    """Write what `to_torch` makes to a file for `safetensors.torch.load_file`.

    Raises:
        ValueError: the path does not end in `.safetensors`, or these are not a captioner's
            parameters.
    """
    path = _path(path, ".safetensors")
    state = to_torch(params, layers)
    with replacing(path) as partial:
        save_file(state, partial)


class _Tensors:
    """Arrays by name, checked as they are taken.

    Attributes:
        where: the file they come from, as messages begin with it.
        names: of all of them.
        sizes: of the axes met so far, by their letters.
    """

    def __init__(self, source: Source, remedy: str = ""):
        if isinstance(source, Mapping):
            self.where, self._arrays = "", source
        else:
            path = Path(source).expanduser()
            self.where, self._arrays = f"{path}: ", read_all_tensors(path)
        self.names = set(self._arrays)
        self.sizes: dict[str, int] = {}
        self._remedy = remedy

    def take(self, name: str, axes: str) -> Float[np.ndarray, "..."]:
        """Give the array `name`, whose axes must have the sizes that their letters had before."""
        letters = axes.split()
        sizes = [f"{a}={self.sizes[a]}" if a in self.sizes else a for a in letters]
        expected = f"expected shape ({', '.join(sizes)})"
        if name not in self._arrays:
            raise ValueError(
                f"{self.where}{name} is missing, {expected}; there is "
                f"{list_names(self.names, most=12)}{self._remedy}"
            )
        array = np.asarray(self._arrays[name])
        if array.ndim != len(letters) or any(
            size == 0 or self.sizes.get(letter, size) != size
            for letter, size in zip(letters, array.shape, strict=True)
        ):
            raise ValueError(f"{self.where}{name} has shape {array.shape}, {expected}")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{self.where}{name} has type {array.dtype}, expected floats")
        if not np.isfinite(array).all():
            raise ValueError(f"{self.where}{name} holds values that are NaN or infinite")
        self.sizes.update(zip(letters, array.shape, strict=True))
        # NumPy's own types only: bfloat16 fits into float32.
        return array if array.dtype.kind == "f" else array.astype(np.float32)

    def check_cell(self, name: str) -> None:
        """Check that `name`, which was taken for `Wh`, is an RNN's or an LSTM's."""
        H, G = self.sizes["H"], self.sizes["G"]
        if G not in (H, 4 * H):
            gru = ", and 3H is a GRU, which jaxcap lacks" if G == 3 * H else ""
            raise ValueError(
                f"{self.where}{name} has G={G} and H={H}, expected G=H for an RNN or G=4H for an "
                f"LSTM{gru}"
            )


def _checked(tensors: _Tensors) -> tuple[_Arrays, CaptionerConfig]:
    """The arrays under the notebook's names, of one dtype, and the shape of their captioner."""
    axes = dict(_AXES)
    for more in (_CELL_AXES, _FEED_AXES):
        if tensors.names & set(more):
            axes |= more
    if own := [name for name in tensors.names if name.startswith(CELL_PREFIX)]:
        raise ValueError(
            f"{tensors.where}{min(own)} is of a cell that is not built in, which only checkpoints "
            "hold: convert a captioner whose cell is lstm or rnn"
        )
    if unknown := tensors.names - set(axes):
        raise ValueError(
            f"{tensors.where}{min(unknown)} is no parameter of a captioner, which has "
            f"{', '.join(_AXES)} and may have {', '.join(_CELL_AXES | _FEED_AXES)}; leave it out"
        )
    arrays = {}
    for name, letters in axes.items():
        arrays[name] = tensors.take(name, letters)
        if name == "Wh":
            tensors.check_cell(name)
    sizes = tensors.sizes
    config = CaptionerConfig(
        vocab_size=sizes["V"],
        feature_dim=sizes["D"],
        wordvec_dim=sizes["W"],
        hidden_dim=sizes["H"],
        cell="lstm" if sizes["G"] == 4 * sizes["H"] else "rnn",
        init_cell="W_cell" in axes,
        feed_features="W_feed" in axes,
    )
    dtype = np.result_type(*arrays.values())
    return {name: arrays[name].astype(dtype) for name in config.parameter_shapes()}, config


def _swap_last_gates(x: Float[np.ndarray, "G *K"]) -> Float[np.ndarray, "G *K"]:
    """From the order i, f, g, o to i, f, o, g, or back."""
    i, f, first, second = np.split(x, 4)
    return np.concatenate([i, f, second, first])


def _path(path: str | PathLike[str], suffix: str) -> Path:
    path = Path(path).expanduser()
    if path.suffix != suffix:
        raise ValueError(f"{path}: expected a name that ends in {suffix}")
    return path
