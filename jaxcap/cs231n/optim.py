"""The update rules of the course, each an Optax transformation of one array.

Call a rule as `next_w, config = rule(w, dw, config)`. The dictionary holds the settings, and the
state of the array between calls. Missing entries get defaults, and the rule updates it in place.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxcap.cs231n.arrays import common_dtype, to_numpy

_Floats = Float[np.ndarray, "..."]
_Config = dict[str, Any]


def sgd(w: _Floats, dw: _Floats, config: _Config | None = None) -> tuple[_Floats, _Config]:
    """Take a step of stochastic gradient descent; settings: `learning_rate` (1e-2)."""
    config = _filled(config, w, (), learning_rate=1e-2)
    w, _ = _update(optax.identity, (), w, dw, optax.EmptyState(), config["learning_rate"])
    return w, config


def sgd_momentum(w: _Floats, dw: _Floats, config: _Config | None = None) -> tuple[_Floats, _Config]:
    """Take a step of gradient descent with momentum.

    Settings: `learning_rate` (1e-2), `momentum` (0.9); state: `velocity`, of the shape of `w`.
    """
    config = _filled(config, w, ("velocity",), learning_rate=1e-2, momentum=0.9)
    # The velocity stored between calls includes the step size.
    step = -config["learning_rate"] * np.asarray(dw)
    state = optax.TraceState(config["velocity"])
    w, state = _update(optax.trace, (config["momentum"],), w, step, state, -1.0)
    config["velocity"] = state.trace
    return w, config


def rmsprop(x: _Floats, dx: _Floats, config: _Config | None = None) -> tuple[_Floats, _Config]:
    """Take a step of RMSProp.

    Settings: `learning_rate` (1e-2), `decay_rate` (0.99), `epsilon` (1e-8); state: `cache`, of the
    shape of `x`.
    """
    config = _filled(config, x, ("cache",), learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8)
    options = (config["decay_rate"], config["epsilon"], 0.0, False)
    state = optax.ScaleByRmsState(config["cache"])
    x, state = _update(optax.scale_by_rms, options, x, dx, state, config["learning_rate"])
    config["cache"] = state.nu
    return x, config


def adam(x: _Floats, dx: _Floats, config: _Config | None = None) -> tuple[_Floats, _Config]:
    """Take a step of Adam (Kingma and Ba 2015).

    Settings: `learning_rate` (1e-3), `beta1` (0.9), `beta2` (0.999), `epsilon` (1e-8); state: the
    moments `m` and `v`, of the shape of `x`, and the number of steps `t`.
    """
    settings = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 0}
    config = _filled(config, x, ("m", "v"), **settings)
    options = (config["beta1"], config["beta2"], config["epsilon"])
    state = optax.ScaleByAdamState(np.asarray(config["t"], np.int32), config["m"], config["v"])
    x, state = _update(optax.scale_by_adam, options, x, dx, state, config["learning_rate"])
    config.update(t=int(state.count), m=state.mu, v=state.nu)
    return x, config


RULES = {rule.__name__: rule for rule in (sgd, sgd_momentum, rmsprop, adam)}


def _filled(config: _Config | None, w: _Floats, state: tuple[str, ...], **settings: Any) -> _Config:
    """Add missing entries to `config`: zeros of the shape of `w` for `state`, and `settings`."""
    config = {} if config is None else config
    for name, value in settings.items():
        config.setdefault(name, value)
    for name in state:
        if name not in config:
            config[name] = np.zeros_like(w)
    return config


def _update(
    make: Callable[..., optax.GradientTransformation],
    options: tuple[Any, ...],
    w: _Floats,
    dw: _Floats,
    state: Any,
    learning_rate: float,
) -> tuple[_Floats, Any]:
    """Take one step by `make(*options)`, in the dtype of the array; NumPy arrays in and out."""
    dtype = common_dtype(w)
    w, dw = np.asarray(w, dtype), np.asarray(dw, dtype)
    with jax.enable_x64(True):
        return to_numpy(_step(make, options, w, dw, state, float(learning_rate)))


@partial(jax.jit, static_argnums=(0, 1))
def _step(
    make: Callable[..., optax.GradientTransformation],
    options: tuple[Any, ...],
    w: Array,
    dw: Array,
    state: Any,
    learning_rate: Array,
) -> tuple[Any, Any]:
    updates, state = make(*options).update(dw, state)
    return optax.apply_updates(w, optax.tree.scale(-learning_rate, updates)), state
