"""VGG16 against plain NumPy on a small network, and against PyTorch's layers at full size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxcap.vision.encoder import load_encoder
from jaxcap.vision.vgg16 import (
    STAGES,
    VGG16,
    convolution_names,
    fc7,
    file_shapes,
    from_torchvision,
    load_params,
)

SMALL = ((4, 5), (6,))


def random_tensors(shapes, seed=0):
    """Weights as torchvision stores them, of a size that keeps activations near one."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape, np.float32) / np.sqrt(np.prod(shape[1:]) / 2)).astype("f")
        for name, shape in shapes.items()
    }


def convolve(x, weight, bias):
    """Convolve (C, H, W) with (O, C, 3, 3), padded by one."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.einsum("chwij,ocij->ohw", windows, weight) + bias[:, None, None]


def plain_fc7(tensors, image, stages):
    """The network in PyTorch's layout, one picture (H, W, 3), no library."""
    x = image.transpose(2, 0, 1)
    for names in convolution_names(stages):
        for name in names:
            x = np.maximum(convolve(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"]), 0)
        channels, height, width = x.shape
        x = x.reshape(channels, height // 2, 2, width // 2, 2).max((2, 4))
    x = x.reshape(-1)
    for name in ("classifier.0", "classifier.3"):
        x = np.maximum(tensors[f"{name}.weight"] @ x + tensors[f"{name}.bias"], 0)
    return x


def test_against_numpy():
    tensors = random_tensors(file_shapes(SMALL, hidden=7, size=8))
    images = np.random.default_rng(1).standard_normal((3, 8, 8, 3)).astype(np.float32)
    found = fc7(from_torchvision(tensors), jnp.asarray(images), SMALL)
    expected = np.stack([plain_fc7(tensors, image, SMALL) for image in images])
    assert found.shape == (3, 7) and (found > 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_names_are_torchvisions():
    indices = [int(name.split(".")[1]) for names in convolution_names() for name in names]
    assert indices == [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    shapes = file_shapes()
    assert shapes["features.28.weight"] == (512, 512, 3, 3)
    assert shapes["classifier.0.weight"] == (4096, 25088)
    assert shapes["classifier.3.weight"] == (4096, 4096)
    assert len(shapes) == 2 * 15


def test_module_declares_the_same_parameters():
    module = VGG16(SMALL, hidden=7)
    images = jnp.ones((2, 8, 8, 3))
    declared = jax.eval_shape(module.init, jax.random.key(0), images)["params"]
    converted = from_torchvision(random_tensors(file_shapes(SMALL, hidden=7, size=8)))
    assert {name: leaf.shape for name, leaf in declared.items()} == {
        name: leaf.shape for name, leaf in converted.items()
    }
    found = module.apply({"params": converted}, images)
    np.testing.assert_array_equal(found, fc7(converted, images, SMALL))


def test_a_file_of_another_network(tmp_path):
    path = tmp_path / "vgg.safetensors"
    save_file({"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)}, path)
    with pytest.raises(ValueError, match=r"vgg\.safetensors: features\.0\.bias is missing"):
        load_params(path)


@pytest.mark.slow
def test_against_pytorch(tmp_path):
    """The full network, through a file, with random weights."""
    torch = pytest.importorskip("torch", reason="this test compares with PyTorch, which is missing")
    nn = torch.nn
    tensors = random_tensors(file_shapes())
    path = tmp_path / "vgg16.safetensors"
    save_file({**tensors, "classifier.6.bias": np.zeros(1000, np.float32)}, path)
    layers, width = [], 3
    for stage in STAGES:
        for out in stage:
            layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
            width = out
        layers.append(nn.MaxPool2d(2))
    hidden = [nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU()]
    model = nn.ModuleDict(
        {"features": nn.Sequential(*layers), "classifier": nn.Sequential(*hidden)}
    )
    model.load_state_dict({name: torch.as_tensor(value) for name, value in tensors.items()})
    model.eval()
    images = np.random.default_rng(1).standard_normal((2, 224, 224, 3)).astype(np.float32)
    with torch.inference_mode():
        grid = model["features"](torch.as_tensor(images).permute(0, 3, 1, 2))
        expected = model["classifier"](grid.flatten(1)).numpy()
    found = fc7(load_encoder("vgg16", path).params, jnp.asarray(images))
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 1e-4, error
