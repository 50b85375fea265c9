"""Kill training with SIGKILL at random moments, resume it, and compare with a run never killed.

    python tests/faults/kill_training.py --kills 50

Every other kill is aimed into the write of a checkpoint: at a random one of them, up to 15 ms after
its folder has appeared. The others fall anywhere in the life of the process, from its start to
where the undisturbed run ended. Each run has a folder of its own and is started as a user does; it
is resumed within this process. Compared are all arrays of the last checkpoint, by their checksums,
and all that was measured except the speed.
"""

import time

from killing import Moment, call, call_anew, killed, main
from tiny_data import tiny_splits
from tiny_runs import outcome

from jaxcap.data.coco import write_coco
from jaxcap.learning.run_folder import is_half_written

EPOCHS = 30


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
        self._expected = outcome(work / "whole")
        assert outcome(work / "first") == self._expected

    def __call__(self, number, rng):
        folder = self._work / f"killed_{number}"
        moment = self._moment(number, rng, folder)
        if not killed(moment, "train", f"--checkpoint_dir={folder}", *self._flags):
            return None
        hit = _hit(folder)
        self._go_on(folder)
        assert outcome(folder) == self._expected, f"{folder}: differs after {moment}"
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


if __name__ == "__main__":
    main(__doc__, KillTraining)
