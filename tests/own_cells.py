"""Cells that are not jaxcap's: some that a captioner takes, and some that it must refuse."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp


class Gated(NamedTuple):
    """Carry with the hidden state first, and a count of the words."""

    h: jax.Array
    memory: jax.Array
    count: jax.Array


class GatedCell(nn.RNNCellBase):
    """h' = tanh(memory'), where the memory leaks; nested parameters, an integer in the carry."""

    features: int

    @nn.compact
    def __call__(self, carry, x):
        gates = nn.Sequential([nn.Dense(3, use_bias=False), nn.Dense(self.features)], name="gate")
        keep = nn.sigmoid(gates(jnp.concatenate([carry.h, x], axis=-1)))
        memory = keep * carry.memory + (1 - keep) * nn.Dense(self.features, name="in")(x)
        h = jnp.tanh(memory)
        return Gated(h, memory, carry.count + 1), h

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        shape = (*input_shape[:-1], self.features)
        ones = jnp.ones(shape, jnp.float32)
        return Gated(jnp.zeros(shape, jnp.float32), ones, jnp.zeros(input_shape[:-1], jnp.int32))

    @property
    def num_feature_axes(self):
        return 1


class Wide(nn.GRUCell):
    """An output that is wider than it was asked to be."""

    def __call__(self, carry, x):
        carry, h = super().__call__(carry, x)
        return carry, jnp.concatenate([h, h], axis=-1)


class Anonymous(nn.LSTMCell):
    """An output that is none of the arrays in its carry."""

    def __call__(self, carry, x):
        carry, h = super().__call__(carry, x)
        return carry, 2 * h


class Growing(nn.GRUCell):
    """A carry of another structure after a step."""

    def __call__(self, carry, x):
        carry, h = super().__call__(carry, x)
        return (carry, h), h


class RowsLast(GatedCell):
    """A carry whose count does not have the rows first."""

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        carry = super().initialize_carry(rng, input_shape)
        return carry._replace(count=jnp.zeros((7,), jnp.int32))


class WideState(nn.RNNCellBase):
    """A single array as the carry, wider than the hidden state."""

    features: int

    @nn.compact
    def __call__(self, carry, x):
        carry = nn.Dense(self.features + 1)(x) + carry
        return carry, carry[:, 1:]

    @nn.nowrap
    def initialize_carry(self, rng, input_shape):
        return jnp.zeros((*input_shape[:-1], self.features + 1))


class Normed(nn.GRUCell):
    """Running statistics, which a captioner does not keep."""

    @nn.compact
    def __call__(self, carry, x):
        return super().__call__(carry, nn.BatchNorm(use_running_average=False)(x))


class Noisy(nn.GRUCell):
    """Random numbers in a step."""

    @nn.compact
    def __call__(self, carry, x):
        return super().__call__(carry, nn.Dropout(0.5, deterministic=False)(x))


class Broken(nn.GRUCell):
    """A fault of its own."""

    def __call__(self, carry, x):
        raise RuntimeError("this cell\nis broken")
