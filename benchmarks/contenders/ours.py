"""jaxcap's train step, several in one call as `jaxcap.train` takes them."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from contenders.setting import LEARNING_RATE, Run, Setting
from jaxcap.data.batches import Batch
from jaxcap.data.image import as_image
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.learning.step import init_state, train_step
from jaxcap.nn.products import matmul_precision


def make(
    setting: Setting, params, features, captions, *, precision: str = "float32", rows=None
) -> Run:
    model = setting.model
    loss = Likelihood(model)
    optimiser = make_optimiser(OptimiserConfig(learning_rate=LEARNING_RATE), steps_per_epoch=10**6)
    batch = Batch(as_image(features), jnp.asarray(captions), rows=rows)
    params = jax.tree.map(jnp.asarray, params)
    state = init_state(jax.random.key(0), model, optimiser, params)

    @partial(jax.jit, static_argnums=3, donate_argnums=0)
    def train(state, batch, optimiser, steps):
        def body(state, _):
            return train_step(state, batch, loss, optimiser)

        with matmul_precision(precision):
            return lax.scan(body, state, length=steps)

    def run(steps: int) -> float:
        nonlocal state
        state, losses = train(state, batch, optimiser, steps)
        return float(losses[-1])

    return run
