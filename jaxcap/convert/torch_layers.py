"""PyTorch's layers: import of a state dictionary, and export to one."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from jaxcap.convert.named_arrays import NamedArrays, Source, checked_path
from jaxcap.convert.numpy_arrays import Arrays, check_parameters, from_numpy
from jaxcap.files.whole import replacing
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import Params


@dataclass(frozen=True)
class TorchLayers:
    """Names of the layers of a PyTorch captioner in its state dictionary, with dots.

    Attributes:
        projection: `nn.Linear(D, H)`, from the features to the initial hidden state.
        cell: `nn.Linear(D, H)`, from the features to the initial cell state of the LSTM; without
            this layer that state is zero.
        embedding: `nn.Embedding(V, W)`.
        recurrent: `nn.LSTM(W, H)`, or `nn.RNN(W, H)` with tanh, of one layer and one direction; or
            `nn.LSTMCell` or `nn.RNNCell`.
        vocabulary: `nn.Linear(H, V)`, from the hidden state to the logits.
    """

    projection: str = "proj"
    cell: str = "cell"
    embedding: str = "embed"
    recurrent: str = "rnn"
    vocabulary: str = "vocab"


def from_torch(source: Source, layers: TorchLayers | None = None) -> tuple[Params, CaptionerConfig]:
    """Import the parameters of a PyTorch captioner.

    Args:
        source: its state dictionary as arrays, `{name: x.numpy() for name, x in
            model.state_dict().items()}`, or a safetensors file with it. Tensors of other layers are
            ignored. A layer without a bias (`bias=False`) gets one of zeros.
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
    tensors = NamedArrays(source, "; name the layers by TorchLayers")
    embedding = tensors.take(f"{layers.embedding}.weight", "V W")
    Wh, Wx, b = _take_recurrent(tensors, layers.recurrent)
    if tensors.sizes["G"] == 4 * tensors.sizes["H"]:
        Wx, Wh, b = (_swap_last_gates(x) for x in (Wx, Wh, b))
    arrays = {"W_embed": embedding, "Wx": Wx.T, "Wh": Wh.T, "b": b}
    linear = {"proj": (layers.projection, "H D"), "vocab": (layers.vocabulary, "V H")}
    if f"{layers.cell}.weight" in tensors.names:
        linear["cell"] = (layers.cell, "H D")
    for name, (layer, axes) in linear.items():
        arrays[f"W_{name}"] = tensors.take(f"{layer}.weight", axes).T
        arrays[f"b_{name}"] = tensors.take_bias(f"{layer}.bias", axes[0])
    return from_numpy(arrays)


def _take_recurrent(tensors: NamedArrays, layer: str) -> list[Float[np.ndarray, "..."]]:
    """Take the weights of a recurrent layer or cell and the sum of its biases, zero without any."""
    # nn.LSTMCell and nn.RNNCell have the names of nn.LSTM without the layer's number.
    end = "" if f"{layer}.weight_hh" in tensors.names else "_l0"
    own = [f"{layer}.{name}{end}" for name in ("weight_hh", "weight_ih", "bias_ih", "bias_hh")]
    for name in sorted(tensors.names - set(own)):
        if name.startswith(f"{layer}.weight_hr"):
            raise ValueError(
                f"{tensors.where}{name} projects the hidden state (`proj_size` of nn.LSTM), which "
                "jaxcap lacks: train it without `proj_size`"
            )
        if name.startswith(f"{layer}."):
            raise ValueError(
                f"{tensors.where}{name} belongs to a kind of layer that jaxcap lacks: convert an "
                "nn.LSTM or nn.RNN of one layer and one direction"
            )
    Wh = tensors.take(own[0], "G H")
    tensors.check_cell(own[0])
    Wx = tensors.take(own[1], "G W")
    if tensors.names.isdisjoint(own[2:]):
        return [Wh, Wx, tensors.take_bias(own[2], "G")]
    return [Wh, Wx, tensors.take(own[2], "G") + tensors.take(own[3], "G")]


def to_torch(params: Mapping[str, Any], layers: TorchLayers | None = None) -> Arrays:
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
    arrays, config = check_parameters(NamedArrays(params))
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
    path = checked_path(path, ".safetensors")
    state = to_torch(params, layers)
    with replacing(path) as partial:
        save_file(state, partial)


def _swap_last_gates(x: Float[np.ndarray, "G *K"]) -> Float[np.ndarray, "G *K"]:
    """Convert the order i, f, g, o of the gates to i, f, o, g, or back."""
    i, f, first, second = np.split(x, 4)
    return np.concatenate([i, f, second, first])
