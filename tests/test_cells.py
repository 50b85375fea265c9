"""The built-in cells inside Flax's own RNNs, and the cell that the documentation writes."""

import sys
import textwrap

import draws
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxcap.nn import flax_cells as cells
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits
from jaxcap.nn.flax_cells import LSTMCell, NNXLSTMCell, NNXRNNCell, RNNCell
from jaxcap.nn.linen import find_cell
from jaxcap.nn.recurrent import CellParams, LSTMCarry, RNNCarry, lstm, rnn

N, T, D, H = 3, 5, 4, 6
KINDS = ["rnn", "lstm"]
LINEN = {"rnn": RNNCell, "lstm": LSTMCell}
NNX = {"rnn": NNXRNNCell, "lstm": NNXLSTMCell}
LENGTHS = [T, 2, 4]


def normal(seed, *shape):
    return draws.normal(seed, shape, jnp.float64)


def inputs(kind):
    """Parameters, x (N, T, D) and the initial carry."""
    G = H if kind == "rnn" else 4 * H
    params = CellParams(normal(0, D, G), normal(1, H, G) / 2, normal(2, G))
    carry = RNNCarry(normal(4, N, H)) if kind == "rnn" else LSTMCarry(*normal(4, 2, N, H))
    return params, normal(3, N, T, D), carry


def sequence(kind, params, x, carry):
    """What jaxcap's own functions give."""
    return (rnn if kind == "rnn" else lstm)(params, x, *carry)


def linen_sequence(kind, params, x, carry):
    variables = {"params": {"cell": params._asdict()}}
    module = nn.RNN(LINEN[kind](features=H), return_carry=True)
    return module.apply(variables, x, initial_carry=carry)


def nnx_sequence(kind, params, x, carry):
    cell = NNX[kind](D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    graph, state, rest = nnx.split(nnx.RNN(cell, return_carry=True), nnx.Param, ...)
    nnx.replace_by_pure_dict(state, {"cell": params._asdict()})
    return nnx.merge(graph, state, rest)(x, initial_carry=carry)


def assert_close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12), a, b)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flax_sequence", [linen_sequence, nnx_sequence])
def test_outputs_and_gradients_equal_the_functions(kind, flax_sequence):
    """With respect to parameters, inputs and first carry, from outputs and last carry."""
    args = inputs(kind)
    out, vjp = jax.vjp(lambda *args: flax_sequence(kind, *args), *args)
    expected, expected_vjp = jax.vjp(lambda *args: sequence(kind, *args), *args)
    assert_close(out, expected)
    leaves, structure = jax.tree.flatten(out)
    cotangent = structure.unflatten(normal(9 + k, *x.shape) for k, x in enumerate(leaves))
    assert_close(vjp(cotangent), expected_vjp(cotangent))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_and_time_first(kind):
    params, x, carry = inputs(kind)
    lengths = jnp.array(LENGTHS)
    mask = jnp.arange(T)[None] < lengths[:, None]
    function = rnn if kind == "rnn" else lstm
    last, h = function(params, x, *carry, mask=mask)
    options = {"initial_carry": carry, "seq_lengths": lengths, "return_carry": True}
    variables = {"params": {"cell": params._asdict()}}
    linen = nn.RNN(LINEN[kind](features=H)).apply(variables, x, **options)
    cell = NNX[kind](D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    for name, value in params._asdict().items():
        getattr(cell, name)[...] = value
    for found_last, found in (linen, nnx.RNN(cell)(x, **options)):
        assert_close(found_last, last)
        assert_close(jnp.where(mask[..., None], found, jnp.zeros_like(found)), h)
    time_first = nnx.RNN(cell, time_major=True)(x.swapaxes(0, 1), initial_carry=carry)
    assert_close(time_first.swapaxes(0, 1), sequence(kind, params, x, carry)[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_batch_axes(kind):
    """None and two, as Flax's cells take them."""
    params, x, _ = inputs(kind)
    zeros = (RNNCarry if kind == "rnn" else LSTMCarry)(
        *[jnp.zeros((N, H), jnp.float64)] * (1 if kind == "rnn" else 2)
    )
    expected = sequence(kind, params, x, zeros)[1]
    variables = {"params": {"cell": params._asdict()}}
    module = nn.RNN(LINEN[kind](features=H, param_dtype=jnp.float64))
    assert_close(module.apply(variables, x[0]), expected[0])
    assert_close(module.apply(variables, x[None]), expected[None])


@pytest.mark.parametrize("kind", KINDS)
def test_initial_parameters_and_carry(kind):
    G = H if kind == "rnn" else 4 * H
    shapes = {"Wx": (D, G), "Wh": (H, G), "b": (G,)}
    linen = LINEN[kind](features=H, param_dtype=jnp.bfloat16)
    first = linen.initialize_carry(jax.random.key(0), (N, D))
    variables = linen.init(jax.random.key(0), first, jnp.zeros((N, D), jnp.bfloat16))
    found = NNX[kind](D, H, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    nnx_params = {name: getattr(found, name)[...] for name in shapes}
    for params in (variables["params"], nnx_params):
        assert {name: p.shape for name, p in params.items()} == shapes
        assert {p.dtype for p in params.values()} == {jnp.dtype(jnp.bfloat16)}
        assert not params["b"].any() and params["Wx"].any()
    for carry in (first, found.initialize_carry((N, D))):
        assert type(carry) is (RNNCarry if kind == "rnn" else LSTMCarry)
        for state in carry:
            np.testing.assert_array_equal(state, jnp.zeros((N, H), jnp.bfloat16))


def test_weights_have_the_courses_scale():
    linen = LSTMCell(features=512)
    carry = linen.initialize_carry(jax.random.key(0), (1, 256))
    params = linen.init(jax.random.key(0), carry, jnp.zeros((1, 256)))["params"]
    other = NNXLSTMCell(256, 512, rngs=nnx.Rngs(0))
    for Wx, Wh in ((params["Wx"], params["Wh"]), (other.Wx[...], other.Wh[...])):
        assert float(Wx.std()) == pytest.approx(256**-0.5, rel=0.01)
        assert float(Wh.std()) == pytest.approx(512**-0.5, rel=0.01)


def test_a_drawn_first_carry_in_nnx():
    cell = NNXLSTMCell(D, H, rngs=nnx.Rngs(0))
    draw = nn.initializers.normal(1.0)
    carry = cell.initialize_carry((N, D), nnx.Rngs(1), draw)
    assert carry.h.shape == carry.c.shape == (N, H)
    assert carry.h.any() and not np.allclose(carry.h, carry.c)
    with pytest.raises(ValueError, match="carry_init needs rngs"):
        cell.initialize_carry((N, D), None, draw)


@pytest.mark.slow
def test_an_nnx_layer_learns():
    """A step of gradient descent by NNX's own means lowers the loss."""
    layer = nnx.RNN(NNXLSTMCell(D, H, rngs=nnx.Rngs(0)))
    x = draws.normal(0, (N, T, D))
    loss = lambda layer: jnp.mean((layer(x) - 0.5) ** 2)  # noqa: E731
    before, grads = nnx.value_and_grad(loss)(layer)
    for name in ("Wx", "Wh", "b"):
        weight = getattr(layer.cell, name)
        weight[...] = weight[...] - 0.5 * grads["cell"][name][...]
    assert float(loss(layer)) < float(before)


@pytest.mark.slow
def test_the_documented_cell_is_taken(tmp_path, monkeypatch):
    lines = cells.__doc__.split("`my_cells.py`:\n")[1].split("\nand then")[0]
    (tmp_path / "my_cells.py").write_text(textwrap.dedent(lines))
    monkeypatch.syspath_prepend(tmp_path)
    path = "my_cells:LeakyCell"
    assert f"--cell={path}" in cells.__doc__
    model = CaptionerConfig(11, 7, 5, H, path)
    params = init_params(jax.random.key(0), model)
    assert params["cell/x/kernel"].shape == (5, H)
    words = jnp.ones((N, T), jnp.int32)
    assert logits(params, model, jnp.ones((N, 7)), words).shape == (N, T, 11)
    del sys.modules["my_cells"]
    find_cell.cache_clear()
