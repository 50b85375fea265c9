"""Time of a train step against N, T, H and V, as a plot: `docs/cost_curves.svg`.

    python benchmarks/cost_curves.py

One size varies at a time from N=128, T=16, H=512, V=1004 (D=512, W=256). Beside each measured curve
stands what the arithmetic of the step expects, scaled through its largest size: products of
`rows * (4 W H + 4 H^2 + H V)` numbers, forward once and backward twice, where rows = N T; the part
of the inputs counts V rows where there are more than V. A time above it means that the size uses
the machine less well.
"""

import statistics
import time
from dataclasses import replace
from pathlib import Path

from absl import app, flags
from contenders import ours
from contenders.setting import Setting
from matplotlib.figure import Figure

from jaxcap.plots import save_figure

OUTPUT = flags.DEFINE_string("output", "docs/cost_curves.svg", "File of the plot, SVG or PNG.")
ROUNDS = flags.DEFINE_integer("rounds", 5, "Measurements of each point.", lower_bound=1)
SIZES = {
    "N": [16, 32, 64, 128, 256, 512],
    "T": [4, 8, 16, 32, 64, 128],
    "H": [64, 128, 256, 512, 1024],
    "V": [256, 1004, 4000, 16000],
}
NAMES = {
    "N": "captions in a minibatch, N",
    "T": "words of a caption, T",
    "H": "hidden units, H",
    "V": "words of the vocabulary, V",
}


def products(s: Setting) -> float:
    """Multiplications of a forward pass."""
    rows = s.N * s.T
    inputs = min(rows, s.V) * s.W * 4 * s.H
    return inputs + rows * (4 * s.H * s.H + s.H * s.V) + s.N * s.D * s.H


def seconds(setting: Setting) -> float:
    run = ours.make(setting, setting.params(), *setting.minibatch())
    times = []
    for _ in range(ROUNDS.value + 1):
        begin = time.perf_counter()
        run(2)
        times.append((time.perf_counter() - begin) / 2)
    return statistics.median(times[1:])


def draw(times: dict[str, list[float]]) -> Figure:
    """Curves of milliseconds, in the order of SIZES."""
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    for ax, (name, values) in zip(axes, SIZES.items(), strict=True):
        ax.loglog(values, times[name], "o-", label="measured", zorder=3)
        ax.loglog(
            values, expected(name, times[name][-1]), "--", color="0.6", label="products alone"
        )
        ax.set(xlabel=NAMES[name])
        ax.set_xticks(values, map(str, values), fontsize=7)
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set(ylabel="train step (ms)")
    axes[0].legend(frameon=False)
    return figure


def expected(name: str, last: float) -> list[float]:
    """What the products take if the largest size, where they outweigh all else, takes `last`."""
    counts = [products(replace(Setting(), **{name: value})) for value in SIZES[name]]
    return [last * count / counts[-1] for count in counts]


def main(argv: list[str]) -> None:
    del argv
    times = {}
    for name, values in SIZES.items():
        times[name] = [1e3 * seconds(replace(Setting(), **{name: value})) for value in values]
        alone = expected(name, times[name][-1])
        for value, measured, guess in zip(values, times[name], alone, strict=True):
            print(
                f"{name}={value:5}: {measured:7.1f} ms, products alone {guess:7.1f} ms", flush=True
            )
    save_figure(draw(times), Path(OUTPUT.value))


if __name__ == "__main__":
    app.run(main)
