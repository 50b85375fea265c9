"""The matrix products of a train step and nothing else: what no arrangement of the rest can beat.

They are those of the step as written in the notebook, by XLA: h0, the input products, one recurrent
product a step, the logits, and twice as many for the gradients. Their results are summed, lest XLA
leave them out.
"""

import jax
import jax.numpy as jnp
from jax import lax

from contenders.setting import Run, Setting


def make(setting: Setting, params, features, captions) -> Run:
    s = setting
    G = params["Wx"].shape[1]
    gates = G // s.H
    shapes = {
        "features": (s.N, s.D),
        "x": (s.T * s.N, s.W),
        "h": (s.T * s.N, s.H),
        "da": (s.T * s.N, G),
        "dlogits": (s.T * s.N, s.V),
    }
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arrays = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    weights = {name: jnp.asarray(params[name]) for name in ("W_proj", "Wx", "Wh", "W_vocab")}

    def products(total, _):
        # Behind a barrier, lest products of what never changes be taken out of the loop.
        (a, w), total = lax.optimization_barrier(((arrays, weights), total))

        def forward(h, _):
            parts = jnp.split(h @ w["Wh"], gates, axis=1)
            return sum(parts) * 1e-3, None

        def backward(dh, _):
            return jnp.concatenate([dh] * gates, axis=1) @ w["Wh"].T * 1e-3, None

        last, _ = lax.scan(forward, a["features"] @ w["W_proj"], length=s.T)
        dh = a["dlogits"] @ w["W_vocab"].T
        first, _ = lax.scan(backward, dh[: s.N], length=s.T)
        results = (
            a["x"] @ w["Wx"],
            last,
            a["h"] @ w["W_vocab"],
            dh,
            a["h"].T @ a["dlogits"],
            a["h"].T @ a["da"],
            a["x"].T @ a["da"],
            a["da"] @ w["Wx"].T,
            a["features"].T @ first,
        )
        results = lax.optimization_barrier(results)
        return total + 1e-30 * sum((r * r).sum() for r in results), None

    train = jax.jit(lambda steps: lax.scan(products, 0.0, length=steps)[0], static_argnums=0)
    return lambda steps: float(train(steps))
