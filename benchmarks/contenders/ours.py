"""jaxcap's train step, several in one call as `jaxcap.train` takes them."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from contenders.setting import LEARNING_RATE, Run, Setting
from jaxcap.data.batches import Batch
from jaxcap.data.image import as_image
from jaxcap.learning.loop import TrainingConfig, init_state, train_step
from jaxcap.learning.optimiser import OptimiserConfig, make_optimiser
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import matmul_precision


def make(setting: Setting, params, features, captions, *, precision: str = "float32") -> Run:
    model = setting.model
    training = TrainingConfig(
        batch_size=setting.N, optimiser=OptimiserConfig(learning_rate=LEARNING_RATE)
    )
    plan = ComputePlan.choose(setting.V, setting.N, setting.T + 1)
    optimiser = make_optimiser(training.optimiser, 10**6, 1)
    batch = Batch(as_image(features), jnp.asarray(captions))
    params = jax.tree.map(jnp.asarray, params)
    state = init_state(jax.random.key(0), model, training, params)

    @partial(jax.jit, static_argnums=2, donate_argnums=0)
    def train(state, batch, steps):
        def body(state, _):
            return train_step(state, batch, model, optimiser, plan=plan)

        with matmul_precision(precision):
            return lax.scan(body, state, length=steps)

    def run(steps: int) -> float:
        nonlocal state
        state, losses = train(state, batch, steps)
        return float(losses[-1])

    return run
