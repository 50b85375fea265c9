"""Parameters under the notebook's names: dictionaries and npz files."""

from collections.abc import Mapping
from os import PathLike
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxcap.convert.named_arrays import NamedArrays, Source, checked_path
from jaxcap.files.whole import replacing
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.linen_cell import CELL_PREFIX
from jaxcap.nn.parameters import Params

Arrays = dict[str, Float[np.ndarray, "..."]]

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
    arrays, config = check_parameters(NamedArrays(source))
    return {name: jnp.asarray(array) for name, array in arrays.items()}, config


def to_npz(path: str | PathLike[str], params: Mapping[str, Any]) -> None:
    """Write parameters to a file for `from_numpy` and for `np.load` in a notebook.

    bfloat16, which npz files do not support, is written as float32.

    Raises:
        ValueError: the path does not end in `.npz`, or the parameters are not of a captioner.
    """
    path = checked_path(path, ".npz")
    arrays, _ = check_parameters(NamedArrays(params))
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]  (its allow_pickle)


def check_parameters(tensors: NamedArrays) -> tuple[Arrays, CaptionerConfig]:
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
    if "W_grid" in tensors.names:
        raise ValueError(
            f"{tensors.where}W_grid belongs to a captioner with `attention`, which only "
            "checkpoints support: convert one without"
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
