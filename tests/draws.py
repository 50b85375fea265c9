"""Random arrays by NumPy: JAX's own draws compile a program for each shape."""

import jax.numpy as jnp
import numpy as np


def normal(seed, shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def word_ids(seed, shape, low, high):
    """int32, from `low` to below `high`."""
    return jnp.asarray(np.random.default_rng(seed).integers(low, high, shape), jnp.int32)


def parameters(config, dtype=jnp.float32):
    """Random parameters of a captioner, biases too, in place of its own initial ones."""
    shapes = config.parameter_shapes()
    return {name: normal(k, shape, dtype) / 2 for k, (name, shape) in enumerate(shapes.items())}
