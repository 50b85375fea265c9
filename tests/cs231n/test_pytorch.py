"""The notebook of 2025: layers, captioner and solver on PyTorch's tensors."""

import copy
import importlib
import re

import numpy as np
import pytest

from jaxcap.cs231n import rnn_layers
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN as OnArrays
from jaxcap.cs231n.coco_utils import decode_captions, load_coco_data
from jaxcap.cs231n.gradient_check import eval_numerical_gradient, eval_numerical_gradient_array
from jaxcap.nn.gradcheck import rel_error

torch = pytest.importorskip("torch", reason="it runs on PyTorch, which is missing")
layers = importlib.import_module("jaxcap.cs231n.rnn_layers_pytorch")
CaptioningRNN = importlib.import_module("jaxcap.cs231n.classifiers.rnn_pytorch").CaptioningRNN
Solver = importlib.import_module("jaxcap.cs231n.captioning_solver_pytorch").CaptioningSolverPytorch

WORDS = {"<NULL>": 0, "<START>": 1, "<END>": 2, "cat": 3, "dog": 4}
N, T, D, H = 2, 3, 4, 5
G = 4 * H


def randn(*shape):
    return torch.from_numpy(np.random.randn(*shape))


@pytest.fixture(autouse=True)
def seed():
    np.random.seed(7)
    torch.manual_seed(7)


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
def test_backward_is_that_of_the_layers_on_arrays(name, shapes):
    tensors = [randn(*shape).requires_grad_() for shape in shapes]
    found = getattr(layers, f"{name}_forward")(*tensors)
    found = found if isinstance(found, tuple) else (found,)
    arrays = [tensor.detach().numpy() for tensor in tensors]
    *outs, cache = getattr(rnn_layers, f"{name}_forward")(*arrays)
    douts = [randn(*out.shape) for out in outs]
    torch.autograd.backward(found, douts)
    expected = getattr(rnn_layers, f"{name}_backward")(*(d.numpy() for d in douts), cache)
    for a, b in zip(found, outs, strict=True):
        np.testing.assert_array_equal(a.detach().numpy(), b)
    for tensor, gradient in zip(tensors, expected, strict=True):
        np.testing.assert_array_equal(tensor.grad.numpy(), gradient)


def test_one_output_of_two_may_be_used_and_dtypes_may_differ():
    x, h, c, Wx, Wh, b = (randn(*s) for s in [(N, D), (N, H), (N, H), (D, G), (H, G), (G,)])
    c, Wh = c.requires_grad_(), Wh.float().requires_grad_()
    _, next_c = layers.lstm_step_forward(x, h, c, Wx, Wh, b)
    next_c.sum().backward()
    assert (next_c.dtype, c.grad.dtype, Wh.grad.dtype) == (torch.float64,) * 2 + (torch.float32,)
    forget = torch.sigmoid(x @ Wx + h @ Wh.detach().double() + b)[:, H : 2 * H]
    np.testing.assert_allclose(c.grad, forget, rtol=1e-12)


def test_words_and_loss():
    words, W = torch.tensor([[0, 3, 1], [2, 1, 0]]), randn(5, D).requires_grad_()
    out = layers.word_embedding_forward(words, W)
    dout = randn(*out.shape)
    out.backward(dout)
    expected = np.zeros((5, D))
    np.add.at(expected, words.numpy(), dout.numpy())
    np.testing.assert_allclose(W.grad, expected, rtol=1e-14)
    # One word an image, as in a loop over steps.
    np.testing.assert_array_equal(
        layers.word_embedding_forward(words[:, 1], W).detach(), W.detach()[words[:, 1]]
    )
    y, mask = torch.randint(5, (2, 3)), torch.rand(2, 3) > 0.3
    x = randn(2, 3, 5).requires_grad_()
    loss = layers.temporal_softmax_loss(x, y, mask, verbose=False)
    (3 * loss).backward()
    each = torch.nn.functional.cross_entropy(x.transpose(1, 2), y, reduction="none")
    np.testing.assert_allclose(loss.item(), (each * mask).sum().item() / 2, rtol=1e-12)
    numerical = eval_numerical_gradient(
        lambda x: layers.temporal_softmax_loss(torch.from_numpy(x), y, mask),
        x.detach().numpy(),
        verbose=False,
    )
    assert rel_error(3 * numerical, x.grad.numpy()) < 1e-6
    with pytest.raises(IndexError, match="`y` holds ids"):
        layers.temporal_softmax_loss(x, y + 9, mask)


def test_a_cell_that_checks_gradients_with_wrapped_layers():
    x, w, b = randn(N, T, D), randn(D, H), randn(H)
    for tensor in (x, w, b):
        tensor.requires_grad_()
    out = layers.temporal_affine_forward(x, w, b)
    dout = randn(*out.shape)
    out.backward(dout)
    dw = w.grad.detach().numpy()
    x, w, b, dout = (tensor.detach().numpy() for tensor in (x, w, b, dout))

    def wrapped(w):
        return layers.temporal_affine_forward(*map(torch.from_numpy, (x, w, b))).numpy()

    assert rel_error(eval_numerical_gradient_array(wrapped, w, dout), dw) < 1e-8


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_the_captioner_is_that_on_arrays(cell):
    before = np.random.get_state()[1].copy()
    model = CaptioningRNN(WORDS, 6, 5, 4, cell, torch.float64)
    # NumPy's generator draws captions and minibatches, and nothing else.
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert (model._null, model._start, model._end) == (0, 1, 2)
    torch.manual_seed(7)
    expected = torch.randn(5, 5)
    expected /= 100
    np.testing.assert_array_equal(model.params["W_embed"], expected.double())
    other = OnArrays(WORDS, 6, 5, 4, cell, np.float64)
    for name, value in model.params.items():
        other.params[name] = value.numpy().copy()
        value.requires_grad_()
    features, captions = randn(3, 6), torch.tensor([[1, 3, 2, 0], [1, 4, 4, 2], [1, 2, 0, 0]])
    loss = model.loss(features, captions)
    loss.backward()
    same, grads = other.loss(features.numpy(), captions.numpy())
    assert loss.item() == pytest.approx(same, rel=1e-12)
    for name, value in model.params.items():
        np.testing.assert_allclose(value.grad, grads[name], atol=1e-12)
    ids = model.sample(features, max_length=4)
    assert (ids.shape, ids.dtype) == ((3, 4), torch.int64)
    np.testing.assert_array_equal(ids, other.sample(features.numpy(), max_length=4))
    with pytest.raises(ValueError, match=r"`features` has shape \(6,\), expected \(N, 6\)"):
        model.loss(features[0], captions)
    with pytest.raises(ValueError, match=r"`captions` has shape \(4,\), expected \(3, T\)"):
        model.loss(features, captions[0])


def test_the_solver_overfits(tiny_dir, capsys):
    """The cells of the notebook: train, plot what is in the history, sample."""
    data = load_coco_data(tiny_dir)
    for name in ("train_captions", "train_image_idxs"):
        data[name] = data[name][:8]
    model = CaptioningRNN(data["word_to_idx"], 6, 4, 16, "rnn")
    options = {"num_epochs": 60, "batch_size": 8, "learning_rate": 4e-2, "print_every": 10}
    solver = Solver(model, data, **options)
    start = copy.deepcopy(solver.loss_history)
    capsys.readouterr()
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    printed = [re.fullmatch(r"\(Iteration (\d+) / 60\) loss: (\d+\.\d{6})", line) for line in lines]
    assert [int(line[1]) for line in printed] == list(range(1, 60, 10))
    assert not start and len(solver.loss_history) == 60 and solver.epoch == 60
    assert solver.loss_history[-1] < 0.5 and solver.loss_history[-1].dtype == np.float32
    assert not any(value.requires_grad for value in model.params.values())
    said = model.sample(torch.from_numpy(data["train_features"])).numpy()
    said = decode_captions(said, data["idx_to_word"])
    learnt = decode_captions(data["train_captions"], data["idx_to_word"])
    for image, caption in zip(data["train_image_idxs"], learnt, strict=True):
        assert said[image] == caption.removeprefix("<START> ")
    with pytest.raises(TypeError, match="update_rule"):
        Solver(model, data, update_rule="adam")
