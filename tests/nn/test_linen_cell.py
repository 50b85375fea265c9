"""Captioners with cells that are not built in: against Flax's own RNN, by words, and refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids
from flax.traverse_util import unflatten_dict

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import decode, sample
from jaxcap.decoding.strategies import Greedy
from jaxcap.nn.captioner import (
    Captioner,
    CaptionerConfig,
    caption_loss,
    init_params,
    logits,
    start,
    step,
)
from jaxcap.nn.linen import CellError, find_cell

N, T, D, V, W, H = 3, 6, 7, 11, 5, 8
FLAX = ["GRUCell", "LSTMCell", "OptimizedLSTMCell", "MGUCell", "SimpleCell"]
CELLS = [
    *(f"flax.linen.{name}" for name in FLAX),
    "own_cells:GatedCell",
    "jaxcap.nn.flax_cells.LSTMCell",
]


def config(cell, **changes):
    return CaptionerConfig(V, D, W, H, cell, **changes)


def example(dtype=jnp.float32):
    captions = word_ids(2, (N, T + 1), 4, V)
    captions = captions.at[:, 0].set(1).at[0, 3].set(2).at[0, 4:].set(0)
    return normal(1, (N, D), dtype), captions


# Compiled whole, which takes less time than operation by operation.
compiled_logits = jax.jit(logits, static_argnums=1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("name", FLAX)
def test_equals_flaxs_rnn_from_the_features(name):
    """The logits, with the cell in `flax.linen.RNN` and h0 in the place where that cell has h."""
    model = config(f"flax.linen.{name}")
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)
    h0 = features @ params["W_proj"] + params["b_proj"][None]
    first = (jnp.zeros_like(h0), h0) if "LSTM" in name else h0
    tree = unflatten_dict({k: v for k, v in params.items() if k.startswith("cell/")}, sep="/")
    assert tree["cell"]
    rnn = nn.RNN(getattr(nn, name)(features=H))
    h = rnn.apply({"params": tree}, params["W_embed"][captions], initial_carry=first)
    expected = h @ params["W_vocab"] + params["b_vocab"][None, None]
    found = compiled_logits(params, model, features, captions)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_stepwise_equals_whole_sequence(cell):
    model = config(cell)
    params = init_params(jax.random.key(0), model, jnp.float64)
    features, captions = example(jnp.float64)
    whole = compiled_logits(params, model, features, captions)
    carry = start(params, model, features)
    for t in range(T + 1):
        carry, one = step(params, model, carry, captions[:, t])
        # Logits are sums, of which one may cancel to far less than the rounding of its terms.
        np.testing.assert_allclose(one, whole[:, t], rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_are_flat_and_the_cells_own(cell):
    model = config(cell)
    params = init_params(jax.random.key(0), model)
    own = {name: value for name, value in params.items() if name.startswith("cell/")}
    rest = {"W_proj", "b_proj", "W_embed", "W_vocab", "b_vocab"}
    assert params.keys() - own.keys() == rest
    assert {name: p.shape for name, p in params.items()} == model.parameter_shapes()
    found = find_cell(cell, W, H).module
    carry = found.initialize_carry(jax.random.key(0), (N, W))
    variables = found.init(jax.random.key(0), carry, jnp.zeros((N, W)))
    shapes = unflatten_dict({name: value.shape for name, value in own.items()}, sep="/")
    assert shapes["cell"] == jax.tree.map(jnp.shape, variables["params"])
    if cell == "flax.linen.GRUCell":
        assert own["cell/hr/kernel"].shape == (H, H)
        # As Flax draws it, which is orthogonal.
        kernel = own["cell/hr/kernel"]
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(H), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_every_parameter_learns(cell):
    model = config(cell)
    params = init_params(jax.random.key(0), model)
    features, captions = example()
    loss = lambda p: caption_loss(p, model, Batch(Image(features), captions)).per_caption  # noqa: E731
    grads = jax.jit(jax.grad(loss))(params)
    assert all(np.isfinite(g).all() and g.any() for g in jax.tree.leaves(grads))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_jaxcaps_lstm_by_its_path_equals_the_built_in_one():
    """Losses, and gradients of all parameters, with the cell's under their other names."""
    built_in, by_path = (
        config("lstm", dropout=0.3),
        config(OURS, dropout=0.3),
    )
    params = init_params(jax.random.key(0), built_in, jnp.float64)
    features, captions = example(jnp.float64)

    def gradient(params, model):
        def loss(p):
            batch = Batch(Image(features), captions)
            return caption_loss(p, model, batch, jax.random.key(3)).per_caption

        return jax.jit(jax.value_and_grad(loss))(params)

    renamed = {f"cell/{k}" if k in ("Wx", "Wh", "b") else k: v for k, v in params.items()}
    (loss, grads), (other_loss, other) = gradient(params, built_in), gradient(renamed, by_path)
    assert float(loss) == pytest.approx(float(other_loss), rel=1e-12)
    for name, value in grads.items():
        same = other[name if name in other else f"cell/{name}"]
        np.testing.assert_allclose(value, same, rtol=1e-10, atol=1e-14)


def test_the_carry_starts_as_the_cell_says_but_for_the_hidden_state():
    features, _ = example()
    for cell, hidden, rest in (
        ("flax.linen.LSTMCell", lambda carry: carry[1], {0: 0.0}),
        ("own_cells:GatedCell", lambda carry: carry.h, {1: 1.0, 2: 0}),
    ):
        model = config(cell)
        params = init_params(jax.random.key(0), model)
        carry = start(params, model, features)
        h0 = features @ params["W_proj"] + params["b_proj"][None]
        np.testing.assert_array_equal(hidden(carry), h0)
        for place, value in rest.items():
            np.testing.assert_array_equal(carry[place], jnp.full_like(carry[place], value))


@pytest.mark.usefixtures("x64")
def test_module_equals_functions():
    model = config("flax.linen.GRUCell")
    features, captions = example(jnp.float64)
    module = Captioner(model, param_dtype=jnp.float64)
    variables = module.init(jax.random.key(0), features, captions)
    assert {k: p.shape for k, p in variables["params"].items()} == model.parameter_shapes()
    assert {p.dtype for p in jax.tree.leaves(variables)} == {jnp.dtype("float64")}
    np.testing.assert_array_equal(
        module.apply(variables, features, captions),
        logits(variables["params"], model, features, captions),
    )


@pytest.mark.parametrize(
    "cell",
    [pytest.param("flax.linen.GRUCell", marks=pytest.mark.slow), "own_cells:GatedCell"],
)
def test_decodes_greedily_and_by_beams(cell):
    """Greedy equals a loop over the logits of what was written; one beam equals greedy."""
    model = config(cell)
    params = init_params(jax.random.key(0), model)
    params["W_embed"] *= 100
    features = normal(5, (4, D))
    found = sample(params, model, features, max_length=T)
    # What stands after a word does not change its logits.
    words = np.zeros((4, T + 1), np.int32)
    words[:, 0] = 1
    for t in range(T):
        best = np.asarray(compiled_logits(params, model, features, jnp.asarray(words)))[:, t]
        ended = (words[:, 1:] == 2).any(axis=1)
        words[:, t + 1] = np.where(ended, 0, best.argmax(axis=1))
    np.testing.assert_array_equal(found.ids, words[:, 1:])
    one = decode(params, model, features, Beam(1), max_length=T)
    np.testing.assert_array_equal(one.ids[:, 0], found.ids)
    both = decode((params,) * 2, (model,) * 2, features, Beam(3), max_length=T)
    alone = decode(params, model, features, Beam(3), max_length=T)
    np.testing.assert_array_equal(both.ids, alone.ids)


def test_an_ensemble_may_mix_cells():
    models = (config("lstm"), config("flax.linen.GRUCell"))
    params = tuple(init_params(jax.random.key(k), model) for k, model in enumerate(models))
    features, _ = example()
    found = decode(params, models, features, Greedy(), max_length=1)
    words = jnp.ones((N, 1), jnp.int32)
    pairs = zip(params, models, strict=True)
    each = [jax.nn.softmax(logits(*pair, features, words)[:, 0]) for pair in pairs]
    np.testing.assert_array_equal(found.ids[:, 0, 0], sum(each).argmax(axis=1))


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("gru", "cannot be imported .*No module named 'gru'.*: give lstm, rnn, or the path"),
        ("", "cannot be imported"),
        ("own_cells:Missing", "has no attribute 'Missing'"),
        ("flax.nnx.GRUCell", "is no subclass of flax.linen.RNNCellBase: give"),
        ("os.path.join", "is no subclass of flax.linen.RNNCellBase"),
        ("flax.linen.ConvLSTMCell", r"cannot be made as ConvLSTMCell\(features=8\) .*kernel_size"),
        ("flax.linen.RNNCellBase", "cannot be made as RNNCellBase"),
        ("own_cells:Broken", "failed, RuntimeError: this cell is broken"),
        ("own_cells:Normed", "has the variables batch_stats, expected params alone"),
        ("own_cells:Noisy", "failed, InvalidRngError"),
        ("own_cells:Wide", r"output is float32\[2, 16\], expected an array of shape \(2, 8\)"),
        ("own_cells:Growing", r"float32\[2, 8\] from initialize_carry and \(float32\[2, 8\], "),
        ("own_cells:RowsLast", r"for 2 rows holds int32\[7\], expected the rows first"),
        ("own_cells:Anonymous", r"has no arrays that it also returns .* as `\(c, h\), h`"),
        ("own_cells:WideState", r"hidden state is float32\[2, 9\], expected an array of shape"),
    ],
)
def test_a_cell_that_does_not_fit_is_refused(cell, message):
    with pytest.raises(CellError, match=f"^--cell={cell}: .*{message}") as caught:
        config(cell)
    assert "\n" not in str(caught.value)


def test_the_cell_state_of_another_cell_cannot_start_from_the_features():
    with pytest.raises(ValueError, match="init_cell needs the cell lstm, got flax.linen.LSTMCell"):
        config("flax.linen.LSTMCell", init_cell=True)
