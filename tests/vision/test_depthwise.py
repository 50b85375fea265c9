"""The gradient of the depthwise convolution, and of the network that it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxcap.nn.gradcheck import gradient_errors, rel_error
from jaxcap.vision.depthwise import depthwise
from jaxcap.vision.efficientnet import (
    LITE0,
    Network,
    Stage,
    grid_with_xla,
    parameter_shapes,
)
from jaxcap.vision.efficientnet_training import frozen_names, trainable_features

# Both strides and kernels, with and without expansion and residual connection.
TINY = Network(4, (Stage(1, 3, 1, 1, 4), Stage(2, 5, 2, 2, 6), Stage(1, 3, 1, 2, 6)), 1280)


def grouped(x, kernel, bias, stride):
    filtered = lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=kernel.shape[-1],
    )
    return filtered + bias[None, None, None]


def arrays(size, kernel, num, width):
    rng = np.random.default_rng(size + kernel)
    shapes = (num, size, size, width), (kernel, kernel, width), (width,)
    return tuple(jnp.asarray(rng.standard_normal(shape)) for shape in shapes)


@pytest.mark.parametrize("size", [2, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_every_gradient_is_that_of_the_grouped_convolution(x64, size, stride, kernel):
    args = arrays(size, kernel, 2, 3)

    def with_gradients(convolve):
        y, pull_back = jax.vjp(lambda *args: convolve(*args, stride), *args)
        return y, *pull_back(jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape))

    both = jax.jit(lambda: (with_gradients(depthwise), with_gradients(grouped)))
    for found, right in zip(*both(), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)


def test_every_gradient_is_that_of_differences(x64):
    convolve = jax.jit(lambda *args: depthwise(*args, 2))
    dy = jnp.asarray([[[[1.0], [-2.0]], [[3.0], [0.5]]]])
    errors = gradient_errors(convolve, arrays(4, 3, 1, 1), dy)
    assert max(errors) < 1e-8


def tiny_params(dtype):
    rng = np.random.default_rng(0)
    return {
        name: jnp.asarray(rng.standard_normal(shape) * (np.prod(shape[:-1]) or 1) ** -0.5, dtype)
        for name, shape in parameter_shapes(TINY).items()
    }


@pytest.mark.parametrize("frozen", [0, 3])
def test_the_network_has_the_gradient_of_autodiff_and_frozen_blocks_none(x64, frozen):
    params, rng = tiny_params(jnp.float64), np.random.default_rng(1)
    images = jnp.asarray(rng.standard_normal((6, 21, 21, 3)))
    weights = jnp.asarray(rng.standard_normal(grid_with_xla(params, images, TINY).shape))

    def loss(params):
        return (trainable_features(params, images, TINY, frozen=frozen).grid * weights).sum()

    def expected(params):
        return (grid_with_xla(params, images, TINY) * weights).sum()

    value, grads = jax.jit(jax.value_and_grad(loss))(params)
    right, grads_expected = jax.jit(jax.value_and_grad(expected))(params)
    np.testing.assert_allclose(value, right, rtol=1e-10)
    still = frozen_names(frozen, TINY)
    assert len(still) == (0 if not frozen else 2 + 4 + 6 + 6)
    for name, grad in grads.items():
        if name in still:
            assert not grad.any()
        else:
            assert rel_error(grad, grads_expected[name]) < 1e-6 and grad.any()


def test_more_frozen_blocks_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="`frozen` must be from 0 to 16 blocks, got 17"):
        frozen_names(17, LITE0)
