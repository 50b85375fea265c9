"""A sweep in one program against its members trained one after another, in the same run.

    python benchmarks/sweep.py

Members are every combination of three learning rates and four seeds, on random captions of the
notebook's shapes: D=512, W=256, 16 words predicted, in three sizes. One after another they share a
program; how long it and that of the sweep take to compile is printed apart. Rounds alternate, and
the median of each and of the ratio are printed. The sweep is measured both ways: all members at
once (`vmap`), and one after another within the program, which is what it does on a CPU.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import jax
import numpy as np
from absl import app, flags

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import Dataset
from jaxcap.data.seeds import split_seed
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import Learner, make_learner
from jaxcap.learning.loop import Call, compile_steps
from jaxcap.learning.sweep import Member, make_learners, members
from jaxcap.nn.config import CaptionerConfig
from jaxcap.text.vocabulary import Vocabulary

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


def captions_of(num: int, vocab_size: int) -> Dataset:
    rng = np.random.default_rng(0)
    captions = rng.integers(4, vocab_size, (num, T + 1), np.int32)
    captions[:, 0] = 1
    features = rng.standard_normal((num, D), np.float32)
    words = Vocabulary.build(map(str, range(vocab_size - 4)))
    return Dataset.from_arrays(captions, np.arange(num), features, words)


def one_after_another(
    found: list[Member], model: CaptionerConfig, training: TrainingConfig, data: Dataset
) -> tuple[Callable[[], None], float]:
    """What trains all members on the next minibatches, and the seconds that it took to compile."""
    learners = [
        make_learner(*member.configure(model, training), data, split_seed(member.seed).state_key)
        for member in found
    ]
    states = [learner.state for learner in learners]
    captions = CaptionSet.of(data.train)
    begin = time.perf_counter()
    programs = [
        compile_steps(learner.state, captions, learner.loss, learner.optimiser, call(training))
        for learner in learners
    ]
    compiling = time.perf_counter() - begin

    def run() -> None:
        for i, program in enumerate(programs):
            states[i], result = program(states[i], captions)
            # The command looks at the losses after every call.
            np.asarray(result.losses)

    return run, compiling


def together(
    learner: Learner, training: TrainingConfig, data: Dataset, vectorised: bool
) -> tuple[Callable[[], None], float]:
    """As `one_after_another`, in one program."""
    state, captions = learner.state, CaptionSet.of(data.train)
    this = replace(call(training), vectorised=vectorised)
    begin = time.perf_counter()
    program = compile_steps(state, captions, learner.loss, learner.optimiser, this)
    compiling = time.perf_counter() - begin

    def run() -> None:
        nonlocal state
        state, result = program(state, captions)
        np.asarray(result.losses)

    return run, compiling


def call(training: TrainingConfig) -> Call:
    num = STEPS.value * training.batch_size
    return Call(count=STEPS.value, num_captions=num, batch_size=training.batch_size)


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
        data = captions_of(STEPS.value * num, vocab_size)
        alone, compiling = one_after_another(found, model, training, data)
        print(size)
        sweeps = {}
        for name, vectorised in (("vmap", True), ("one by one within it", False)):
            learner = make_learners(found, model, training, data)
            sweeps[name], took = together(learner, training, data, vectorised)
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
