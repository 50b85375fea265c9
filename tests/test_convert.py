"""Parameters from elsewhere: PyTorch's own forward pass, exact round trips, clear refusals."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, word_ids
from safetensors.numpy import load_file, save_file

from jaxcap.convert import (
    TorchLayers,
    from_numpy,
    from_torch,
    to_npz,
    to_safetensors,
    to_torch,
)
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits

N, T = 3, 6
CONFIGS = {
    "lstm": CaptionerConfig(vocab_size=11, feature_dim=7, wordvec_dim=5, hidden_dim=8),
    "lstm with c0": CaptionerConfig(11, 7, 5, 8, init_cell=True),
    "rnn": CaptionerConfig(11, 7, 5, 8, cell="rnn"),
    # One size for every axis, so that nothing can be told by its shape.
    "square": CaptionerConfig(8, 8, 8, 8),
}
ELSEWHERE = TorchLayers("image.fc", "image.c0", "decoder.words", "decoder.cells", "decoder.out")


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture
def params(config):
    """Random parameters, biases too."""
    shapes = config.parameter_shapes()
    return {name: normal(seed, shape) / 3 for seed, (name, shape) in enumerate(shapes.items())}


def example(config):
    return normal(1, (N, config.feature_dim)), word_ids(2, (N, T), 0, config.vocab_size)


def torch_captioner(torch, config, layers):
    """A PyTorch captioner's layers, found by their dotted names, and its forward pass."""
    nn, (V, D, W, H) = (
        torch.nn,
        (
            config.vocab_size,
            config.feature_dim,
            config.wordvec_dim,
            config.hidden_dim,
        ),
    )
    parts = {
        layers.projection: nn.Linear(D, H),
        layers.embedding: nn.Embedding(V, W),
        layers.recurrent: (nn.LSTM if config.cell == "lstm" else nn.RNN)(W, H, batch_first=True),
        layers.vocabulary: nn.Linear(H, V),
    }
    if config.init_cell:
        parts[layers.cell] = nn.Linear(D, H)
    model = nn.Module()
    for name, part in parts.items():
        *outer, last = name.split(".")
        parent = model
        for step in outer:
            if not hasattr(parent, step):
                parent.add_module(step, nn.Module())
            parent = getattr(parent, step)
        parent.add_module(last, part)

    def forward(features, words):
        features, words = torch.tensor(np.array(features)), torch.tensor(np.array(words)).long()
        h0 = parts[layers.projection](features)[None]
        state = h0
        if config.cell == "lstm":
            c0 = parts[layers.cell](features)[None] if config.init_cell else torch.zeros_like(h0)
            state = (h0, c0)
        with torch.inference_mode():
            h, _ = parts[layers.recurrent](parts[layers.embedding](words), state)
            return parts[layers.vocabulary](h).numpy()

    return model, forward


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="this test compares with PyTorch, which is missing")


@pytest.mark.parametrize("layers", [TorchLayers(), ELSEWHERE])
@pytest.mark.parametrize("as_file", [False, True])
def test_from_pytorch_gives_its_logits(torch, config, layers, as_file, tmp_path):
    torch.manual_seed(0)
    model, forward = torch_captioner(torch, config, layers)
    state = {name: x.numpy() for name, x in model.state_dict().items()}
    source = {**state, "encoder.norm.num_batches_tracked": np.array(3)}
    if as_file:
        save_file(source, tmp_path / "model.safetensors")
        source = tmp_path / "model.safetensors"
    params, found = from_torch(source, layers)
    assert found == config
    features, words = example(config)
    np.testing.assert_allclose(
        logits(params, config, features, words), forward(features, words), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("as_file", [False, True])
def test_to_pytorch_gives_our_logits(torch, config, params, as_file, tmp_path):
    model, forward = torch_captioner(torch, config, ELSEWHERE)
    if as_file:
        from safetensors.torch import load_file

        to_safetensors(tmp_path / "model.safetensors", params, ELSEWHERE)
        state = load_file(tmp_path / "model.safetensors")
    else:
        state = {name: torch.as_tensor(x) for name, x in to_torch(params, ELSEWHERE).items()}
    model.load_state_dict(state)
    features, words = example(config)
    np.testing.assert_allclose(
        forward(features, words), logits(params, config, features, words), rtol=0, atol=1e-6
    )


def assert_same(found, params):
    assert set(found) == set(params)
    for name, value in params.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_round_trips_are_exact(config, params, tmp_path):
    assert from_numpy(params)[1] == config
    assert_same(from_numpy(params)[0], params)
    to_npz(tmp_path / "model.npz", params)
    assert_same(from_numpy(tmp_path / "model.npz")[0], params)
    assert_same(from_torch(to_torch(params))[0], params)
    to_safetensors(tmp_path / "model.safetensors", params, ELSEWHERE)
    found, shape = from_torch(str(tmp_path / "model.safetensors"), ELSEWHERE)
    assert shape == config
    assert_same(found, params)
    # And once more, from PyTorch's side.
    assert_same(to_torch(found, ELSEWHERE), load_file(tmp_path / "model.safetensors"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.npz", "model.safetensors"]


def test_a_file_of_one_name_is_replaced_whole(params, tmp_path):
    path = tmp_path / "model.npz"
    to_npz(path, params)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Wh is missing"):
        to_npz(path, {name: value for name, value in params.items() if name != "Wh"})
    assert path.read_bytes() == before


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"embed__weight": None},
            r"embed\.weight is missing, expected shape \(V, W\); there is proj\.bias, .*Torch",
        ),
        ({"rnn__bias_hh_l0": None}, r"rnn\.bias_hh_l0 is missing, expected shape \(G=4\)"),
        ({"rnn__bias_hh_l0": np.zeros(3)}, r"rnn\.bias_hh_l0 has shape \(3,\), .* \(G=4\)"),
        ({"rnn__weight_ih_l0": np.zeros((4, 2))}, r"shape \(4, 2\), expected shape \(G=4, W=1\)"),
        ({"proj__weight": np.zeros(2)}, r"proj\.weight has shape \(2,\), .* \(H=1, D\)"),
        ({"vocab__weight": np.zeros((4, 1))}, r"vocab\.weight has shape .* \(V=3, H=1\)"),
        ({"vocab__bias": np.zeros(3, int)}, r"vocab\.bias has type int64, expected floats"),
        ({"vocab__bias": np.array([0, np.nan, 0])}, r"vocab\.bias holds values that are NaN"),
        (
            {"rnn__weight_hh_l0": np.zeros((3, 1))},
            r"rnn\.weight_hh_l0 has G=3 and H=1, expected G=H for an RNN.*3H is a GRU",
        ),
        (
            {"rnn__weight_ih_l1": np.zeros((4, 1))},
            r"rnn\.weight_ih_l1 is of a layer .*one layer",
        ),
        (
            {"rnn__weight_hh_l0_reverse": np.zeros((4, 1))},
            r"_reverse is of .*one direction",
        ),
        ({"cell__weight": np.zeros((1, 2))}, r"cell\.bias is missing, expected shape \(H=1\)"),
    ],
)
@pytest.mark.parametrize("as_file", [False, True])
def test_wrong_states_are_refused(changes, message, as_file, tmp_path):
    source, where = tiny_state(**changes), ""
    if as_file:
        source, where = tmp_path / "a.safetensors", r"a\.safetensors: .*"
        save_file(tiny_state(**changes), source)
    with pytest.raises(ValueError, match=where + message):
        from_torch(source)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W_vocab": None}, r"W_vocab is missing, expected shape \(H=8, V=11\); there is W_embed"),
        ({"Wx": np.zeros((5, 31))}, r"Wx has shape \(5, 31\), expected shape \(W=5, G=32\)"),
        ({"Wh": np.zeros((8, 16))}, r"Wh has G=16 and H=8, expected G=H for an RNN or G=4H"),
        (
            {"cell/hr/kernel": np.zeros((8, 8))},
            r"cell/hr/kernel is of a cell that is not built in",
        ),
        (
            {"Wattn": np.zeros((8, 8))},
            r"Wattn is no parameter of a captioner, which has W_embed",
        ),
        ({"W_cell": np.zeros((7, 8))}, r"b_cell is missing, expected shape \(H=8\)"),
        ({"b": np.zeros((32, 0))}, r"b has shape \(32, 0\), expected shape \(G=32\)"),
        ({"b": np.full(32, np.inf)}, r"b holds values that are NaN or infinite"),
        ({"b": np.array(["x"] * 32)}, r"b has type <U1, expected floats"),
    ],
)
def test_wrong_parameters_are_refused(changes, message, tmp_path):
    arrays = {**init_params(jax.random.key(0), CONFIGS["lstm"]), **changes}
    arrays = {name: np.asarray(x) for name, x in arrays.items() if x is not None}
    with pytest.raises(ValueError, match=f"^{message}"):
        from_numpy(arrays)
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz: {message}"):
        from_numpy(tmp_path / "a.npz")


def test_files_of_other_kinds_are_refused(tmp_path):
    params = init_params(jax.random.key(0), CONFIGS["rnn"])
    with pytest.raises(FileNotFoundError, match=r"gone\.npz: no such file"):
        from_numpy(tmp_path / "gone.npz")
    np.savez(tmp_path / "a.npz", params=np.array({"Wx": 1}, dtype=object))
    with pytest.raises(ValueError, match="params holds pickled Python objects, which are never"):
        from_numpy(tmp_path / "a.npz")
    (tmp_path / "model.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.pth: .*convert it once.*save_file"):
        from_torch(tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"model\.npy: expected a name that ends in \.npz"):
        to_npz(tmp_path / "model.npy", params)
    with pytest.raises(ValueError, match=r"expected a name that ends in \.safetensors"):
        to_safetensors(Path("model.bin"), params)


def thirds(dtype):
    shapes = CONFIGS["rnn"].parameter_shapes()
    return {name: jnp.full(shape, 1 / 3, dtype) for name, shape in shapes.items()}


def test_the_widest_dtype_is_everybodys(tmp_path):
    with jax.enable_x64(True):
        params = thirds(jnp.float64) | {"b": jnp.ones(8, jnp.float32)}
        to_npz(tmp_path / "a.npz", params)
        found, _ = from_numpy(tmp_path / "a.npz")
        assert {value.dtype for value in found.values()} == {jnp.dtype(jnp.float64)}
        np.testing.assert_array_equal(found["Wx"], params["Wx"])
    assert from_numpy(tmp_path / "a.npz")[0]["Wx"].dtype == jnp.float32
    half = thirds(jnp.bfloat16)
    to_npz(tmp_path / "a.npz", half)
    found, _ = from_numpy(tmp_path / "a.npz")
    assert_same(found, {name: value.astype(jnp.float32) for name, value in half.items()})


def test_fed_features_go_to_numpy_and_not_to_pytorch(tmp_path):
    config = CaptionerConfig(11, 7, 5, 8, feed_features=True)
    params = init_params(jax.random.key(0), config)
    to_npz(tmp_path / "model.npz", params)
    found, shape = from_numpy(tmp_path / "model.npz")
    assert shape == config
    assert_same(found, params)
    with pytest.raises(ValueError, match="W_feed has no counterpart"):
        to_torch(params)
