"""Kill training with SIGKILL at random moments, resume it, and compare with a run never killed.

    python tests/faults/kill_training.py --kills 50

Every other kill is aimed into the write of a checkpoint: at a random one of them, up to 15 ms after
its folder has appeared. The others fall anywhere in the life of the process, from its start to
where the undisturbed run ended. Each run has a folder of its own and is started as a user does;
what goes on with it is a process that has imported most modules already. Compared are all arrays of
the last checkpoint, by their bytes, and all that was measured, but for the speed.
"""

import json
import time

import numpy as np
from killing import Moment, call, call_anew, killed, main
from tiny_data import tiny_splits

from jaxcap.data.coco import write_coco
from jaxcap.learning.checkpoints import Checkpoints, is_half_written
from jaxcap.learning.metrics import read_metrics

EPOCHS = 30
_ITERATIONS = 5 * EPOCHS


class KillTraining:
    """Kills training on a small data set, which is written into a folder with the runs."""

    def __init__(self, work):
        self._work = work
        write_coco(work / "data", *tiny_splits(), name="tiny")
        self._flags = [
            f"--data_dir={work / 'data'}",
            f"--num_epochs={EPOCHS}",
            "--hidden_dim=16",
            "--wordvec_dim=8",
            "--batch_size=8",
            "--order=shuffle",
            "--dropout=0.1",
            "--val_images=5",
            "--log_every=2",
            "--notensorboard",
        ]
        # The first start compiles the programs, which the others find in the cache.
        self._train(work / "first")
        started = time.monotonic()
        self._train(work / "whole", start=call_anew)
        self._seconds = time.monotonic() - started
        self._expected = _outcome(work / "whole")
        assert _outcome(work / "first") == self._expected

    def __call__(self, number, rng):
        folder = self._work / f"killed_{number}"
        moment = self._moment(number, rng, folder)
        if not killed(moment, "train", f"--checkpoint_dir={folder}", *self._flags):
            return None
        hit = _hit(folder)
        self._go_on(folder)
        assert _outcome(folder) == self._expected, f"{folder}: differs after {moment}"
        return hit

    def _moment(self, number, rng, folder):
        if number % 2:
            return Moment("any time", rng.uniform(0, self._seconds))
        iteration = 5 * rng.randint(0, EPOCHS)

        def begun():
            return any(int(path.name.partition(".")[0]) >= iteration for path in _writes(folder))

        return Moment(f"the write of {iteration}", rng.uniform(0, 0.015), begun)

    def _train(self, folder, start=call):
        code, _, err = start("train", f"--checkpoint_dir={folder}", *self._flags)
        assert code == 0, err

    def _go_on(self, folder):
        where = f"--checkpoint_dir={folder}"
        code, _, err = call("train", where, *self._flags, "--resume")
        if "holds no run to resume" in err:
            # It was killed before its first checkpoint was whole: nothing had been trained.
            self._train(folder)
        elif "nothing is left to train" not in err:
            assert code == 0, err


def _writes(folder):
    """The checkpoints that are being written."""
    try:
        return [path for path in folder.iterdir() if is_half_written(path)]
    except FileNotFoundError:
        return []


def _hit(folder):
    if _writes(folder):
        return "in the write of a checkpoint"
    if folder.exists() and any(path.name.isdigit() for path in folder.iterdir()):
        return "between checkpoints"
    return "before the first checkpoint"


def _outcome(folder):
    """The bytes of the parameters, the checksums of all arrays, and what was measured."""
    checkpoints = Checkpoints(folder)
    assert checkpoints.steps[-1] == _ITERATIONS
    params, _ = checkpoints.load_params(_ITERATIONS)
    info = json.loads((checkpoints.path(_ITERATIONS) / "info" / "metadata").read_text())
    rows = read_metrics(folder)
    assert [row["iteration"] for row in rows] == list(range(1, _ITERATIONS + 1))
    for row in rows:
        del row["captions_per_second"]
    return (
        {name: np.asarray(value).tobytes() for name, value in params.items()},
        info["checksums"],
        checkpoints.best(),
        rows,
    )


if __name__ == "__main__":
    main(__doc__, KillTraining)
