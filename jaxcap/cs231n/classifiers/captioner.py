"""What both captioners of the course have: names, sizes, initial parameters and greedy captions."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxcap.cs231n.arrays import Dict, common_dtype
from jaxcap.data.image import Image
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.cells import CELLS
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.one_word import bind
from jaxcap.nn.parameters import Params

# The order in which the code of the course draws them.
_DRAWN = ("W_embed", "W_proj", "b_proj", "Wx", "Wh", "b", "W_vocab", "b_vocab")


class Captioner:
    """A captioner with its parameters in `params`, under the notebook's names.

    `CaptioningRNN` of `rnn` and of `rnn_pytorch` say what the arguments are.
    """

    def __init__(
        self,
        word_to_idx: Mapping[str, int],
        input_dim: int,
        wordvec_dim: int,
        hidden_dim: int,
        cell_type: str,
        dtype: Any,
        attention: str | None = None,
        grid_dim: int = 0,
    ):
        if "<NULL>" not in word_to_idx:
            raise ValueError("`word_to_idx` lacks <NULL>, the padding of captions: add it")
        if cell_type not in CELLS:
            raise ValueError(f"`cell_type` must be one of {', '.join(CELLS)}, got {cell_type}")
        self.config = CaptionerConfig(
            len(word_to_idx),
            input_dim,
            wordvec_dim,
            hidden_dim,
            cell_type,
            attention=attention,
            grid_dim=grid_dim,
        )
        self.cell_type = cell_type
        self.dtype = dtype
        self.word_to_idx = word_to_idx
        self.idx_to_word = {i: word for word, i in word_to_idx.items()}
        self._null = word_to_idx["<NULL>"]
        self._start = word_to_idx.get("<START>")
        self._end = word_to_idx.get("<END>")
        self.params: Dict[str, Any] = Dict()
        shapes = self.config.parameter_shapes()
        for name in (*_DRAWN, *(name for name in shapes if name not in _DRAWN)):
            shape = shapes[name]
            scale = None if name.startswith("b") else float(np.sqrt(shape[0]))
            self.params[name] = self._initial(shape, 100.0 if name == "W_embed" else scale)

    def _initial(self, shape: tuple[int, ...], scale: float | None) -> Any:
        """Draw from the standard normal distribution over `scale`, or make zeros without one."""
        raise NotImplementedError

    def _array(self, value: Any) -> np.ndarray:
        """Convert a parameter or an argument to a NumPy array."""
        return np.asarray(value)

    def _arrays(self, features: Any) -> tuple[dict[str, np.ndarray], Image]:
        """Convert the parameters and the features to NumPy arrays of one dtype."""
        image = features if isinstance(features, Image) else Image(features)
        pooled = self._array(image.pooled)
        check_features(pooled, self.config.feature_dim)
        if self.config.attention is None:
            image = image._replace(grid=None, grid_mask=None)
        else:
            check_image_grid(image, len(pooled), self.config.grid_dim)
        params = {name: self._array(value) for name, value in self.params.items()}
        dtype = common_dtype(pooled, *params.values())
        params = {name: value.astype(dtype, copy=False) for name, value in params.items()}
        return params, image._replace(pooled=pooled.astype(dtype, copy=False))

    def _greedy(self, features: Any, max_length: int) -> Int[np.ndarray, "N T"]:
        if self._start is None or self._end is None:
            missing = "<START>" if self._start is None else "<END>"
            raise ValueError(f"`word_to_idx` lacks {missing}, which sampling needs: add it")
        rules = Rules(self._start, self._end, max_length=max_length)
        params, image = self._arrays(features)
        with jax.enable_x64(True):
            return np.array(_sample(params, self.config, image, rules))


def check_features(features: Any, width: int) -> None:
    """Raise a ValueError unless features have the shape (N, width)."""
    if features.ndim != 2 or features.shape[1] != width:
        raise ValueError(
            f"`features` has shape {tuple(features.shape)}, expected (N, {width}), one row an "
            "image; for one image use features[None]"
        )


def check_image_grid(image: Image, num: int, width: int) -> None:
    """Raise a ValueError unless an image has a grid of the shape (num, L, width)."""
    if image.grid is None:
        raise ValueError(
            "`features` has no grid, to which the captioner attends: give `jaxcap.Image(pooled, "
            "grid)` in place of an array"
        )
    shape = np.shape(image.grid)
    if len(shape) != 3 or shape[::2] != (num, width):
        raise ValueError(
            f"the grid of `features` has shape {shape}, expected ({num}, L, {width}), L places for "
            "each row of the pooled features"
        )


def check_captions(captions: Any, images: int) -> None:
    """Raise a ValueError unless captions have the shape (images, T), with a word to predict."""
    if captions.ndim != 2 or len(captions) != images or captions.shape[1] < 2:
        raise ValueError(
            f"`captions` has shape {tuple(captions.shape)}, expected ({images}, T) with T of 2 or "
            "more, one row for each row of `features`"
        )


@partial(jax.jit, static_argnames=("config", "rules"))
def _sample(params: Params, config: CaptionerConfig, image: Image, rules: Rules) -> Array:
    one, carry = bind(params, config, image)
    return jnp.asarray(Greedy(scored=False).write(one, carry, rules, image.num).ids[:, 0])
