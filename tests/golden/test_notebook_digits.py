"""The numbers that the course's notebooks print, from their own inputs, in float64.

Once from the library's functions, once from the course's own, which `jaxcap.cs231n` has, and once
from those of 2025, on PyTorch's tensors.
"""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest
from notebook_digits import (
    LOSS,
    LSTM_LOSS_ERROR,
    SEQUENCE,
    SEQUENCE_ERROR,
    STEP,
    STEP_ERRORS,
)

from jaxcap.cs231n import rnn_layers
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.cells import CELLS, CellParams
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.gradcheck import rel_error
from jaxcap.nn.scan import cell_step
from jaxcap.nn.unroll import unroll

pytestmark = [
    pytest.mark.usefixtures("x64"),
    pytest.mark.parametrize("cell", ["rnn", "lstm"]),
    pytest.mark.parametrize("where", ["library", "cs231n", "pytorch"]),
]


@pytest.fixture(autouse=True)
def torch(where):
    if where == "pytorch":
        return pytest.importorskip("torch", reason="it runs on PyTorch, which is missing")
    return None


def forward(name, where, *arrays):
    """What a function of the course gives, as NumPy arrays, without a cache."""
    if where == "cs231n":
        return getattr(rnn_layers, name)(*arrays)[:-1]
    on_tensors = importlib.import_module("jaxcap.cs231n.rnn_layers_pytorch")
    found = getattr(on_tensors, name)(*map(on_tensors.torch.from_numpy, arrays))
    return [tensor.numpy() for tensor in (found if isinstance(found, tuple) else [found])]


def linspace(start, stop, *shape):
    return np.linspace(start, stop, num=np.prod(shape)).reshape(shape)


def test_a_step(cell, where):
    if cell == "rnn":
        N, D, H = 3, 10, 4
        states = [linspace(-0.2, 0.5, N, H)]
        x = linspace(-0.4, 0.7, N, D)
        weights = linspace(-0.1, 0.9, D, H), linspace(-0.3, 0.7, H, H), linspace(-0.2, 0.4, H)
    else:
        N, D, H = 3, 4, 5
        states = [linspace(-0.3, 0.7, N, H), linspace(-0.4, 0.9, N, H)]
        x = linspace(-0.4, 1.2, N, D)
        G = 4 * H
        weights = linspace(-2.1, 1.3, D, G), linspace(-0.7, 2.2, H, G), linspace(0.3, 0.7, G)
    if where != "library":
        found = forward(f"{cell}_step_forward", where, x, *states, *weights)
    else:
        first = CELLS[cell].start(*map(jnp.asarray, states))
        params = CellParams(*map(jnp.asarray, weights))
        found, h = cell_step(CELLS[cell], params, first, jnp.asarray(x))
        np.testing.assert_array_equal(h, found.h)
    errors = [rel_error(a, b) for a, b in zip(STEP[cell], found, strict=True)]
    assert errors == pytest.approx(STEP_ERRORS[cell], rel=1e-6)


def test_a_sequence(cell, where):
    if cell == "rnn":
        N, T, D, H = 2, 3, 4, 5
        x, h0 = linspace(-0.1, 0.3, N, T, D), linspace(-0.3, 0.1, N, H)
        weights = linspace(-0.2, 0.4, D, H), linspace(-0.4, 0.1, H, H), linspace(-0.7, 0.1, H)
    else:
        N, T, D, H = 2, 3, 5, 4
        x, h0, G = linspace(-0.4, 0.6, N, T, D), linspace(-0.4, 0.8, N, H), 4 * H
        weights = linspace(-0.2, 0.9, D, G), linspace(-0.3, 0.6, H, G), linspace(0.2, 0.7, G)
    if where != "library":
        (h,) = forward(f"{cell}_forward", where, x, h0, *weights)
    else:
        first, params = CELLS[cell].start(jnp.asarray(h0)), CellParams(*map(jnp.asarray, weights))
        _, h = unroll(CELLS[cell], params, jnp.asarray(x), first)
    assert rel_error(SEQUENCE[cell], h) == pytest.approx(SEQUENCE_ERROR[cell], rel=1e-6)


def test_the_loss_of_a_captioner(cell, where, torch):
    """The notebook's vocabulary has ids 0, 2, 3 and V = 3; its captions run through 0, 1, 2."""
    N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
    features = linspace(-0.5, 1.7, N, D) if cell == "lstm" else linspace(-1.5, 0.3, N, D)
    captions = (np.arange(N * T) % V).reshape(N, T)
    if where == "cs231n":
        words = {"<NULL>": 0, "cat": 2, "dog": 3}
        model = CaptioningRNN(words, D, W, H, cell_type=cell, dtype=np.float64)
        for name, value in model.params.iteritems():
            model.params[name] = linspace(-1.4, 1.3, *value.shape)
        loss, grads = model.loss(features, captions)
        assert {name: grad.shape for name, grad in grads.items()} == {
            name: value.shape for name, value in model.params.items()
        }
    elif where == "pytorch":
        made = importlib.import_module("jaxcap.cs231n.classifiers.rnn_pytorch").CaptioningRNN
        model = made({"<NULL>": 0, "cat": 2, "dog": 3}, D, W, H, cell, torch.float64)
        for name, value in model.params.items():
            model.params[name] = torch.from_numpy(linspace(-1.4, 1.3, *value.shape))
        loss = model.loss(torch.from_numpy(features), torch.from_numpy(captions)).item()
    else:
        config = CaptionerConfig(V, D, W, H, cell=cell)
        shapes = config.parameter_shapes()
        params = {name: jnp.asarray(linspace(-1.4, 1.3, *shapes[name])) for name in shapes}
        batch = Batch(Image(jnp.asarray(features)), jnp.asarray(captions))
        loss = float(caption_loss(params, config, batch).per_caption)
    assert abs(loss - LOSS[cell]) < 1e-10
    if cell == "lstm":
        # What the notebook prints.
        assert abs(loss - LOSS[cell]) == pytest.approx(LSTM_LOSS_ERROR, abs=5e-14)
