"""Cells of a user's: found again by their paths, and refused in one sentence."""

import jax.numpy as jnp
import pytest
from draws import parameters
from own_cells import LeakyCarry, gru, leaky

from jaxcap.nn.cells import LSTM, RNNCarry
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.find_cell import CellError
from jaxcap.nn.one_word import start


def config(cell, **changes):
    return CaptionerConfig(11, 7, 5, 8, cell, **changes)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("gru", "cannot be imported .*No module named 'gru'.*: give lstm, rnn, or the path"),
        ("", "cannot be imported"),
        ("own_cells:Missing", "has no attribute 'Missing'"),
        ("flax.nnx.GRUCell", "neither a .*Cell nor a subclass of flax.linen.RNNCellBase: give"),
        ("os.path.join", "neither a .*Cell nor a subclass"),
        ("flax.linen.ConvLSTMCell", r"cannot be made as ConvLSTMCell\(features=8\) .*kernel_size"),
        ("flax.linen.RNNCellBase", "cannot be made as RNNCellBase"),
        ("own_cells:Broken", "failed with RuntimeError: this cell is broken"),
        ("own_cells:Normed", "has the variables batch_stats, expected only params"),
        ("own_cells:Noisy", "failed with InvalidRngError"),
        ("own_cells:Wide", r"output is float32\[2, 16\], expected an array of shape \(2, 8\)"),
        ("own_cells:Growing", r"float32\[2, 8\] from initialize_carry and \(float32\[2, 8\], "),
        ("own_cells:RowsLast", r"for 2 rows holds int32\[7\], expected the rows first"),
        (
            "own_cells:Anonymous",
            r"no arrays of its carry .* are also its output.* as `\(c, h\), h`",
        ),
        ("own_cells:WideState", r"hidden state is float32\[2, 9\], expected an array of shape"),
    ],
)
def test_a_path_that_does_not_fit_is_refused(cell, message):
    with pytest.raises(CellError, match=f"^`cell={cell}`: .*{message}") as caught:
        config(cell)
    assert "\n" not in str(caught.value)


def wider(a, carry):
    return RNNCarry(jnp.concatenate([a, a], axis=1)), ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gates": 0}, "its gates are 0, expected a whole number, at least 1"),
        ({"start": lambda: 0}, r"start\(h0\) failed with TypeError"),
        ({"start": lambda h0: h0}, r"gives float32\[2, 8\], expected a NamedTuple with .* as h"),
        ({"start": lambda h0: RNNCarry(h0[:, 1:])}, r"the h float32\[2, 7\], expected float32"),
        (
            {"start": lambda h0: LeakyCarry(h0, jnp.zeros((2,), int))},
            r"for 2 rows holds int32\[2\], expected floats with the rows first",
        ),
        ({"update": lambda a, carry: carry}, r"gives RNNCarry.*, expected \(next carry, saved\)"),
        (
            {"update": wider},
            r"carry is RNN.* from start and RNN.* after update, expected",
        ),
        ({"update": lambda a, carry: (carry, a @ a)}, r"update\(a, carry\) failed with TypeError"),
        (
            {"pull_back": lambda saved, before, after, dafter: (dafter.h, dafter)},
            r"pull_back\(saved, before, after, dafter\) gives .*, expected \(float32\[2, 16\]",
        ),
    ],
)
def test_functions_that_do_not_fit_are_refused(change, message):
    with pytest.raises(CellError, match=f"^`cell`: .*{message}") as caught:
        config(gru._replace(**change))
    assert "\n" not in str(caught.value)


def test_a_configuration_is_written_with_the_cells_path():
    for cell, path in ((LSTM, "lstm"), (leaky, "own_cells:leaky"), ("rnn", "rnn")):
        written = config(cell).to_json()
        assert written["cell"] == path
        assert CaptionerConfig(**written).found_cell == config(cell).found_cell
    with pytest.raises(CellError, match="no path by which .*: put it in a module and give Cell"):
        config(gru).to_json()
    for path, message in (
        ("own_cells:leaky", "another cell is at"),
        ("gone:cell", "cannot be impor"),
    ):
        with pytest.raises(CellError, match=f"^`cell={path}`: {message}"):
            config(gru._replace(path=path)).to_json()


def test_a_linen_carry_starts_as_the_cell_says_but_for_the_hidden_state():
    image = jnp.ones((3, 7))
    for cell, hidden, rest in (
        ("flax.linen.LSTMCell", 1, {0: 0}),
        ("own_cells:GatedCell", 0, {1: 1, 2: 0}),
    ):
        model = config(cell)
        params = parameters(model)
        carry = start(params, model, image)
        assert (carry[hidden] == image @ params["W_proj"] + params["b_proj"][None]).all()
        assert all((carry[place] == value).all() for place, value in rest.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_dim": 0}, "`hidden_dim` must be at least 1, got 0"),
        ({"cell": "rnn", "init_cell": True}, "`init_cell` needs `cell=lstm`, got rnn"),
        ({"cell": "flax.linen.LSTMCell", "init_cell": True}, "`init_cell` needs `cell=lstm`"),
        ({"cell": gru, "init_cell": True}, "needs `cell=lstm`, got a Cell without a path"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, got 1.0"),
    ],
)
def test_bad_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        CaptionerConfig(11, 7, **change)
