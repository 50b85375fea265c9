"""Parameters from elsewhere: PyTorch's own forward pass, exact round trips, clear refusals."""

import dataclasses
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters, word_ids
from safetensors.numpy import load_file, save_file

from jaxcap.convert import (
    TorchLayers,
    from_numpy,
    from_torch,
    to_npz,
    to_safetensors,
    to_torch,
)
from jaxcap.nn.captioner import logits
from jaxcap.nn.config import CaptionerConfig

CONFIGS = {
    "lstm with c0": CaptionerConfig(11, 7, 5, 8, init_cell=True),
    "rnn": CaptionerConfig(11, 7, 5, 8, cell="rnn"),
    # One size for every axis, so that nothing can be told by its shape.
    "square": CaptionerConfig(8, 8, 8, 8),
}
ELSEWHERE = TorchLayers("image.fc", "image.c0", "decoder.words", "decoder.cells", "decoder.out")


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


def renamed(state, layers, back=False):
    """A state dictionary with the layers' names of the default replaced, or put back."""
    pairs = zip(*map(dataclasses.astuple, (TorchLayers(), layers)), strict=True)
    for old, new in pairs if not back else ((new, old) for old, new in pairs):
        state = {re.sub(f"^{re.escape(old)}\\.", f"{new}.", name): x for name, x in state.items()}
    return state


def torch_captioner(torch, config):
    """A PyTorch captioner with the default names of its layers, and its forward pass."""
    nn, D, W, H = torch.nn, config.feature_dim, config.wordvec_dim, config.hidden_dim
    model = nn.Module()
    model.proj, model.embed = nn.Linear(D, H), nn.Embedding(config.vocab_size, W)
    model.rnn = (nn.LSTM if config.cell == "lstm" else nn.RNN)(W, H, batch_first=True)
    model.vocab = nn.Linear(H, config.vocab_size)
    if config.init_cell:
        model.cell = nn.Linear(D, H)

    def forward(features, words):
        features, words = torch.tensor(np.array(features)), torch.tensor(np.array(words)).long()
        state = h0 = model.proj(features)[None]
        if config.cell == "lstm":
            state = h0, model.cell(features)[None] if config.init_cell else torch.zeros_like(h0)
        with torch.inference_mode():
            return model.vocab(model.rnn(model.embed(words), state)[0]).numpy()

    return model, forward


def assert_same(found, params):
    assert set(found) == set(params)
    for name, value in params.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_pytorch_and_jaxcap_have_the_same_logits_both_ways(config, tmp_path):
    torch = pytest.importorskip("torch", reason="it compares with PyTorch, which is missing")
    from safetensors.torch import load_file

    features, words = normal(1, (3, config.feature_dim)), word_ids(2, (3, 6), 0, config.vocab_size)
    file = tmp_path / "model.safetensors"
    model, forward = torch_captioner(torch, config)
    state = {name: x.numpy() for name, x in model.state_dict().items()}
    state = {**state, "norm.num_batches_tracked": np.array(3)}
    save_file(renamed(state, ELSEWHERE), file)
    for source, layers in ((state, None), (file, ELSEWHERE)):
        params, found = from_torch(source, layers)
        assert found == config
    ours = jax.jit(logits, static_argnums=1)
    theirs = forward(features, words)
    np.testing.assert_allclose(ours(params, config, features, words), theirs, atol=1e-6)
    params = parameters(config)
    to_safetensors(file, params, ELSEWHERE)
    model.load_state_dict(renamed(load_file(file), ELSEWHERE, back=True))
    theirs = forward(features, words)
    np.testing.assert_allclose(ours(params, config, features, words), theirs, atol=2e-5)


def test_round_trips_are_exact(config, tmp_path):
    params = parameters(config)
    assert from_numpy(params)[1] == config
    assert_same(from_numpy(params)[0], params)
    to_npz(tmp_path / "model.npz", params)
    assert_same(from_numpy(tmp_path / "model.npz")[0], params)
    to_safetensors(tmp_path / "model.safetensors", params, ELSEWHERE)
    found, shape = from_torch(str(tmp_path / "model.safetensors"), ELSEWHERE)
    assert shape == config
    assert_same(found, params)
    # And once more, from PyTorch's side.
    assert_same(to_torch(found, ELSEWHERE), load_file(tmp_path / "model.safetensors"))
    before = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(ValueError, match="Wh is missing"):
        to_npz(tmp_path / "model.npz", {k: v for k, v in params.items() if k != "Wh"})
    assert (tmp_path / "model.npz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.npz", "model.safetensors"]


def tiny_state(**changes):
    """An LSTM with one unit, whose numbers say where they stand."""
    state = {
        "embed.weight": np.full((3, 1), 0.5, np.float32),
        "rnn.weight_ih_l0": np.array([[1], [2], [3], [4]], np.float32),
        "rnn.weight_hh_l0": np.array([[5], [6], [7], [8]], np.float32),
        "rnn.bias_ih_l0": np.array([1, 2, 3, 4], np.float32),
        "rnn.bias_hh_l0": np.array([10, 20, 30, 40], np.float32),
        "proj.weight": np.array([[1, 2]], np.float32),
        "proj.bias": np.zeros(1, np.float32),
        "vocab.weight": np.array([[1], [2], [3]], np.float32),
        "vocab.bias": np.zeros(3, np.float32),
    }
    state.update({name.replace("__", "."): value for name, value in changes.items()})
    return {name: value for name, value in state.items() if value is not None}


def test_gates_are_reordered_biases_added_and_weights_transposed():
    params, config = from_torch(tiny_state())
    assert config == CaptionerConfig(vocab_size=3, feature_dim=2, wordvec_dim=1, hidden_dim=1)
    np.testing.assert_array_equal(params["Wx"], [[1, 2, 4, 3]])
    np.testing.assert_array_equal(params["Wh"], [[5, 6, 8, 7]])
    np.testing.assert_array_equal(params["b"], [11, 22, 44, 33])
    np.testing.assert_array_equal(params["W_proj"], [[1], [2]])
    np.testing.assert_array_equal(params["W_vocab"], [[1, 2, 3]])


def test_layers_without_biases_and_single_cells():
    state = tiny_state(
        rnn__bias_ih_l0=None, rnn__bias_hh_l0=None, vocab__bias=None, proj__bias=None
    )
    params, _ = from_torch({name.replace("_l0", ""): x for name, x in state.items()})
    np.testing.assert_array_equal(params["Wh"], [[5, 6, 8, 7]])
    for name, size in (("b", 4), ("b_vocab", 3), ("b_proj", 1)):
        np.testing.assert_array_equal(params[name], np.zeros(size))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("embed__weight", None, r"is missing, .*\(V, W\); there is proj\.bias, .*Torch"),
        ("rnn__bias_hh_l0", None, r"is missing, expected shape \(G=4\)"),
        ("rnn__bias_hh_l0", np.zeros(3), r"has shape \(3,\), .* \(G=4\)"),
        ("rnn__weight_ih_l0", np.zeros((4, 2)), r"has shape \(4, 2\), expected shape \(G=4, W=1\)"),
        ("proj__weight", np.zeros(2), r"has shape \(2,\), .* \(H=1, D\)"),
        ("vocab__weight", np.zeros((4, 1)), r"has shape .* \(V=3, H=1\)"),
        ("vocab__bias", np.zeros(3, int), r"has type int64, expected floats"),
        ("vocab__bias", np.array([0, np.nan, 0]), r"holds values that are NaN"),
        ("rnn__weight_hh_l0", np.zeros((3, 1)), r"has G=3 and H=1, .* an RNN.*3H is a GRU"),
        ("rnn__weight_ih_l1", np.zeros((4, 1)), r"belongs to a kind of layer .*one layer"),
        ("rnn__weight_hh_l0_reverse", np.zeros((4, 1)), r"belongs to .*one direction"),
        ("rnn__weight_hr_l0", np.zeros((1, 4)), r"projects the hidden state \(`proj_size` of nn.L"),
    ],
)
def test_wrong_states_are_refused(name, value, message, tmp_path):
    state, file = tiny_state(**{name: value}), tmp_path / "a.safetensors"
    name = name.replace("__", r"\.") + " "
    with pytest.raises(ValueError, match="^" + name + message):
        from_torch(state)
    save_file(state, file)
    with pytest.raises(ValueError, match=r"a\.safetensors: " + name + message):
        from_torch(file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("W_vocab", None, r"is missing, expected shape \(H=8, V=11\); there is W_cell, W_embed"),
        ("Wx", np.zeros((5, 31)), r"has shape \(5, 31\), expected shape \(W=5, G=32\)"),
        ("Wh", np.zeros((8, 16)), r"has G=16 and H=8, expected G=H for an RNN or G=4H"),
        ("cell/hr/kernel", np.zeros((8, 8)), r"belongs to a cell that is not built in"),
        ("W_grid", np.zeros((8, 8)), r"belongs to a captioner with `attention`, which only check"),
        ("Wattn", np.zeros((8, 8)), r"is not a parameter of a captioner, expected W_embed"),
        ("b_cell", None, r"is missing, expected shape \(H=8\)"),
        ("b", np.zeros((32, 0)), r"has shape \(32, 0\), expected shape \(G=32\)"),
        ("b", np.full(32, np.inf), r"holds values that are NaN or infinite"),
        ("b", np.array(["x"] * 32), r"has type <U1, expected floats"),
    ],
)
def test_wrong_parameters_are_refused(name, value, message, tmp_path):
    arrays = {**parameters(CONFIGS["lstm with c0"]), name: value}
    arrays = {name: np.asarray(x) for name, x in arrays.items() if x is not None}
    with pytest.raises(ValueError, match=f"^{name} {message}"):
        from_numpy(arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz: {name} {message}"):
        from_numpy(tmp_path / "a.npz")


def test_files_of_other_kinds_are_refused(tmp_path):
    params = parameters(CONFIGS["rnn"])
    with pytest.raises(FileNotFoundError, match=r"gone\.npz: no such file"):
        from_numpy(tmp_path / "gone.npz")
    np.savez(tmp_path / "a.npz", params=np.array({"Wx": 1}, dtype=object))
    with pytest.raises(ValueError, match="params holds pickled Python objects, which are never"):
        from_numpy(tmp_path / "a.npz")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.pth: .*convert it once.*save_file"):
        from_torch(tmp_path / "model.pth")
    for name, remedy in (("a.keras", "model.get_weights"), ("a.onnx", "onnx.numpy_helper")):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(ValueError, match=rf"{name}: expected a .safetensors or .*{remedy}"):
            from_torch(tmp_path / name)
    with pytest.raises(ValueError, match=r"model\.npy: expected a name that ends in \.npz"):
        to_npz(tmp_path / "model.npy", params)
    with pytest.raises(ValueError, match=r"expected a name that ends in \.safetensors"):
        to_safetensors(Path("model.bin"), params)


def test_the_widest_dtype_is_everybodys_and_fed_features_are_numpys_alone(tmp_path):
    file, config = tmp_path / "a.npz", CaptionerConfig(11, 7, 5, 8, feed_features=True)
    with jax.enable_x64(True):
        params = parameters(config, jnp.float64) | {"b": jnp.ones(32, jnp.float32)}
        to_npz(file, params)
        found, shape = from_numpy(file)
        assert shape == config
        assert_same(found, params | {"b": jnp.ones(32, jnp.float64)})
    assert from_numpy(file)[0]["Wx"].dtype == jnp.float32
    half = parameters(config, jnp.bfloat16)
    to_npz(file, half)
    assert_same(from_numpy(file)[0], {name: x.astype(jnp.float32) for name, x in half.items()})
    with pytest.raises(ValueError, match="W_feed has no counterpart"):
        to_torch(params)
