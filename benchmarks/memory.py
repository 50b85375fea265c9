"""What a train step keeps for its backward pass, and its peak of memory, plain and by `--remat`.

    python benchmarks/memory.py

For captions of 16, 64 and 256 words at N=128, D=512, W=256, H=512, V=1004: the arrays that the
forward pass of the hidden states hands to the backward pass (parameters left out); the working
memory that XLA plans for the whole compiled step; and the peak of resident memory of a process of
its own that takes two steps, Python and JAX included.

Then the working memory that XLA plans for a step of soft attention to 81 places of 1,280 numbers in
float16, with captions of 20 words that have an image each, or 27 images between them, as
`--order=images` draws them with five captions an image; nothing is run.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
from absl import app, flags
from contenders.setting import Setting

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image, as_image
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.optimiser import make_optimiser
from jaxcap.learning.step import init_state, train_step
from jaxcap.nn.captioner import _hidden_states
from jaxcap.nn.parameters import init_params
from jaxcap.nn.plan import ComputePlan

LENGTHS = flags.DEFINE_list("lengths", ["16", "64", "256"], "Words of a caption, T.")
CELLS = flags.DEFINE_list("cells", ["lstm", "rnn"], "Recurrent cells.")
NUM = flags.DEFINE_integer("num", 128, "Captions in the minibatch.", lower_bound=1)


def kept(setting: Setting, remat: bool) -> int:
    """Bytes that the backward pass of the hidden states is given, parameters left out."""
    model = setting.model
    params = jax.eval_shape(partial(init_params, config=model), jax.random.key(0))
    features = jax.ShapeDtypeStruct((setting.N, setting.D), jnp.float32)
    words = jax.ShapeDtypeStruct((setting.T, setting.N), jnp.int32)

    def forward(params, features, words):
        def states(params):
            plan = ComputePlan(remat=remat)
            batch = Batch(Image(features), words.T)
            return _hidden_states(params, model, batch, words, None, None, plan)[0]

        return jax.vjp(states, params)[1]

    saved = jax.tree.leaves(jax.eval_shape(forward, params, features, words))
    shapes = {p.shape for p in params.values()}
    return sum(x.size * x.dtype.itemsize for x in saved if x.shape not in shapes)


def measure(setting: Setting, remat: bool) -> tuple[int, float, float]:
    """Bytes that XLA plans, seconds of a step, and the process's peak in GiB."""
    optimiser = make_optimiser(OptimiserConfig(), steps_per_epoch=100)
    plan = ComputePlan.choose(setting.V, setting.N, setting.T + 1, remat=remat)
    step = jax.jit(
        partial(train_step, loss=Likelihood(setting.model, plan=plan), optimiser=optimiser),
        donate_argnums=0,
    )
    features, captions = setting.minibatch()
    batch = Batch(as_image(features), jnp.asarray(captions))
    state = init_state(jax.random.key(0), setting.model, optimiser)
    compiled = step.lower(state, batch).compile()
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        state, loss = compiled(state, batch)
        loss.block_until_ready()
        times.append(time.perf_counter() - begin)
    planned = compiled.memory_analysis().temp_size_in_bytes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux KiB.
    return (
        planned,
        statistics.median(times[1:]),
        peak / (2**30 if sys.platform == "darwin" else 2**20),
    )


def planned_attending(num: int, images: int | None, remat: bool) -> int:
    """Bytes that XLA plans for a step of soft attention."""
    setting, places, grid_dim = Setting(N=num, T=20), 81, 1280
    model = replace(setting.model, attention="soft", grid_dim=grid_dim)
    optimiser = make_optimiser(OptimiserConfig(), steps_per_epoch=100)
    plan = ComputePlan.choose(setting.V, num, setting.T + 1, remat=remat)
    step = partial(train_step, loss=Likelihood(model, plan=plan), optimiser=optimiser)
    state = jax.eval_shape(lambda: init_state(jax.random.key(0), model, optimiser))
    shape = partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    rows = images or num
    grid = jax.ShapeDtypeStruct((rows, places, grid_dim), jnp.float16)
    batch = Batch(
        Image(shape((rows, setting.D)), grid),  # pyright: ignore[reportArgumentType]
        shape((num, setting.T + 1), dtype=jnp.int32),
        rows=None if images is None else shape((num,), dtype=jnp.int32),
    )
    compiled = jax.jit(step, donate_argnums=0).lower(state, batch).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def main(argv: list[str]) -> None:
    del argv
    for cell in CELLS.value:
        for length in map(int, LENGTHS.value):
            setting = Setting(cell=cell, N=NUM.value, T=length)
            for remat in (False, True):
                bytes_kept = kept(setting, remat)
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    planned, seconds, peak = pool.apply(measure, (setting, remat))
                each = bytes_kept / (setting.N * setting.T * setting.H)
                print(
                    f"{cell.upper()} T={length:3} {'remat' if remat else '     '}: kept "
                    f"{bytes_kept / 2**20:6.1f} MiB ({each:4.1f} H bytes a word), "
                    f"planned {planned / 2**20:.0f}, peak {peak:.2f} GiB, {1e3 * seconds:.0f} ms",
                    flush=True,
                )
    for images in (None, 27):
        for remat in (False, True):
            planned = planned_attending(NUM.value, images, remat)
            print(
                f"soft attention, {images or NUM.value} images {'remat' if remat else '     '}: "
                f"planned {planned:,} bytes"
            )


if __name__ == "__main__":
    app.run(main)
