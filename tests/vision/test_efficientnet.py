"""EfficientNet-Lite0 against features that PyTorch computed, and against itself."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.vision import efficientnet
from jaxcap.vision.efficientnet import (
    PREPROCESSING,
    PREPROCESSING_288,
    WEIGHTS,
    EfficientNetLite0,
    features,
    load_params,
    parameter_shapes,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def params():
    return load_params()


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests/golden/efficientnet_lite0.npz") as file:
        return dict(file)


def prepare(*pictures):
    return PREPROCESSING.normalise(jnp.stack([PREPROCESSING.resize(image) for image in pictures]))


@pytest.fixture(scope="module")
def encoded(params, golden):
    return features(params, prepare(golden["square"], golden["wide"]))


def assert_relative(found, expected, tolerance):
    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error.max() < tolerance, error.max()


def test_shapes(encoded):
    assert encoded.pooled.shape == (2, 1280) and encoded.grid.shape == (2, 49, 1280)
    assert encoded.pooled.dtype == encoded.grid.dtype == jnp.float32


def test_golden_features(encoded, golden):
    """The wide picture is resized on the way, so the filter is pinned as well."""
    assert_relative(encoded.pooled, golden["shipped_pooled"], 1e-4)
    assert_relative(encoded.grid[:, golden["cells"]], golden["shipped_cells"], 1e-4)
    norms = np.linalg.norm(encoded.grid, axis=2)
    np.testing.assert_allclose(norms, golden["shipped_norms"], rtol=1e-4)


def test_rounding_of_the_shipped_weights(encoded, golden):
    """Against the published network in single precision, batch norm not folded."""
    assert_relative(encoded.pooled, golden["published_pooled"], 1e-2)


def test_pooled_is_the_mean_of_the_grid(encoded):
    np.testing.assert_allclose(encoded.pooled, encoded.grid.mean(1), rtol=1e-6, atol=1e-7)


def test_alone_as_in_a_batch(params, golden, encoded):
    alone = features(params, prepare(golden["wide"]))
    np.testing.assert_array_equal(alone.grid[0], encoded.grid[1])
    np.testing.assert_array_equal(alone.pooled[0], encoded.pooled[1])


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_shifted_products_equal_grouped_convolution(kernel, stride, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, size, size, 4), np.float32)
    params = {
        "d.kernel": rng.standard_normal((kernel, kernel, 4), np.float32),
        "d.bias": rng.standard_normal(4, np.float32),
    }
    found, expected = jax.jit(
        lambda x, params: (
            efficientnet._depthwise_shifted(x, params, "d", stride),
            efficientnet._depthwise_grouped(x, params, "d", stride),
        )
    )(x, params)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_both_forms_of_the_network_agree(params, golden, encoded):
    """What other devices compute equals what the CPU computes."""
    grid = jax.jit(efficientnet._grid, static_argnames="depthwise")(
        params, prepare(golden["square"]), depthwise=efficientnet._depthwise_grouped
    )
    assert_relative(grid, encoded.grid[:1], 1e-4)


def test_module_declares_the_same_parameters(params):
    module = EfficientNetLite0()
    images = jnp.zeros((1, 224, 224, 3))
    declared = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    assert {name: leaf.shape for name, leaf in declared.items()} == parameter_shapes()
    found = jax.eval_shape(module.apply, {"params": params}, images)
    assert found.grid.shape == (1, 49, 1280)


def test_size_of_the_network():
    assert sum(np.prod(shape) for shape in parameter_shapes().values()) == 3_350_000
    assert WEIGHTS.stat().st_size < 8e6
    assert (WEIGHTS.parent / "NOTICE").exists() and (WEIGHTS.parent / "LICENSE-APACHE-2.0").exists()


@pytest.mark.slow
@pytest.mark.parametrize("preprocessing", [PREPROCESSING, PREPROCESSING_288])
def test_against_pytorch(params, preprocessing):
    """PyTorch's forward pass of the same weights on random pictures, in float32."""
    torch = pytest.importorskip("torch", reason="this test compares with PyTorch, which is missing")
    path = ROOT / "tools/efficientnet_torch.py"
    spec = importlib.util.spec_from_file_location("efficientnet_torch", path)
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    model = reference.from_jaxcap({name: np.array(value) for name, value in params.items()})
    rng = np.random.default_rng(0)
    blotches = rng.integers(0, 256, (8, 9, 12, 3), np.uint8)
    resized = np.stack([preprocessing.resize(image) for image in blotches])
    images = preprocessing.normalise(jnp.asarray(resized))
    with torch.inference_mode():
        grid = model(torch.as_tensor(np.array(images)).permute(0, 3, 1, 2))
    expected = grid.flatten(2).permute(0, 2, 1).numpy()
    found = features(params, images)
    assert_relative(found.grid, expected, 1e-4)
    assert_relative(found.pooled, expected.mean(1), 1e-4)
