"""The course's layers and captioner on NumPy arrays: backward passes, dtypes, caches, bad input."""

import numpy as np
import pytest
from numpy.random import randn

from jaxcap.convert import from_numpy
from jaxcap.cs231n import layers, rnn_layers
from jaxcap.cs231n.arrays import check_ids, layer
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.gradient_check import (
    eval_numerical_gradient,
    eval_numerical_gradient_array,
    grad_check_sparse,
)
from jaxcap.nn.gradcheck import rel_error

WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4}
N, T, D, H = 2, 3, 4, 5
G = 4 * H


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(7)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("rnn_step", [(N, D), (N, H), (D, H), (H, H), (H,)]),
        ("rnn", [(N, T, D), (N, H), (D, H), (H, H), (H,)]),
        ("lstm_step", [(N, D), (N, H), (N, H), (D, G), (H, G), (G,)]),
        ("lstm", [(N, T, D), (N, H), (D, G), (H, G), (G,)]),
        ("temporal_affine", [(N, T, D), (D, H), (H,)]),
        ("affine", [(N, T, D), (T * D, H), (H,)]),
    ],
)
def test_backward_equals_differences(name, shapes):
    forward = getattr(rnn_layers, f"{name}_forward")
    # Draws of its own: where a gradient happens to be near zero, a two-point difference is not
    # exact to the tolerance.
    rng = np.random.default_rng(1)
    arguments = [rng.standard_normal(shape) for shape in shapes]
    *outs, cache = forward(*arguments)
    douts = [rng.standard_normal(out.shape) for out in outs]
    gradients = getattr(rnn_layers, f"{name}_backward")(*douts, cache)
    assert [g.shape for g in gradients] == shapes
    for argument, gradient in zip(arguments, gradients, strict=True):
        # The argument is changed in place, where the function finds it.
        numerical = sum(
            eval_numerical_gradient_array(lambda _, k=k: forward(*arguments)[k], argument, dout)
            for k, dout in enumerate(douts)
        )
        assert rel_error(numerical, gradient) < 1e-7


def test_relu():
    x, dout = np.array([[-1.0, 0, 2], [3, -4, 5]]), randn(2, 3)
    out, cache = layers.relu_forward(x)
    np.testing.assert_array_equal(out, [[0, 0, 2], [3, 0, 5]])
    np.testing.assert_array_equal(layers.relu_backward(dout, cache), dout * (x > 0))


def test_word_embedding():
    x, W = np.array([[0, 3, 1, 2], [2, 1, 0, 3]]), randn(5, 3)
    out, cache = rnn_layers.word_embedding_forward(x, W)
    np.testing.assert_array_equal(out, W[x])
    dout, expected = randn(*out.shape), np.zeros_like(W)
    np.add.at(expected, x, dout)
    np.testing.assert_allclose(
        rnn_layers.word_embedding_backward(dout, cache), expected, rtol=1e-14
    )


def test_temporal_softmax_gradient(capsys):
    x, y, mask = randn(3, 4, 5), np.random.randint(5, size=(3, 4)), np.random.rand(3, 4) > 0.5
    even, _ = rnn_layers.temporal_softmax_loss(0 * x, y, mask)
    # log(5) for each word that counts.
    assert even == pytest.approx(np.log(5) * mask.sum() / 3)
    _, dx = rnn_layers.temporal_softmax_loss(x, y, mask.astype(float), verbose=True)
    assert "(3, 4, 5)" in capsys.readouterr().out
    numerical = eval_numerical_gradient(
        lambda x: rnn_layers.temporal_softmax_loss(x, y, mask)[0], x, verbose=False
    )
    assert rel_error(numerical, dx) < 1e-6


def test_float32_stays_wider_wins_and_arrays_are_the_callers_own():
    x, w, b = (randn(*shape) for shape in [(N, T, D), (D, H), (H,)])
    single = [a.astype(np.float32) for a in (x, w, b)]
    out, cache = rnn_layers.temporal_affine_forward(*single)
    expected = np.ones(out.shape) @ single[1].T
    single[1][:] = 0
    out[:] = 0
    dx, dw, db = rnn_layers.temporal_affine_backward(np.ones(out.shape), cache)
    assert {a.dtype for a in (out, dx, dw, db)} == {np.dtype(np.float32)}
    np.testing.assert_allclose(dx, expected, rtol=1e-6)
    dx[:] = 0
    assert rnn_layers.temporal_affine_forward(x, *single[1:])[0].dtype == np.float64
    assert rnn_layers.sigmoid(np.array([0.0])).item() == 0.5


def test_nothing_is_compiled_twice():
    traced = []

    @layer
    def square(x):
        traced.append(x.shape)
        return x * x

    for _ in range(3):
        square(np.ones(3))
    assert traced == [(3,)]


def test_any_id_may_pad_captions():
    words = {"<NULL>": 4, "<START>": 1, "<END>": 2, "cat": 3, "dog": 0}
    model = CaptioningRNN(words, 6, 5, 4, "rnn", np.float64)
    captions, features = np.random.randint(5, size=(3, 6)), randn(3, 6)
    padded = np.pad(captions, ((0, 0), (0, 2)), constant_values=4)
    (loss, grads), (other, others) = (model.loss(features, c) for c in (captions, padded))
    assert loss == pytest.approx(other)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, others[name], atol=1e-12)


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
    params, config = from_numpy(model.params)
    assert set(params) == set(config.parameter_shapes()) == set(model.params)
    assert (config.vocab_size, config.feature_dim, config.cell) == (5, 6, "lstm")


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


def test_bad_input_is_refused():
    with pytest.raises(IndexError, match="`x` holds ids from -1 to 5, expected 0 to 4"):
        rnn_layers.word_embedding_forward(np.array([[-1, 5]]), randn(5, 3))
    with pytest.raises(IndexError, match="`y` holds ids from 9 to 9"):
        rnn_layers.temporal_softmax_loss(randn(1, 1, 9), np.array([[9]]), np.array([[True]]))
    with pytest.raises(IndexError, match="`captions` holds ids from 0 to 5"):
        CaptioningRNN(WORDS, 6, 5, 4).loss(randn(1, 6), np.array([[0, 5]]))
    with pytest.raises(TypeError, match="`captions` has type float64, expected integers"):
        check_ids(np.array([[0.0, 1.0]]), 5, "captions")
    with pytest.raises(ValueError, match="`cell_type` must be one of lstm, rnn, got gru"):
        CaptioningRNN(WORDS, 6, cell_type="gru")
    with pytest.raises(ValueError, match="lacks <NULL>"):
        CaptioningRNN({"cat": 0}, 6)
    assert CaptioningRNN({"<NULL>": 0}, 6)._start is None
    with pytest.raises(ValueError, match="lacks <START>"):
        CaptioningRNN({"<NULL>": 0, "<END>": 1}, 6).sample(randn(1, 6))


def test_lists_are_arrays_and_one_image_is_refused():
    model = CaptioningRNN(WORDS, 6, 5, 4, "rnn", np.float64)
    assert (model._null, model._start, model._end) == (0, 1, 2)
    features, captions = randn(2, 6), np.array([[1, 3, 2], [1, 4, 2]])
    loss, _ = model.loss(features, captions)
    assert model.loss(features.tolist(), captions.tolist())[0] == loss
    for call in (model.sample, lambda x: model.loss(x, captions)):
        with pytest.raises(
            ValueError, match=r"`features` has shape \(6,\), expected \(N, 6\).*None"
        ):
            call(features[0])
    with pytest.raises(ValueError, match=r"`captions` has shape \(3,\), expected \(2, T\)"):
        model.loss(features, captions[0])


def test_numerical_gradients_put_back_what_they_change(capsys):
    x = np.linspace(-1, 1, 6).reshape(2, 3)
    before = x.copy()
    gradient = eval_numerical_gradient(lambda _: np.sum(x**3), x)
    assert rel_error(gradient, 3 * x**2) < 1e-8
    assert capsys.readouterr().out.count("\n") == x.size
    with pytest.raises(ZeroDivisionError):
        eval_numerical_gradient(lambda _: 1 / 0, x)
    np.testing.assert_array_equal(x, before)
    grad_check_sparse(lambda x: np.sum(x**3), x, 3 * x**2, num_checks=4)
    assert len(capsys.readouterr().out.splitlines()) == 4
    with pytest.raises(ValueError, match="`x` has type int64, expected floats"):
        eval_numerical_gradient_array(lambda x: x, np.arange(3), 1.0)
