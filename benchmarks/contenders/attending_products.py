"""The matrix products of a train step of soft attention and nothing else, as `products` has them.

They are those of `products`; of the grid to values to keys, and of their gradients; and at each
step the query and the gate with the recurrent product, the mean of the values by the map, the
context, and the gradients of these. The scores are left out: they are of a tanh, which is no
product.
"""

import jax
import jax.numpy as jnp
from jax import lax

from contenders.setting import Run, Setting


def make(setting: Setting, params, image, captions) -> Run:
    s = setting
    W = {name: jnp.asarray(value) for name, value in params.items()}
    W["joined"] = jnp.concatenate([W["Wh"], W["W_query"], W["W_gate"]], axis=1)
    G, A, L = W["Wx"].shape[1], W["W_key"].shape[1], image.grid.shape[1]
    gates = G // s.H
    shapes = {
        "x": (s.T * s.N, s.W),
        "h": (s.T * s.N, s.H),
        "z": (s.T * s.N, W["W_key"].shape[0]),
        "da": (s.T * s.N, G),
        "djoined": (s.T * s.N, G + A + 1),
        "dlogits": (s.T * s.N, s.V),
        "alpha": (s.T, s.N, L),
        "dz": (s.T, s.N, W["W_key"].shape[0]),
        "dkeys": (s.N * L, A),
    }
    keys = jax.random.split(jax.random.key(0), len(shapes))
    arrays = {
        name: jax.random.normal(key, shape)
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }
    arrays |= {"pooled": image.pooled, "grid": image.grid.reshape(s.N * L, -1)}

    def products(total, _):
        # Behind a barrier, lest products of what never changes be taken out of the loop.
        (a, w), total = lax.optimization_barrier(((arrays, W), total))
        flat = a["grid"] @ w["W_grid"]
        keys, values = flat @ w["W_key"], flat.reshape(s.N, L, -1)

        def forward(h, alpha):
            hW = lax.optimization_barrier(h @ w["joined"])
            z = jnp.einsum("nl,nlc->nc", alpha * h[:, :1], values)
            parts = jnp.split(hW[:, :G] + z @ w["W_context"], gates, axis=1)
            return sum(parts) * 1e-3, None

        def backward(dh, _):
            da = jnp.concatenate([dh] * gates, axis=1)
            dz = da @ w["W_context"].T
            dalpha = jnp.einsum("nc,nlc->nl", dz, values)
            dquery = jnp.pad(dalpha, ((0, 0), (0, A + 1 - L))) if L <= A else dalpha[:, : A + 1]
            return jnp.concatenate([da, dquery], axis=1) @ w["joined"].T * 1e-3, None

        last, _ = lax.scan(forward, a["pooled"] @ w["W_proj"], a["alpha"])
        dh = a["dlogits"] @ w["W_vocab"].T
        first, _ = lax.scan(backward, dh[: s.N], length=s.T)
        dvalues = jnp.einsum("tnl,tnc->nlc", a["alpha"], a["dz"]).reshape(flat.shape)
        results = (
            *(keys, last, dh, first, a["x"] @ w["Wx"], a["h"] @ w["W_vocab"]),
            *(a["h"].T @ a["dlogits"], a["h"].T @ a["djoined"], a["z"].T @ a["da"]),
            *(a["x"].T @ a["da"], a["da"] @ w["Wx"].T, a["pooled"].T @ first),
            *(flat.T @ a["dkeys"], a["dkeys"] @ w["W_key"].T, a["grid"].T @ dvalues),
        )
        results = lax.optimization_barrier(results)
        return total + 1e-30 * sum(r[0, 0] for r in results), None

    train = jax.jit(lambda steps: lax.scan(products, 0.0, length=steps)[0], static_argnums=0)
    return lambda steps: float(train(steps))
