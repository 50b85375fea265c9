"""Kill `jaxcap.prepare` with SIGKILL at random moments, and compare with a run never killed.

    python tests/faults/kill_preparation.py --kills 50

Of three kills one is aimed into the write of a batch of features and grids, up to 15 ms after a
random one of them was noted as done; one into the writing of the data set at the end, up to 60 ms
after it has begun; and one falls anywhere in the life of the process. Each run has an output of its
own. The same command then continues within this process, and all files of the data set are
compared by their bytes.
"""

import time

from killing import Moment, call, call_anew, killed, main
from photo_files import draw_all, write_karpathy

PICTURES, BATCH = 36, 2


class KillPreparation:
    """Kills the preparation of some pictures, which are drawn into a folder with the outputs."""

    def __init__(self, work):
        self._work = work
        captions = draw_all(work / "pictures", PICTURES, size=(240, 180))
        write_karpathy(work / "captions.json", captions, lambda i: "train" if i % 4 else "val")
        self._flags = [
            f"--images={work / 'pictures'}",
            f"--captions={work / 'captions.json'}",
            "--name=tiny",
            f"--batch_size={BATCH}",
            "--min_count=2",
            "--pca=4",
            "--grid",
            "--grid_pca=4",
        ]
        # The first start compiles the programs, which the others find in the cache.
        self._prepare(work / "first")
        started = time.monotonic()
        self._prepare(work / "whole", start=call_anew)
        self._seconds = time.monotonic() - started
        self._expected = _files(work / "whole")
        assert _files(work / "first") == self._expected

    def __call__(self, number, rng):
        output = self._work / f"killed_{number}"
        moment = self._moment(number, rng, output)
        if not killed(moment, "prepare", f"--output={output}", *self._flags):
            return None
        hit = _hit(output)
        if not output.exists():
            self._prepare(output)
        assert _files(output) == self._expected, f"{output}: differs after {moment}"
        return hit

    def _moment(self, number, rng, output):
        if number % 3 == 0:
            return Moment("any time", rng.uniform(0, self._seconds))
        if number % 3 == 1:
            made = _partial(output) / "output"
            return Moment("the data set's write", rng.uniform(0, 0.06), made.exists)
        batches = rng.randint(0, PICTURES // BATCH - 1)
        delay = rng.uniform(0, 0.015)
        return Moment(f"batch {batches}", delay, lambda: _num_lines(output) > batches)

    def _prepare(self, output, start=call):
        code, _, err = start("prepare", f"--output={output}", *self._flags)
        assert code == 0, err


def _partial(output):
    return output.with_name(f".{output.name}.partial")


def _num_lines(output):
    """Of the record of the batches that are done, which has a line before them."""
    try:
        return (_partial(output) / "features" / "done.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _hit(output):
    if output.exists():
        return "with the data set in its place"
    if (_partial(output) / "output").exists():
        return "while it wrote the data set"
    return "while it encoded" if _num_lines(output) else "before it encoded"


def _files(output):
    return {path.name: path.read_bytes() for path in output.iterdir()}


if __name__ == "__main__":
    main(__doc__, KillPreparation)
