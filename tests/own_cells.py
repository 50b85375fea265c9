"""Cells that are not jaxcap's: some that a captioner takes, and some that it must refuse."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxcap.nn.cells import Cell, RNNCarry

# Pure functions


def gru_update(a, carry):
    """h' = z * h + (1 - z) * n: a gated unit without a reset gate."""
    z, n = jnp.split(a, 2, axis=-1)
    z, n = jax.nn.sigmoid(z), jnp.tanh(n)
    return RNNCarry(z * carry.h + (1 - z) * n), (z, n)


def gru_pull_back(saved, before, after, dafter):
    z, n = saved
    dz, dn = dafter.h * (before.h - n), dafter.h * (1 - z)
    da = jnp.concatenate([dz * z * (1 - z), dn * (1 - n * n)], axis=-1)
    return da, RNNCarry(dafter.h * z)


gru = Cell(2, RNNCarry, gru_update, gru_pull_back)


class LeakyCarry(NamedTuple):
    h: jax.Array
    memory: jax.Array
    """(N, 1, H), of another shape than h, to which backward passes must not be blind."""


def leaky_start(h0):
    return LeakyCarry(h0, jnp.zeros_like(h0)[:, None])


def leaky_update(a, carry):
    memory = 0.5 * carry.memory + jnp.tanh(a)[:, None]
    return LeakyCarry(jnp.sin(memory[:, 0]) + 0.1 * carry.h, memory), ()


leaky = Cell(1, leaky_start, leaky_update, path="own_cells:leaky")


# Linen


class Gated(NamedTuple):
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


def _changed(base, change, before=lambda x: x):
    """A Linen cell whose results or inputs are changed."""

    class Changed(base):
        @nn.compact
        def __call__(self, carry, x):
            return change(*super().__call__(carry, before(x)))

    return Changed


def _break(carry, h):
    raise RuntimeError("this cell\nis broken")


Wide = _changed(nn.GRUCell, lambda carry, h: (carry, jnp.concatenate([h, h], axis=-1)))
Anonymous = _changed(nn.LSTMCell, lambda carry, h: (carry, 2 * h))
Growing = _changed(nn.GRUCell, lambda carry, h: ((carry, h), h))
Broken = _changed(nn.GRUCell, _break)
Normed = _changed(
    nn.GRUCell, lambda *out: out, lambda x: nn.BatchNorm(use_running_average=False)(x)
)
Noisy = _changed(nn.GRUCell, lambda *out: out, lambda x: nn.Dropout(0.5, deterministic=False)(x))
