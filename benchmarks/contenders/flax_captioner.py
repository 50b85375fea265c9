"""The captioner as Flax users write it: `nn.RNN` over an `OptimizedLSTMCell`, under autodiff."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from contenders.setting import LEARNING_RATE, NULL, Run, Setting


class FlaxCaptioner(nn.Module):
    setting: Setting

    @nn.compact
    def __call__(self, features, words):
        h0 = nn.Dense(self.setting.H, name="project")(features)
        x = nn.Embed(self.setting.V, self.setting.W, name="embed")(words)
        if self.setting.cell == "lstm":
            cell = nn.OptimizedLSTMCell(self.setting.H, name="cell")
            carry = (jnp.zeros_like(h0), h0)
        else:
            cell = nn.SimpleCell(self.setting.H, name="cell")
            carry = h0
        h = nn.RNN(cell)(x, initial_carry=carry)
        return nn.Dense(self.setting.V, name="vocab")(h)


def variables(setting: Setting, params: dict[str, np.ndarray]):
    """The same weights under Flax's names."""
    if setting.cell == "lstm":
        cell = {}
        for gate, columns in zip("ifog", np.split(np.arange(4 * setting.H), 4), strict=True):
            cell[f"i{gate}"] = {"kernel": params["Wx"][:, columns]}
            cell[f"h{gate}"] = {
                "kernel": params["Wh"][:, columns],
                "bias": params["b"][columns],
            }
    else:
        cell = {
            "i": {"kernel": params["Wx"], "bias": params["b"]},
            "h": {"kernel": params["Wh"]},
        }
    tree = {
        "project": {"kernel": params["W_proj"], "bias": params["b_proj"]},
        "embed": {"embedding": params["W_embed"]},
        "cell": cell,
        "vocab": {"kernel": params["W_vocab"], "bias": params["b_vocab"]},
    }
    return {"params": jax.tree.map(jnp.asarray, tree)}


def make(setting: Setting, params, features, captions) -> Run:
    module = FlaxCaptioner(setting)
    weights = variables(setting, params)
    adam = optax.adam(LEARNING_RATE)
    state = weights, adam.init(weights)
    features, captions = jnp.asarray(features), jnp.asarray(captions)

    def loss(weights, features, captions):
        words, targets = captions[:, :-1], captions[:, 1:]
        logits = module.apply(weights, features, words)
        nats = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        return jnp.where(targets != NULL, nats, 0.0).sum() / len(captions)

    @partial(jax.jit, static_argnums=3, donate_argnums=0)
    def train(state, features, captions, steps):
        def body(state, _):
            weights, moments = state
            value, grads = jax.value_and_grad(loss)(weights, features, captions)
            updates, moments = adam.update(grads, moments)
            return (optax.apply_updates(weights, updates), moments), value

        return lax.scan(body, state, length=steps)

    def run(steps: int) -> float:
        nonlocal state
        state, losses = train(state, features, captions, steps)
        return float(losses[-1])

    return run
