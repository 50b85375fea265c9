"""The built-in cells inside Flax's own RNNs, and cells of Flax and of the documentation."""

import sys
import textwrap

import draws
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.traverse_util import unflatten_dict

from jaxcap.nn import cells, flax_cells
from jaxcap.nn.captioner import logits
from jaxcap.nn.cells import LSTM, RNN, CellParams
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.find_cell import find_cell
from jaxcap.nn.flax_cells import LSTMCell, NNXLSTMCell, NNXRNNCell, RNNCell
from jaxcap.nn.unroll import unroll

N, T, D, H = 3, 5, 4, 6
LENGTHS = np.array([T, 2, 4])
FLAX = {"rnn": (RNN, RNNCell, NNXRNNCell), "lstm": (LSTM, LSTMCell, NNXLSTMCell)}


def normal(seed, *shape):
    return draws.normal(seed, shape, jnp.float64)


def inputs(cell):
    G = cell.gates * H
    carry = jax.tree.map(lambda leaf: normal(4, *leaf.shape), cell.start(normal(4, N, H)))
    return CellParams(normal(0, D, G), normal(1, H, G) / 2, normal(2, G)), normal(3, N, T, D), carry


def linen_sequence(cell, params, x, carry):
    module = nn.RNN(cell(features=H), return_carry=True)
    variables = {"params": {"cell": params._asdict()}}
    return module.apply(variables, x, initial_carry=carry, seq_lengths=jnp.asarray(LENGTHS))


def nnx_sequence(cell, params, x, carry):
    made = cell(D, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    graph, state, rest = nnx.split(nnx.RNN(made, return_carry=True), nnx.Param, ...)
    nnx.replace_by_pure_dict(state, {"cell": params._asdict()})
    return nnx.merge(graph, state, rest)(x, initial_carry=carry, seq_lengths=jnp.asarray(LENGTHS))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", FLAX)
def test_outputs_and_gradients_are_those_of_the_functions(kind):
    """With respect to parameters, inputs and first carry, from outputs and last carry."""
    cell, linen, of_nnx = FLAX[kind]
    mask = jnp.arange(T)[None] < LENGTHS[:, None]

    def pull(sequence, made):
        def f(*args):
            carry, h = sequence(made, *args)
            return carry, jnp.where(mask[..., None], h, jnp.zeros_like(h))

        def run(*args):
            out, vjp = jax.vjp(f, *args)
            return out, vjp(jax.tree.map(jnp.cos, out))

        return jax.jit(run)(*inputs(cell))

    expected = pull(lambda cell, *args: unroll(cell, *args, mask=mask), cell)
    for found in (pull(linen_sequence, linen), pull(nnx_sequence, of_nnx)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11), found, expected)


@pytest.mark.parametrize("kind", FLAX)
def test_parameters_carries_and_any_number_of_batch_axes(kind):
    cell, linen, of_nnx = FLAX[kind]
    shapes = {"Wx": (D, cell.gates * H), "Wh": (H, cell.gates * H), "b": (cell.gates * H,)}
    linen = linen(features=H, param_dtype=jnp.bfloat16)
    first, x = linen.initialize_carry(jax.random.key(0), (2, N, D)), jnp.ones((2, N, D), "bfloat16")
    (carry, h), variables = jax.eval_shape(linen.init_with_output, jax.random.key(0), first, x)
    made = of_nnx(D, H, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    for params in (variables["params"], {name: getattr(made, name)[...] for name in shapes}):
        assert {name: p.shape for name, p in params.items()} == shapes
        assert {p.dtype for p in params.values()} == {jnp.dtype(jnp.bfloat16)}
    assert made.Wx[...].any() and not made.b[...].any()
    assert h.shape == carry.h.shape == (2, N, H) and h.dtype == jnp.bfloat16
    for zeros in (first, made.initialize_carry((2, N, D))):
        assert type(zeros) is type(carry) and not any(leaf.any() for leaf in zeros)
    drawn = made.initialize_carry((N, D), nnx.Rngs(1), nn.initializers.normal(1.0))
    assert all(leaf.any() for leaf in drawn)
    with pytest.raises(ValueError, match="`carry_init` draws random numbers: give `rngs` too"):
        made.initialize_carry((N, D), None, nn.initializers.normal(1.0))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", ["GRUCell", "OptimizedLSTMCell"])
def test_a_captioner_of_flaxs_cell_is_flaxs_rnn_from_the_features(name):
    """The logits, with the cell in `flax.linen.RNN` and h0 in the place where that cell has h."""
    config = CaptionerConfig(11, 7, D, H, f"flax.linen.{name}")
    params = draws.parameters(config, jnp.float64)
    features, words = normal(1, N, 7), draws.word_ids(2, (N, T), 0, 11)
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    first = (jnp.zeros_like(h0), h0) if "LSTM" in name else h0
    tree = unflatten_dict({k: v for k, v in params.items() if k.startswith("cell/")}, sep="/")
    h = nn.RNN(getattr(nn, name)(features=H)).apply(
        {"params": tree}, params["W_embed"][words], initial_carry=first
    )
    expected = h @ params["W_vocab"] + params["b_vocab"][None, None]
    np.testing.assert_allclose(logits(params, config, features, words), expected, rtol=1e-11)


def test_a_linen_cell_draws_its_own_parameters():
    params = find_cell("flax.linen.GRUCell", D, H).init(jax.random.key(0))
    kernel = params["cell/hr/kernel"]
    # Orthogonal, as Flax has it.
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(H), atol=1e-5)


@pytest.mark.parametrize(("module", "name"), [(flax_cells, "LeakyCell"), (cells, "leaky")])
def test_the_documented_cells_are_taken(module, name, tmp_path, monkeypatch):
    text = module.__doc__.split("`my_cells.py`:\n")[1].split("\nand then")[0]
    (tmp_path / "my_cells.py").write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(tmp_path)
    path = f"my_cells:{name}"
    assert f"--cell={path}" in module.__doc__
    config = CaptionerConfig(11, 7, D, H, path)
    params = draws.parameters(config)
    shapes = jax.eval_shape(lambda: logits(params, config, jnp.ones((N, 7)), jnp.ones((N, T), int)))
    assert shapes.shape == (N, T, 11)
    del sys.modules["my_cells"]
    find_cell.cache_clear()
