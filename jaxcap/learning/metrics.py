"""What a run measured, as JSON lines and, where the extra is installed, as TensorBoard events.

Each iteration is a line `{"iteration": 1, "loss": 74.9, "captions_per_second": 700.0}`; the last
line of an epoch also has `epoch` and, with a validation set, `val_loss` (nats per caption) and
`val_loss_per_word`, and `val_cider` where CIDEr-D is measured.
"""

import json
import math
import os
from pathlib import Path
from typing import Any

from jaxcap.files import AnyPath
from jaxcap.files.whole import replacing, writing
from jaxcap.learning.progress import Progress

METRICS_FILE = "metrics.jsonl"
NO_ROOM = "make room or give another `checkpoint_dir`; the checkpoints are kept"
"""What to do about a run's folder that can no longer be written."""

Row = dict[str, Any]


def read_metrics(folder: AnyPath) -> list[Row]:
    """Read a run's metrics file, oldest line first; no lines if there is no such file.

    Lines from the first that cannot be read on, as a crash may cut the last one, are left out.
    """
    path = Path(folder, METRICS_FILE)
    if not path.exists():
        return []
    rows = []
    for line in path.read_bytes().split(b"\n"):
        try:
            row = json.loads(line)
            rows.append({**row, "iteration": int(row["iteration"]), "loss": float(row["loss"])})
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            break
    return rows


def rows_of(progress: Progress) -> list[Row]:
    """One row for each iteration of a call."""
    first = progress.iteration - len(progress.losses) + 1
    rows: list[Row] = [
        {
            "iteration": first + i,
            "loss": float(loss),
            "captions_per_second": round(progress.captions_per_second, 1),
        }
        for i, loss in enumerate(progress.losses)
    ]
    if progress.epoch is not None:
        rows[-1]["epoch"] = progress.epoch
    if progress.val is not None:
        rows[-1]["val_loss"] = _finite(progress.val.per_caption)
        rows[-1]["val_loss_per_word"] = _finite(progress.val.per_word)
    if progress.cider is not None:
        rows[-1]["val_cider"] = progress.cider
    return rows


def _finite(value: Any) -> float | None:
    """JSON has no NaN."""
    return float(value) if math.isfinite(value) else None


class MetricsWriter:
    """Appends to a run's metrics, after dropping lines past the iteration it resumes from.

    Args:
        folder: the run's folder.
        after: iteration of the checkpoint that training resumes from; 0 for a new run.
        tensorboard: whether to write events too, if tensorboardX is installed.
    """

    def __init__(self, folder: Path, *, after: int = 0, tensorboard: bool = True):
        self._path = folder / METRICS_FILE
        kept = [row for row in read_metrics(folder) if row["iteration"] <= after]
        with writing(self._path, NO_ROOM):
            with replacing(self._path) as partial:
                partial.write_text("".join(map(_line, kept)), encoding="utf-8")
            self._file = self._path.open("a", encoding="utf-8")
        self._events = _summary_writer(folder, after) if tensorboard else None

    def write(self, progress: Progress) -> None:
        """Append a call's rows and hand them to the operating system."""
        rows = rows_of(progress)
        with writing(self._path, NO_ROOM):
            self._file.writelines(map(_line, rows))
            self._file.flush()
        if self._events is not None:
            for row in rows:
                for name, value in row.items():
                    if name != "iteration" and value is not None:
                        self._events.add_scalar(name, value, row["iteration"])

    def sync(self) -> None:
        """Make sure that what was written is on disk; to be called before a checkpoint is."""
        with writing(self._path, NO_ROOM):
            os.fsync(self._file.fileno())
        if self._events is not None:
            self._events.flush()

    def close(self) -> None:
        """Close the files."""
        with writing(self._path, NO_ROOM):
            self._file.close()
        if self._events is not None:
            self._events.close()


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"


def _summary_writer(folder: Path, after: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=after + 1 if after else None)
