"""Import and export of parameters: NumPy dictionaries, npz files and PyTorch.

    params, config = from_numpy("model.npz")        # or the dictionary of a notebook's model
    params, config = from_torch("model.safetensors", TorchLayers(recurrent="decoder.lstm"))
    model.load_state_dict({name: torch.as_tensor(x) for name, x in to_torch(params).items()})

Axes: D features, W word vector, H hidden, V words; G is H for the RNN and 4H for the LSTM. Arrays
under the notebook's names are used unchanged. PyTorch stores weights transposed, the gates of the
LSTM in the order i, f, g, o (here i, f, o, g), and two biases, which are added:

    Wx = weight_ih_l0.T     Wh = weight_hh_l0.T     b = bias_ih_l0 + bias_hh_l0

The sizes come from the shapes. Every array is checked before use, and no pickle is read. PyTorch is
not needed.
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
"""Arrays by name, or an `.npz` or `.safetensors` file with them."""

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
    """Names of the layers of a PyTorch captioner in its state dictionary, with dots.

    Attributes:
        projection: `nn.Linear(D, H)`, from the features to the initial hidden state.
        cell: `nn.Linear(D, H)`, from the features to the initial cell state of the LSTM; without
            this layer that state is zero.
        embedding: `nn.Embedding(V, W)`.
        recurrent: `nn.LSTM(W, H)`, or `nn.RNN(W, H)` with tanh; one layer and one direction.
        vocabulary: `nn.Linear(H, V)`, from the hidden state to the logits.
    """

    projection: str = "proj"
    cell: str = "cell"
    embedding: str = "embed"
    recurrent: str = "rnn"
    vocabulary: str = "vocab"


def from_numpy(source: Source) -> tuple[Params, CaptionerConfig]:
    """Import parameters under the notebook's names, such as the `params` of its `CaptioningRNN`.

    Args:
        source: the arrays; they are converted to the widest dtype among them. float64 stays float64
            only under `jax.enable_x64`, and otherwise becomes float32.

    Returns:
        The parameters, and the shape of their captioner (without dropout).

    Raises:
        ValueError: a name is missing or unknown, or an array has a wrong shape, is not of floats,
            or is not finite; the message names the file and the array.
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or broken.
    """
    arrays, config = _checked(_Tensors(source))
    return {name: jnp.asarray(array) for name, array in arrays.items()}, config


def to_npz(path: str | PathLike[str], params: Mapping[str, Any]) -> None:
    """Write parameters to a file for `from_numpy` and for `np.load` in a notebook.

    bfloat16, which npz files do not support, is written as float32.

    Raises:
        ValueError: the path does not end in `.npz`, or the parameters are not of a captioner.
    """
    path = _path(path, ".npz")
    arrays, _ = _checked(_Tensors(params))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its allow_pickle)


def from_torch(source: Source, layers: TorchLayers | None = None) -> tuple[Params, CaptionerConfig]:
    """Import the parameters of a PyTorch captioner.

    Args:
        source: its state dictionary as arrays, `{name: x.numpy() for name, x in
            model.state_dict().items()}`, or a safetensors file with it. Tensors of other layers are
            ignored.
        layers: names of the layers in the state dictionary.

    Returns:
        The parameters, and the shape of their captioner (without dropout).

    Raises:
        ValueError: a tensor is missing, has a wrong shape, is not of floats, or is not finite, or
            jaxcap lacks this kind of recurrent layer; the message names the tensor.
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or broken.
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
                f"{tensors.where}{name} belongs to a kind of layer that jaxcap lacks: convert an "
                "nn.LSTM or nn.RNN of one layer and one direction"
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
        params: parameters under the notebook's names.
        layers: names of the layers in the state dictionary.

    Returns:
        New arrays by name. `bias_ih_l0` is the whole bias, and `bias_hh_l0` is zero.

    Raises:
        ValueError: the parameters are not of a captioner, or have `W_feed`.
    """
    layers = layers or TorchLayers()
    arrays, config = _checked(_Tensors(params))
    if config.feed_features:
        raise ValueError(
            "W_feed has no counterpart among the layers of TorchLayers: export a captioner with "
            "`feed_features=False`"
        )
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
    # In C order, since safetensors writes the memory of an array as it is.
    return {name: np.array(array, order="C") for name, array in state.items()}


def to_safetensors(
    path: str | PathLike[str], params: Mapping[str, Any], layers: TorchLayers | None = None
) -> None:
    """Write the result of `to_torch` to a file for `safetensors.torch.load_file`.

    Raises:
        ValueError: the path does not end in `.safetensors`, or as in `to_torch`.
    """
    path = _path(path, ".safetensors")
    state = to_torch(params, layers)
    with replacing(path) as partial:
        save_file(state, partial)


class _Tensors:
    """Arrays by name, each checked when taken.

    Attributes:
        where: prefix of messages, the file of the arrays.
        names: names of all arrays.
        sizes: sizes of the axes so far, by letter.
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
        """Take the array `name`, and check that its axes have the sizes of their letters so far."""
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
        # Only NumPy dtypes: bfloat16 fits into float32.
        return array if array.dtype.kind == "f" else array.astype(np.float32)

    def check_cell(self, name: str) -> None:
        """Check that the array `name`, taken as `Wh`, is of an RNN or an LSTM."""
        H, G = self.sizes["H"], self.sizes["G"]
        if G not in (H, 4 * H):
            gru = "; G=3H is a GRU, which jaxcap lacks" if G == 3 * H else ""
            raise ValueError(
                f"{self.where}{name} has G={G} and H={H}, expected G=H for an RNN or G=4H for an "
                f"LSTM{gru}"
            )


def _checked(tensors: _Tensors) -> tuple[_Arrays, CaptionerConfig]:
    """Take all arrays under the notebook's names, in one dtype, and the captioner's shape."""
    axes = dict(_AXES)
    for more in (_CELL_AXES, _FEED_AXES):
        if tensors.names & set(more):
            axes |= more
    if own := [name for name in tensors.names if name.startswith(CELL_PREFIX)]:
        raise ValueError(
            f"{tensors.where}{min(own)} belongs to a cell that is not built in, which only "
            "checkpoints support: convert a captioner whose cell is lstm or rnn"
        )
    if unknown := tensors.names - set(axes):
        raise ValueError(
            f"{tensors.where}{min(unknown)} is not a parameter of a captioner, expected "
            f"{', '.join(_AXES)} and optionally {', '.join(_CELL_AXES | _FEED_AXES)}; leave it out"
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
    """Convert the order i, f, g, o of the gates to i, f, o, g, or back."""
    i, f, first, second = np.split(x, 4)
    return np.concatenate([i, f, second, first])


def _path(path: str | PathLike[str], suffix: str) -> Path:
    path = Path(path).expanduser()
    if path.suffix != suffix:
        raise ValueError(f"{path}: expected a name that ends in {suffix}")
    return path
