"""A sweep in one program against its members trained one after another, in the same run.

    python benchmarks/sweep.py

Members are every combination of three learning rates and four seeds, on random captions of the
notebook's shapes: D=512, W=256, 16 words predicted, in two sizes. One after another, every learning
rate is a program of its own, as it is for the command; how long those and that of the sweep take to
compile is printed apart. Rounds alternate, and the median of each and of the ratio are printed. The
sweep is measured both ways: all members at once (`vmap`), and one after another within the program,
which is what it does on a CPU.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import Split
from jaxcap.data.image import as_image
from jaxcap.data.seeds import split_seed
from jaxcap.learning.loop import TrainingConfig, init_state, train_steps
from jaxcap.learning.sweep import (
    Member,
    Program,
    init_states,
    members,
    stack_captions,
    stack_numbers,
    sweep_steps,
)
from jaxcap.nn.captioner import CaptionerConfig

D, W, T = 512, 256, 16
SIZES = {
    "launch/small.flags, N=25 H=512 V=90": (25, 512, 90),
    "N=25 H=512 V=1004": (25, 512, 1004),
    "N=25 H=128 V=90": (25, 128, 90),
}

RATES = flags.DEFINE_list("rates", ["1e-3", "3e-3", "1e-2"], "Learning rates.")
NUM_SEEDS = flags.DEFINE_integer("num_seeds", 4, "Seeds of each.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 5, "Alternating rounds.", lower_bound=3)
STEPS = flags.DEFINE_integer("steps", 10, "Minibatches in a round.", lower_bound=1)


def captions_of(num: int, vocab_size: int) -> Split:
    rng = np.random.default_rng(0)
    captions = rng.integers(4, vocab_size, (num, T + 1), np.int32)
    captions[:, 0] = 1
    features = rng.standard_normal((num, D), np.float32)
    return Split(
        jnp.asarray(captions),
        jnp.arange(num, dtype=jnp.int32),
        as_image(features),
        np.zeros(0, "S1"),
    )


def one_after_another(
    found: list[Member], model: CaptionerConfig, training: TrainingConfig, data: CaptionSet
) -> tuple[Callable[[], None], float]:
    """What trains all members on the next minibatches, and the seconds that it took to compile."""
    configs = [member.configure(model, training) for member in found]
    states = [
        init_state(split_seed(member.seed).state_key, *config)
        for member, config in zip(found, configs, strict=True)
    ]
    begin = time.perf_counter()
    programs = {
        config: train_steps.lower(
            states[0], data, model=config[0], training=config[1], count=STEPS.value
        ).compile()
        for config in set(configs)
    }
    compiling = time.perf_counter() - begin

    def run() -> None:
        for i, config in enumerate(configs):
            states[i], result = programs[config](states[i], data)
            # The command looks at the losses after every call.
            np.asarray(result.losses)

    return run, compiling


def together(
    found: list[Member], program: Program, data: CaptionSet
) -> tuple[Callable[[], None], float]:
    """As `one_after_another`, in one program."""
    states, numbers = init_states(found, program), stack_numbers(found)
    begin = time.perf_counter()
    lowered = sweep_steps.lower(states, numbers, data, program=program, count=STEPS.value)
    compiled = lowered.compile()
    compiling = time.perf_counter() - begin

    def run() -> None:
        nonlocal states
        states, result = compiled(states, numbers, data)
        np.asarray(result.losses)

    return run, compiling


def seconds(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def main(argv: list[str]) -> None:
    del argv
    found = members({"learning_rate": [*map(float, RATES.value)]}, 0, NUM_SEEDS.value)
    steps = len(found) * STEPS.value
    print(
        f"jax {jax.__version__} on {jax.devices()[0]}, {len(found)} captioners, median of "
        f"{ROUNDS.value} rounds of {STEPS.value} steps"
    )
    for size, (num, hidden_dim, vocab_size) in SIZES.items():
        model = CaptionerConfig(vocab_size, D, W, hidden_dim)
        training = TrainingConfig(batch_size=num)
        data = stack_captions([captions_of(STEPS.value * num, vocab_size)])
        alone, compiling = one_after_another(found, model, training, data)
        print(size)
        sweeps = {}
        for name, vectorised in (("vmap", True), ("one by one within it", False)):
            program = Program.of(found, model, training, vectorised)
            sweeps[name], took = together(found, program, data)
            print(f"  compiled in {took:.1f} s ({name}), alone in {compiling:.1f} s")
        for run in (alone, *sweeps.values()):
            run()
        rounds = []
        for _ in range(ROUNDS.value):
            rounds.append((seconds(alone), *(seconds(run) for run in sweeps.values())))
        base = statistics.median(times[0] for times in rounds)
        for i, name in enumerate(sweeps, 1):
            ratio = statistics.median(times[0] / times[i] for times in rounds)
            ours = statistics.median(times[i] for times in rounds)
            print(
                f"  {name}: {1e3 * ours / steps:.2f} ms a captioner and step, alone "
                f"{1e3 * base / steps:.2f} ms, {ratio:.2f} times as fast"
            )


if __name__ == "__main__":
    app.run(main)
