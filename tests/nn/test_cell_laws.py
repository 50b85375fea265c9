"""A cell is a cell: laws that the RNN, the LSTM and cells of a user's all obey over a sequence.

Masks and transformations are the scan's, which is tried with a backward pass by hand and without.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal
from jax.flatten_util import ravel_pytree
from own_cells import gru, leaky

from jaxcap.nn.cells import LSTM, RNN, CellParams, lstm_init, rnn_init
from jaxcap.nn.gradcheck import gradient_errors
from jaxcap.nn.scan import cell_step, cell_step_plain
from jaxcap.nn.unroll import (
    lstm,
    lstm_plain,
    lstm_step,
    lstm_step_plain,
    rnn,
    rnn_plain,
    rnn_step,
    rnn_step_plain,
    unroll,
    unroll_plain,
)

N, T, D, H = 3, 5, 4, 6
LENGTHS = [T, 2, 0]
BY_LENGTH = jnp.arange(T)[None] < jnp.array(LENGTHS)[:, None]
GAP = BY_LENGTH.at[0, 1].set(False)
# The gated unit has a backward pass of its own, the leaky cell leaves it to autodiff.
CELLS = {"rnn": RNN, "lstm": LSTM, "gru": gru, "leaky": leaky}


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


either_pass = pytest.mark.parametrize("cell", [LSTM, leaky], ids=["by hand", "by autodiff"])


def inputs(cell, dtype=jnp.float64):
    """Parameters, x (N, T, D), and a carry of which every array is random."""
    G = cell.gates * H
    params = CellParams(
        normal(0, (D, G), dtype), normal(1, (H, G), dtype) / 2, normal(2, (G,), dtype)
    )
    carry = random_like(cell.start(jnp.zeros((N, H), dtype)), seed=4)
    return params, normal(3, (N, T, D), dtype), carry


def random_like(tree, seed=9):
    leaves, structure = jax.tree.flatten(tree)
    draws = [normal(seed + k, leaf.shape, leaf.dtype) for k, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, draws)


def pull(f, *args):
    """What f gives, and the gradients of its arguments from random ones of its results."""

    def run(*args):
        out, vjp = jax.vjp(f, *args)
        return out, vjp(random_like(out))

    return jax.jit(run)(*args)


def assert_close(a, b, rtol=1e-11):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-12), a, b)


@pytest.mark.usefixtures("x64")
def test_a_scan_is_a_loop_of_steps_whichever_axis_is_first(cell):
    params, x, first = inputs(cell)
    carry, h = unroll(cell, params, x, first)
    looped = first
    for t in range(T):
        looped, h_t = cell_step(cell, params, looped, x[:, t])
        assert_close(h[:, t], h_t)
    assert_close(carry, looped)
    mask = GAP
    other, h = unroll(cell, params, x.swapaxes(0, 1), first, mask=mask.T, time_major=True)
    assert_close((other, h.swapaxes(0, 1)), unroll(cell, params, x, first, mask=mask))


@pytest.mark.usefixtures("x64")
def test_the_backward_pass_equals_autodiff(cell):
    """From outputs and last carry, to parameters, inputs and first carry."""
    params, x, first = inputs(cell)
    pairs = [
        (partial(unroll, cell, mask=GAP), partial(unroll_plain, cell, mask=GAP), x),
        (partial(cell_step, cell), partial(cell_step_plain, cell), x[:, 0]),
    ]
    for by_hand, plain, x in pairs:
        args = (params, x, first) if x.ndim == 3 else (params, first, x)
        assert_close(pull(by_hand, *args), pull(plain, *args))


@either_pass
@pytest.mark.usefixtures("x64")
def test_the_backward_pass_equals_differences(cell):
    flat, restore = ravel_pytree(inputs(cell))

    def f(flat):
        return unroll(cell, *restore(flat), mask=GAP)

    assert gradient_errors(f, (flat,), random_like(f(flat)))[0] < 1e-7


@either_pass
@pytest.mark.usefixtures("x64")
def test_masked_is_sliced(cell):
    """Every example gives what it gives alone, cut to its length; padding gets no gradient."""
    params, x, first = inputs(cell)
    run = partial(unroll, cell, params)
    (carry, h), vjp = jax.vjp(partial(run, mask=BY_LENGTH), x, first)
    dcarry, dh = random_like((carry, h))
    dx, dfirst = vjp((dcarry, dh))
    for n, length in enumerate(LENGTHS):
        own = lambda tree, rows=slice(n, n + 1): jax.tree.map(lambda a: a[rows], tree)  # noqa: E731
        out, vjp = jax.vjp(run, own(x)[:, :length], own(first))
        assert_close((own(carry), own(h)[:, :length]), out)
        expected = vjp((own(dcarry), own(dh)[:, :length]))
        assert_close((own(dx)[:, :length], own(dfirst)), expected)
        assert not h[n, length:].any() and not dx[n, length:].any()


@either_pass
@pytest.mark.usefixtures("x64")
def test_padding_leaks_nothing(cell):
    """Not even NaN in a padded step reaches the result or a gradient."""
    params, x, first = inputs(cell)
    f = partial(unroll, cell, mask=BY_LENGTH)
    dirty = jnp.where(BY_LENGTH[..., None], x, jnp.nan)

    def clean(x):
        out, (dparams, _, dfirst) = pull(f, params, x, first)
        # A product of zero and NaN, as in that of Wx, is NaN.
        return out, dparams.Wh, dparams.b, dfirst

    assert_close(clean(dirty), clean(x))


@pytest.mark.usefixtures("x64")
def test_transforms_commute():
    """Each transformation equals the same one of the plain scan."""
    params, x, first = inputs(LSTM)

    def results(unroll):
        def f(params, x):
            carry, h = unroll(LSTM, params, x, first, mask=GAP)
            return jnp.sum(h**2) + sum(jnp.sum(jnp.sin(leaf)) for leaf in carry)

        gradient = jax.grad(f, (0, 1))

        def norm(params, x):
            return sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient(params, x)))

        return {
            "vmap": jax.vmap(gradient, (None, 0))(params, jnp.stack([x, -x])),
            "checkpoint": jax.grad(jax.checkpoint(f))(params, x),
            "grad of grad": jax.grad(norm, 1)(params, x),
        }

    found = [jax.jit(partial(results, unroll))() for unroll in (unroll, unroll_plain)]
    assert_close(*found, rtol=1e-9)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_the_dtype_stays(cell, dtype, x64):
    args = inputs(cell, dtype)
    for run in (partial(unroll, cell, mask=BY_LENGTH), partial(unroll_plain, cell)):
        shapes = jax.eval_shape(partial(pull, run), *args)
        assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(dtype)}


def test_bfloat16_is_near_float32():
    args = inputs(LSTM, jnp.float32)
    run = partial(unroll, LSTM, mask=BY_LENGTH)
    short = pull(run, *jax.tree.map(lambda a: a.astype(jnp.bfloat16), args))
    for found, expected in zip(*map(jax.tree.leaves, (short, pull(run, *args))), strict=True):
        scale = float(jnp.abs(expected).max())
        np.testing.assert_allclose(found.astype(jnp.float32), expected, atol=0.06 * scale)


def test_weight_gradients_are_products_after_the_reverse_scan(cell):
    """No loop of the backward pass carries anything of the shape of a weight."""
    params, x, first = inputs(cell, jnp.float32)
    f = lambda params: unroll(cell, params, x, first)[1].sum()  # noqa: E731
    jaxpr = jax.make_jaxpr(jax.grad(f))(params)
    scans = [eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan"]
    assert len(scans) == 2
    for scan in scans:
        carried = scan.outvars[: scan.params["num_carry"]]
        assert {var.aval.shape for var in carried} == {leaf.shape for leaf in first}


@pytest.mark.usefixtures("x64")
def test_forward_mode_is_of_the_plain_functions():
    params, x, first = inputs(LSTM)
    with pytest.raises(TypeError, match="forward-mode autodiff"):
        jax.jvp(lambda x: lstm(params, x, *first)[1], (x,), (x,))
    with pytest.raises(TypeError, match="forward-mode autodiff"):
        jax.jvp(lambda x: lstm_step(params, first, x)[1], (x[:, 0],), (x[:, 0],))
    _, tangent = jax.jvp(lambda x: lstm_plain(params, x, *first)[1], (x,), (x,))
    _, vjp = jax.vjp(lambda x: lstm(params, x, *first)[1], x)
    dh = random_like(tangent)
    assert float(jnp.vdot(tangent, dh)) == pytest.approx(float(jnp.vdot(x, vjp(dh)[0])))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("cell", "whole", "steps"),
    [
        (RNN, (rnn, rnn_plain), (rnn_step, rnn_step_plain)),
        (LSTM, (lstm, lstm_plain), (lstm_step, lstm_step_plain)),
    ],
)
def test_the_named_functions_are_those_of_the_cells(cell, whole, steps):
    params, x, first = inputs(cell)
    for function in whole:
        assert_close(function(params, x, *first), unroll(cell, params, x, first))
    for function in steps:
        assert_close(function(params, first, x[:, 0]), cell_step(cell, params, first, x[:, 0]))
    if cell is LSTM:
        zero = jnp.zeros_like(first.c)
        assert_close(lstm(params, x, first.h), lstm(params, x, first.h, zero))


def test_initial_parameters_have_the_courses_scale():
    Wx, Wh, b = lstm_init(jax.random.key(0), 64, 128)
    assert (Wx.shape, Wh.shape, b.shape) == ((64, 512), (128, 512), (512,))
    assert float(Wx.std()) == pytest.approx(64**-0.5, rel=0.01)
    assert float(Wh.std()) == pytest.approx(128**-0.5, rel=0.01)
    assert not b.any()
    Wx, Wh, b = jax.eval_shape(lambda key: rnn_init(key, 64, 128), jax.random.key(0))
    assert (Wx.shape, Wh.shape, b.shape) == ((64, 128), (128, 128), (128,))
