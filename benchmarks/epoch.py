"""Training end to end: captions per second of the command beside the bare step, and its start-up.

    python benchmarks/epoch.py

writes a data set of the size of the course's (400,135 training captions) into a temporary folder
and starts `python -m jaxcap.train` on it, three times: with an empty compilation cache and with a
warm one until the first step is done, and then for `--seconds`, or with `--seconds=0` for a whole
epoch. The peer is the train step alone, on one minibatch of that set which stays where it is. It is
measured before and after, and the mean counts. What the command does besides (drawing and gathering
minibatches, visits to the host, logging, checking for NaN) is what the ratio shows.
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from absl import app, flags
from contenders import full_size, ours
from contenders.setting import Setting

BATCH_SIZE = flags.DEFINE_integer("batch_size", 128, "Captions in a minibatch.", lower_bound=1)
SECONDS = flags.DEFINE_float("seconds", 60.0, "Of training; 0 for a whole epoch.", 0)
LINE = re.compile(r"\(Iteration (\d+) / \d+\)")


class Training:
    """A running command, and when it came to which iteration, in seconds from its start."""

    def __init__(self, data: str, folder: Path, cache: Path, *more: str) -> None:
        command = [sys.executable, "-m", "jaxcap.train", "--data_dir", data, "--overwrite"]
        command += ["--checkpoint_dir", str(folder), "--order=shuffle", "--num_epochs=1"]
        command += [f"--batch_size={BATCH_SIZE.value}", "--notensorboard", *more]
        self._begin = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache)},
        )

    def marks(self, seconds: float) -> list[tuple[float, int]]:
        """Times and iterations of the log lines until so long after the first; to the end for 0."""
        found = []
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if match := LINE.match(line):
                found.append((time.perf_counter() - self._begin, int(match[1])))
                if seconds and found[-1][0] - found[0][0] >= seconds:
                    break
        if not found:
            raise RuntimeError(
                f"the command ended with {self._process.wait()} before its first step"
            )
        return found

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate()


def bare_rate(features, captions) -> float:
    """Captions per second of the train step alone."""
    num = len(captions)
    setting = Setting(N=num, T=captions.shape[1] - 1, D=features.shape[1], V=full_size.WORDS)
    run = ours.make(setting, setting.params(), features, captions)
    steps = 10
    run(steps)
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        run(steps)
        times.append((time.perf_counter() - begin) / steps)
    return num / statistics.median(times)


def main(argv: list[str]) -> None:
    del argv
    split = full_size.random_split(np.random.default_rng(0), "train")
    num = BATCH_SIZE.value
    minibatch = split.features[split.image_idxs[:num]], split.captions[:num]
    before = bare_rate(*minibatch)
    with tempfile.TemporaryDirectory() as folder:
        data, run, cache = folder + "/data", Path(folder, "run"), Path(folder, "cache")
        full_size.write(data)
        for state in ("empty", "warm"):
            training = Training(data, run, cache, "--log_every=1")
            first = training.marks(1e-9)[0][0]
            training.stop()
            print(
                f"first step {first:.1f} s after the start, compilation cache {state}", flush=True
            )
        training = Training(data, run, cache, "--log_every=50")
        marks = training.marks(SECONDS.value)
        training.stop()
    after = bare_rate(*minibatch)
    (start, low), (end, high) = marks[0], marks[-1]
    rate, bare = num * (high - low) / (end - start), (before + after) / 2
    print(
        f"N={num}: command {rate:.0f} captions/s over {high - low} steps, bare step {bare:.0f} "
        f"({before:.0f} before, {after:.0f} after), ratio {rate / bare:.2f}"
    )


if __name__ == "__main__":
    app.run(main)
