"""Named arrays from a dictionary or a file, each checked when it is taken."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxcap.files.tensors import read_all_tensors
from jaxcap.files.text import list_names

Source = Mapping[str, Any] | str | PathLike[str]
"""Arrays by name, or an `.npz` or `.safetensors` file with them."""


class NamedArrays:
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

    def take_bias(self, name: str, axis: str) -> Float[np.ndarray, "..."]:
        """Take the bias `name`, of an axis whose size is known; zeros for a layer without bias."""
        if name in self.names:
            return self.take(name, axis)
        return np.zeros(self.sizes[axis], np.float32)

    def check_cell(self, name: str) -> None:
        """Check that the array `name`, taken as `Wh`, is of an RNN or an LSTM."""
        H, G = self.sizes["H"], self.sizes["G"]
        if G not in (H, 4 * H):
            gru = "; G=3H is a GRU, which jaxcap lacks" if G == 3 * H else ""
            raise ValueError(
                f"{self.where}{name} has G={G} and H={H}, expected G=H for an RNN or G=4H for an "
                f"LSTM{gru}"
            )


def checked_path(path: str | PathLike[str], suffix: str) -> Path:
    """Expand the path of a file to write, whose name must end in a suffix."""
    path = Path(path).expanduser()
    if path.suffix != suffix:
        raise ValueError(f"{path}: expected a name that ends in {suffix}")
    return path
