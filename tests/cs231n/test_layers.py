"""The course's layers and captioner: its printed numbers for the RNN, dtypes, caches, bad input."""

import numpy as np
import pytest
from notebook_digits import RNN_LOSS
from numpy.random import randn

from jaxcap.convert import from_numpy
from jaxcap.cs231n import rnn_layers
from jaxcap.cs231n.arrays import check_ids, layer
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
)
from jaxcap.nn.gradcheck import rel_error

WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4}


def linspace(start, stop, *shape):
    return np.linspace(start, stop, num=np.prod(shape)).reshape(shape)


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(7)


def test_rnn_step_forward():
    N, D, H = 3, 10, 4
    next_h, _ = rnn_layers.rnn_step_forward(
        linspace(-0.4, 0.7, N, D),
        linspace(-0.2, 0.5, N, H),
        linspace(-0.1, 0.9, D, H),
        linspace(-0.3, 0.7, H, H),
        linspace(-0.2, 0.4, H),
    )
    expected = [
        [-0.58172089, -0.50182032, -0.41232771, -0.31410098],
        [0.66854692, 0.79562378, 0.87755553, 0.92795967],
        [0.97934501, 0.99144213, 0.99646691, 0.99854353],
    ]
    assert rel_error(expected, next_h) < 1e-8


def test_rnn_forward():
    N, T, D, H = 2, 3, 4, 5
    h, _ = rnn_layers.rnn_forward(
        linspace(-0.1, 0.3, N, T, D),
        linspace(-0.3, 0.1, N, H),
        linspace(-0.2, 0.4, D, H),
        linspace(-0.4, 0.1, H, H),
        linspace(-0.7, 0.1, H),
    )
    expected = [
        [
            [-0.42070749, -0.27279261, -0.11074945, 0.05740409, 0.22236251],
            [-0.39525808, -0.22554661, -0.0409454, 0.14649412, 0.32397316],
            [-0.42305111, -0.24223728, -0.04287027, 0.15997045, 0.35014525],
        ],
        [
            [-0.55857474, -0.39065825, -0.19198182, 0.02378408, 0.23735671],
            [-0.27150199, -0.07088804, 0.13562939, 0.33099728, 0.50158768],
            [-0.51014825, -0.30524429, -0.06755202, 0.17806392, 0.40333043],
        ],
    ]
    assert rel_error(expected, h) < 1e-7


N, T, D, H = 2, 3, 4, 5


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("rnn_step", [(N, D), (N, H), (D, H), (H, H), (H,)]),
        ("rnn", [(N, T, D), (N, H), (D, H), (H, H), (H,)]),
        ("temporal_affine", [(N, T, D), (D, H), (H,)]),
    ],
)
def test_backward_equals_differences(name, shapes):
    forward = getattr(rnn_layers, f"{name}_forward")
    # Draws of its own: where a gradient happens to be near zero, a two-point difference is not
    # exact to the tolerance.
    rng = np.random.default_rng(0)
    arguments = [rng.standard_normal(shape) for shape in shapes]
    out, cache = forward(*arguments)
    dout = rng.standard_normal(out.shape)
    gradients = getattr(rnn_layers, f"{name}_backward")(dout, cache)
    assert [g.shape for g in gradients] == shapes
    for argument, gradient in zip(arguments, gradients, strict=True):
        # The argument is changed in place, where the function finds it.
        numerical = eval_numerical_gradient_array(lambda _: forward(*arguments)[0], argument, dout)
        assert rel_error(numerical, gradient) < 1e-7


def test_word_embedding():
    x, W = np.array([[0, 3, 1, 2], [2, 1, 0, 3]]), linspace(0, 1, 5, 3)
    out, cache = rnn_layers.word_embedding_forward(x, W)
    np.testing.assert_array_equal(out, W[x])
    dout = randn(*out.shape)
    dW = rnn_layers.word_embedding_backward(dout, cache)
    expected = np.zeros_like(W)
    np.add.at(expected, x, dout)
    np.testing.assert_allclose(dW, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("n", "t", "share", "expected"), [(100, 1, 1.0, 2.3), (100, 10, 1.0, 23), (5000, 10, 0.1, 2.3)]
)
def test_temporal_softmax_of_even_logits(n, t, share, expected):
    """The notebook's "sanity check": log(10) a word, and a tenth of the words count at last."""
    x, y = 0.001 * randn(n, t, 10), np.random.randint(10, size=(n, t))
    mask = np.random.rand(n, t) <= share
    loss, _ = rnn_layers.temporal_softmax_loss(x, y, mask)
    assert loss == pytest.approx(expected, rel=0.02)


def test_temporal_softmax_gradient(capsys):
    x, y, mask = randn(7, 8, 9), np.random.randint(9, size=(7, 8)), np.random.rand(7, 8) > 0.5
    _, dx = rnn_layers.temporal_softmax_loss(x, y, mask, verbose=True)
    assert "(7, 8, 9)" in capsys.readouterr().out
    numerical = eval_numerical_gradient(
        lambda x: rnn_layers.temporal_softmax_loss(x, y, mask)[0], x, verbose=False
    )
    assert rel_error(numerical, dx) < 1e-6
    assert rnn_layers.temporal_softmax_loss(x, y, mask.astype(float))[0] > 0


def test_float32_stays_and_wider_wins():
    x, w, b = (randn(*shape) for shape in [(N, T, D), (D, H), (H,)])
    single = [a.astype(np.float32) for a in (x, w, b)]
    out, cache = rnn_layers.temporal_affine_forward(*single)
    dx, dw, db = rnn_layers.temporal_affine_backward(np.ones(out.shape), cache)
    assert {a.dtype for a in (out, dx, dw, db)} == {np.dtype(np.float32)}
    out, _ = rnn_layers.temporal_affine_forward(x, *single[1:])
    assert out.dtype == np.float64
    assert rnn_layers.sigmoid(np.array([0.0])).item() == 0.5


def test_results_are_ones_own_and_the_cache_keeps_what_it_saw():
    x, w, b = (randn(*shape) for shape in [(N, T, D), (D, H), (H,)])
    out, cache = rnn_layers.temporal_affine_forward(x, w, b)
    expected = np.ones(out.shape) @ w.T
    w[:] = 0
    out[:] = 0
    dx, _, _ = rnn_layers.temporal_affine_backward(np.ones(out.shape), cache)
    np.testing.assert_allclose(dx, expected, rtol=1e-14)
    dx[:] = 0


def test_nothing_is_compiled_twice():
    traced = []

    @layer
    def square(x):
        traced.append(x.shape)
        return x * x

    for _ in range(3):
        square(np.ones(3))
    assert traced == [(3,)]


def test_ids_outside_the_vocabulary_are_refused():
    with pytest.raises(IndexError, match="x holds ids from -1 to 5, expected 0 to 4"):
        rnn_layers.word_embedding_forward(np.array([[-1, 5]]), randn(5, 3))
    with pytest.raises(IndexError, match="y holds ids from 9 to 9"):
        rnn_layers.temporal_softmax_loss(randn(1, 1, 9), np.array([[9]]), np.array([[True]]))
    model = CaptioningRNN(WORDS, 6, 5, 4)
    with pytest.raises(IndexError, match="captions holds ids from 0 to 5"):
        model.loss(randn(1, 6), np.array([[0, 5]]))
    with pytest.raises(TypeError, match="captions has type float64, expected integers"):
        check_ids(np.array([[0.0, 1.0]]), 5, "captions")


def test_rnn_captioner_loss():
    N, D, W, H, V, T = 10, 20, 30, 40, 3, 13
    words = {"<NULL>": 0, "cat": 2, "dog": 3}
    model = CaptioningRNN(words, D, W, H, cell_type="rnn", dtype=np.float64)
    for k, v in model.params.items():
        model.params[k] = linspace(-1.4, 1.3, *v.shape)
    captions = (np.arange(N * T) % V).reshape(N, T)
    loss, _ = model.loss(linspace(-1.5, 0.3, N, D), captions)
    assert abs(loss - RNN_LOSS) < 1e-10


@pytest.mark.parametrize("cell_type", ["rnn", "lstm"])
def test_captioner_gradients_equal_differences(cell_type):
    model = CaptioningRNN(WORDS, 6, 5, 4, cell_type, np.float64)
    captions, features = np.random.randint(5, size=(3, 6)), randn(3, 6)
    _, grads = model.loss(features, captions)
    for name, value in model.params.items():
        numerical = eval_numerical_gradient(
            lambda _: model.loss(features, captions)[0], value, verbose=False, h=1e-5
        )
        np.testing.assert_allclose(numerical, grads[name], rtol=1e-6, atol=1e-9)


def test_parameters_are_those_that_the_courses_code_draws():
    np.random.seed(3)
    model = CaptioningRNN(WORDS, 6, 5, 4, "lstm")
    np.random.seed(3)
    expected = {
        "W_embed": randn(5, 5) / 100,
        "W_proj": randn(6, 4) / np.sqrt(6),
        "Wx": randn(5, 16) / np.sqrt(5),
        "Wh": randn(4, 16) / 2,
        "W_vocab": randn(4, 5) / 2,
    }
    for name, value in model.params.items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, expected.get(name, np.zeros_like(value)).astype("f4"))
    assert len(model.params) == 8


def test_sampling_follows_the_parameters():
    """A chain that says cat, dog and stops; a cap on the words cuts it."""
    model = CaptioningRNN(WORDS, 6, 5, 5, "rnn", np.float64)
    chain = np.zeros((5, 5))
    chain[1, 3] = chain[3, 4] = chain[4, 2] = chain[2, 3] = 1
    for value in model.params.values():
        value[:] = 0
    model.params["W_embed"][:], model.params["Wx"][:] = np.eye(5), 5 * np.eye(5)
    model.params["W_vocab"][:] = chain
    ids = model.sample(randn(2, 6))
    assert ids.shape == (2, 30) and ids.dtype == np.int32
    np.testing.assert_array_equal(ids[:, :5], [[3, 4, 2, 0, 0]] * 2)
    np.testing.assert_array_equal(model.sample(randn(1, 6), max_length=1), [[3]])


def test_what_a_captioner_needs():
    with pytest.raises(ValueError, match="cell_type must be one of lstm, rnn, got gru"):
        CaptioningRNN(WORDS, 6, cell_type="gru")
    with pytest.raises(ValueError, match="lacks <NULL>"):
        CaptioningRNN({"cat": 0}, 6)
    with pytest.raises(ValueError, match="lacks <START>"):
        CaptioningRNN({"<NULL>": 0, "<END>": 1}, 6).sample(randn(1, 6))


def test_a_notebooks_parameters_convert():
    params, config = from_numpy(CaptioningRNN(WORDS, 6, 5, 4, "lstm").params)
    assert (config.vocab_size, config.feature_dim, config.cell) == (5, 6, "lstm")
    assert set(params) == set(config.parameter_shapes())


def test_numerical_gradients_put_back_what_they_change(capsys):
    x = linspace(-1, 1, 2, 3)
    before = x.copy()
    gradient = eval_numerical_gradient(lambda _: np.sum(x**3), x)
    assert rel_error(gradient, 3 * x**2) < 1e-8
    assert capsys.readouterr().out.count("\n") == x.size
    with pytest.raises(ZeroDivisionError):
        eval_numerical_gradient(lambda _: 1 / 0, x)
    np.testing.assert_array_equal(x, before)
    grad_check_sparse(lambda x: np.sum(x**3), x, 3 * x**2, num_checks=4)
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(ValueError, match="x has type int64, expected floats"):
        eval_numerical_gradient_array(lambda x: x, np.arange(3), 1.0)
