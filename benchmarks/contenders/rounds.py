"""Rounds that alternate between contenders, so that what slows a machine down slows all of them."""

import statistics
import time
from collections.abc import Sequence

from contenders.setting import Run


def compare(runs: dict[str, Run], peers: Sequence[str], *, rounds: int, seconds: float) -> None:
    """Print the median of each contender, and of jaxcap's time over it in the same round.

    Args:
        runs: the contenders, "jaxcap" among them, each having taken its first step.
        peers: those of PyTorch, of which the fastest is marked.
        rounds: how often each has its turn.
        seconds: length of a turn, about.
    """
    steps = {}
    for name, run in runs.items():
        run(1)
        begin = time.perf_counter()
        run(1)
        steps[name] = max(1, round(seconds / (time.perf_counter() - begin)))
        run(steps[name])
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run(steps[name])
            times[name].append((time.perf_counter() - begin) / steps[name])
    best = min(peers, key=lambda name: statistics.median(times[name]), default=None)
    for name in runs:
        line = f"    {name:17} {1e3 * statistics.median(times[name]):8.1f} ms"
        if name != "jaxcap":
            ratios = [a / b for a, b in zip(times["jaxcap"], times[name], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            line += f"    jaxcap takes {middle:.2f} of it ({low:.2f} to {high:.2f})"
        print(line + ("    <- PyTorch's best" if name == best else ""), flush=True)
