"""The handwritten backward passes against autodiff, loops, slices and numerical differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal

from jaxcap.nn.gradcheck import gradient_errors
from jaxcap.nn.recurrent import (
    CellParams,
    LSTMCarry,
    RNNCarry,
    lstm,
    lstm_plain,
    lstm_step,
    lstm_step_plain,
    rnn,
    rnn_plain,
    rnn_step,
    rnn_step_plain,
)

N, T, D, H = 3, 5, 4, 6
CELLS = ["rnn", "lstm"]


def inputs(cell, dtype=jnp.float64):
    """Parameters, x (N, T, D) and the initial states of a cell."""
    G = H if cell == "rnn" else 4 * H
    params = CellParams(
        normal(0, (D, G), dtype), normal(1, (H, G), dtype) / 2, normal(2, (G,), dtype)
    )
    x = normal(3, (N, T, D), dtype)
    states = tuple(normal(4 + k, (N, H), dtype) for k in range(1 if cell == "rnn" else 2))
    return params, x, states


def sequence(cell, plain=False):
    """`f(params, x, states, mask) -> (carry, h)` of a cell."""
    function = {"rnn": (rnn, rnn_plain), "lstm": (lstm, lstm_plain)}[cell][plain]
    return lambda params, x, states, mask=None: function(params, x, *states, mask=mask)


def masks():
    """Every length from 0 to T occurs, and a mask with a gap."""
    lengths = jnp.array([T, 2, 0])
    by_length = jnp.arange(T)[None] < lengths[:, None]
    return {"none": None, "lengths": by_length, "gap": by_length.at[0, 1].set(False)}


def assert_close(a, b, rtol=1e-11):
    jax.tree.map(partial(np.testing.assert_allclose, rtol=rtol, atol=1e-12), a, b)


def random_like(tree, seed=9):
    leaves, structure = jax.tree.flatten(tree)
    draws = [normal(seed + k, leaf.shape, leaf.dtype) for k, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, draws)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_step_gradient_equals_autodiff(cell):
    params, x, states = inputs(cell)
    step, plain, carry = {
        "rnn": (rnn_step, rnn_step_plain, RNNCarry),
        "lstm": (lstm_step, lstm_step_plain, LSTMCarry),
    }[cell]
    args = (params, carry(*states), x[:, 0])
    out, vjp = jax.vjp(step, *args)
    expected, expected_vjp = jax.vjp(plain, *args)
    assert_close(out, expected)
    cotangent = random_like(out)
    assert_close(vjp(cotangent), expected_vjp(cotangent))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mask", [pytest.param("none", marks=pytest.mark.slow), "lengths", "gap"])
def test_gradient_equals_autodiff_with_respect_to_outputs_and_final_carry(cell, mask):
    params, x, states = inputs(cell)
    mask = masks()[mask]
    out, vjp = jax.vjp(partial(sequence(cell), mask=mask), params, x, states)
    expected, expected_vjp = jax.vjp(
        partial(sequence(cell, plain=True), mask=mask), params, x, states
    )
    assert_close(out, expected)
    cotangent = random_like(out)
    assert_close(vjp(cotangent), expected_vjp(cotangent))


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_gradient_equals_differences_with_mask_and_final_carry(cell):
    params, x, states = inputs(cell)
    f = partial(sequence(cell), mask=masks()["gap"])
    errors = gradient_errors(f, (params, x, states), random_like(f(params, x, states)))
    assert max(jax.tree.leaves(errors)) < 1e-7, errors


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_scan_equals_loop_of_steps(cell):
    params, x, states = inputs(cell)
    carry, h = sequence(cell)(params, x, states)
    step = rnn_step if cell == "rnn" else lstm_step
    looped = (RNNCarry if cell == "rnn" else LSTMCarry)(*states)
    for t in range(T):
        looped, h_t = step(params, looped, x[:, t])
        assert_close(h[:, t], h_t)
    assert_close(carry, looped)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_masked_equals_sliced(cell):
    """Every example gives what it gives alone, cut to its length; padding gets no gradient."""
    params, x, states = inputs(cell)
    f = partial(sequence(cell), mask=masks()["lengths"])
    (carry, h), vjp = jax.vjp(f, params, x, states)
    dcarry, dh = random_like((carry, h))
    _, dx, dstates = vjp((dcarry, dh))
    for n, length in enumerate([T, 2, 0]):
        one = jnp.array([n])
        alone = partial(sequence(cell), params)
        out, alone_vjp = jax.vjp(alone, x[one, :length], tuple(s[one] for s in states))
        assert_close((jax.tree.map(lambda a, n=one: a[n], carry), h[one, :length]), out)
        np.testing.assert_array_equal(h[n, length:], 0)
        np.testing.assert_array_equal(dx[n, length:], 0)
        cotangent = (jax.tree.map(lambda a, n=one: a[n], dcarry), dh[one, :length])
        expected = alone_vjp(cotangent)
        assert_close((dx[one, :length], tuple(d[one] for d in dstates)), expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_padding_cannot_leak(cell):
    """Not even NaN in a padded step reaches the result or a gradient."""
    params, x, states = inputs(cell)
    mask = masks()["lengths"]
    dirty = jnp.where(mask[..., None], x, jnp.nan)
    f = partial(sequence(cell), mask=mask)
    assert_close(f(params, dirty, states), f(params, x, states))
    cotangent = random_like(f(params, x, states))
    dstates = jax.vjp(partial(f, params), dirty, states)[1](cotangent)[1]
    assert_close(dstates, jax.vjp(partial(f, params), x, states)[1](cotangent)[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_time_major_is_a_transpose(cell):
    params, x, states = inputs(cell)
    mask = masks()["gap"]
    unroll = rnn if cell == "rnn" else lstm
    carry, h = unroll(params, x, *states, mask=mask)
    carry_t, h_t = unroll(params, x.swapaxes(0, 1), *states, mask=mask.T, time_major=True)
    assert_close((carry, h), (carry_t, h_t.swapaxes(0, 1)))


@pytest.mark.usefixtures("x64")
def test_cell_state_is_zero_unless_given():
    params, x, (h0, c0) = inputs("lstm")
    assert_close(lstm(params, x, h0), lstm(params, x, h0, jnp.zeros_like(c0)))
    assert not np.allclose(lstm(params, x, h0)[1], lstm(params, x, h0, c0)[1])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mask", [pytest.param("none", marks=pytest.mark.slow), "gap"])
@pytest.mark.parametrize(
    "transform", ["jit", "vmap", "checkpoint", pytest.param("grad of grad", marks=pytest.mark.slow)]
)
def test_composes(cell, mask, transform):
    """Each transformation of the sequence equals the same one of the plain scan."""
    params, x, states = inputs(cell)
    mask = masks()[mask]

    def loss(plain, params, x):
        carry, h = sequence(cell, plain)(params, x, states, mask)
        return jnp.sum(h**2) + sum(jnp.sum(jnp.sin(leaf)) for leaf in carry)

    def result(plain):
        f = partial(loss, plain)
        if transform == "jit":
            return jax.jit(jax.value_and_grad(f, (0, 1)))(params, x)
        if transform == "vmap":
            many = jnp.stack([x, 2 * x, -x])
            return jax.jit(jax.vmap(jax.grad(f, (0, 1)), in_axes=(None, 0)))(params, many)
        if transform == "checkpoint":
            return jax.jit(jax.grad(jax.checkpoint(f), (0, 1)))(params, x)
        gradient_norm = lambda params, x: sum(  # noqa: E731
            jnp.sum(g**2) for g in jax.tree.leaves(jax.grad(f, (0, 1))(params, x))
        )
        return jax.jit(jax.grad(gradient_norm, (0, 1)))(params, x)

    assert_close(result(plain=False), result(plain=True), rtol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_grad_of_grad_of_a_step(cell):
    params, x, states = inputs(cell)
    carry = (RNNCarry if cell == "rnn" else LSTMCarry)(*states)
    steps = (rnn_step, rnn_step_plain) if cell == "rnn" else (lstm_step, lstm_step_plain)

    def hessian_row(step):
        slope = jax.grad(lambda x: jnp.sum(step(params, carry, x)[1] ** 2))
        return jax.grad(lambda x: slope(x)[0, 0])(x[:, 0])

    assert_close(*(hessian_row(step) for step in steps))


@pytest.mark.parametrize("cell", [pytest.param("rnn", marks=pytest.mark.slow), "lstm"])
def test_bfloat16(cell):
    """Results and gradients stay bfloat16 and near the float32 ones."""
    params, x, states = inputs(cell, jnp.float32)

    def loss(args):
        carry, h = sequence(cell)(*args, masks()["lengths"])
        return h.mean() + sum(leaf.mean() for leaf in carry)

    args = (params, x, states)
    halved = jax.tree.map(lambda a: a.astype(jnp.bfloat16), args)
    value_and_grad = jax.jit(jax.value_and_grad(loss))
    value, grads = value_and_grad(halved)
    expected, expected_grads = value_and_grad(args)
    assert value.dtype == jnp.bfloat16
    assert all(g.dtype == jnp.bfloat16 for g in jax.tree.leaves(grads))
    assert float(value) == pytest.approx(float(expected), abs=0.02)
    for g, e in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True):
        scale = float(jnp.abs(e).max())
        np.testing.assert_allclose(g.astype(jnp.float32), e, atol=0.05 * scale)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
def test_forward_mode(cell):
    """JAX's own error, and the plain functions instead."""
    params, x, states = inputs(cell)
    with pytest.raises(TypeError, match="forward-mode autodiff"):
        jax.jvp(lambda x: sequence(cell)(params, x, states)[1], (x,), (x,))
    step = rnn_step if cell == "rnn" else lstm_step
    carry = (RNNCarry if cell == "rnn" else LSTMCarry)(*states)
    with pytest.raises(TypeError, match="forward-mode autodiff"):
        jax.jvp(lambda x: step(params, carry, x)[1], (x[:, 0],), (x[:, 0],))
    _, tangent = jax.jvp(lambda x: sequence(cell, True)(params, x, states)[1], (x,), (x,))
    _, vjp = jax.vjp(lambda x: sequence(cell)(params, x, states)[1], x)
    dh = random_like(tangent)
    assert float(jnp.vdot(tangent, dh)) == pytest.approx(float(jnp.vdot(x, vjp(dh)[0])))


@pytest.mark.parametrize("cell", CELLS)
def test_weight_gradients_are_products_after_the_reverse_scan(cell):
    """No loop of the backward pass carries anything of the shape of a weight."""
    params, x, states = inputs(cell, jnp.float32)
    f = lambda params: sequence(cell)(params, x, states)[1].sum()  # noqa: E731
    jaxpr = jax.make_jaxpr(jax.grad(f))(params)
    scans = [eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "scan"]
    assert len(scans) == 2
    for scan in scans:
        carried = scan.outvars[: scan.params["num_carry"]]
        assert {var.aval.shape for var in carried} == {(N, H)}


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("transform", ["jit", "vmap", "checkpoint"])
def test_a_step_composes(cell, transform):
    params, x, states = inputs(cell)
    carry = (RNNCarry if cell == "rnn" else LSTMCarry)(*states)
    steps = (rnn_step, rnn_step_plain) if cell == "rnn" else (lstm_step, lstm_step_plain)

    def result(step):
        f = lambda params, x: sum(jnp.sum(jnp.sin(a)) for a in step(params, carry, x)[0])  # noqa: E731
        if transform == "vmap":
            many = jnp.stack([x[:, 0], x[:, 1]])
            return jax.vmap(jax.grad(f, (0, 1)), in_axes=(None, 0))(params, many)
        f = {"jit": jax.jit, "checkpoint": jax.checkpoint}[transform](f)
        return jax.grad(f, (0, 1))(params, x[:, 0])

    assert_close(*(result(step) for step in steps))


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_in_bfloat16_stays_there(cell):
    params, x, states = inputs(cell, jnp.bfloat16)
    carry = (RNNCarry if cell == "rnn" else LSTMCarry)(*states)
    step = rnn_step if cell == "rnn" else lstm_step
    out, vjp = jax.vjp(step, params, carry, x[:, 0])
    leaves = jax.tree.leaves((out, vjp(out)))
    assert {leaf.dtype for leaf in leaves} == {jnp.dtype(jnp.bfloat16)}
    assert all(jnp.isfinite(leaf).all() for leaf in leaves)
