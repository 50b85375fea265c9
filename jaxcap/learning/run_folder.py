"""The folder of a run: held by one process, made ready, recorded, deleted.

It holds the checkpoints by iteration, `metrics.jsonl`, and `run.json`, which records how each start
of the run was made. In the folder of a sweep each member's metrics are in a folder of its own,
named by what sets it apart.
"""

import json
import platform
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from jaxcap.files.lock import FolderLock
from jaxcap.files.whole import replacing, writing
from jaxcap.learning import processes
from jaxcap.learning.metrics import METRICS_FILE, NO_ROOM

RECORD_FILE = "run.json"
CURVE_FILE = "loss.png"
CHECKPOINT_ITEMS = ("params", "training", "info", "validation")
_OTHER = "give another `checkpoint_dir`"
_PACKAGES = ("jaxcap", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "h5py")


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other runs and sweeps out of a folder, which is made if missing.

    Of several processes the first one holds it for all.

    Raises:
        BlockingIOError: another process trains in it; the message names the process.
        FileExistsError: it is a file.
        OSError: it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder}: is a file, expected a folder: {_OTHER}")
    with ExitStack() as stack:
        failure = None
        if processes.is_first():
            try:
                stack.enter_context(FolderLock(folder, _OTHER))
            except OSError as error:
                failure = error
        if processes.largest(failure is not None):
            raise failure or OSError(f"{folder}: process 0 cannot have it to itself")
        yield


def make_empty(folder: Path, *, overwrite: bool) -> None:
    """Make a folder that is held ready for a new run or sweep.

    Raises:
        FileExistsError: it holds a run, and `overwrite` is not true.
    """
    if holds_run(folder):
        if not overwrite:
            raise FileExistsError(
                f"{folder}: already holds a run: resume it by `resume=True`, replace it by "
                f"`overwrite=True`, or {_OTHER}"
            )
        processes.wait_for_all("run found")
        if processes.is_first():
            _delete_run(folder)
    processes.wait_for_all("folder seen")


def holds_run(folder: Path) -> bool:
    """Tell whether there is a run in a folder; one killed in its very first write has left none."""
    return folder.is_dir() and any(
        (is_checkpoint(path) and not is_half_written(path))
        or path.name == METRICS_FILE
        or _is_member(path)
        for path in folder.iterdir()
    )


def holds_sweep(folder: Path) -> bool:
    """Tell whether there is a sweep in a folder."""
    return folder.is_dir() and any(map(_is_member, folder.iterdir()))


def is_checkpoint(path: Path) -> bool:
    """Tell whether a folder is a checkpoint: whole, half-written, half-deleted or set aside."""
    named = re.fullmatch(r"\d+|unreadable-\d+(-\d+)?|\d+\.orbax-checkpoint-tmp.*", path.name)
    if not named or not path.is_dir():
        return False
    found = {item.name for item in path.iterdir()}
    return not found or not found.isdisjoint({*CHECKPOINT_ITEMS, "_CHECKPOINT_METADATA"})


def is_half_written(path: Path) -> bool:
    """Tell whether a folder is a checkpoint whose write did not end."""
    return ".orbax-checkpoint-tmp" in path.name and path.is_dir()


def _is_member(path: Path) -> bool:
    """Whether a folder is that of a sweep's member, and not that of a run which is named alike."""
    named = re.fullmatch(r"([a-z_]+=[^=,]+,)*seed=\d+", path.name) is not None
    return named and (path / METRICS_FILE).is_file() and not (path / RECORD_FILE).exists()


def _delete_run(folder: Path) -> None:
    """Delete what a run or sweep writes, and nothing else in the folder."""
    for path in folder.iterdir():
        if is_checkpoint(path):
            shutil.rmtree(path)
        elif _is_member(path):
            for measured in filter(_is_measured, list(path.iterdir())):
                measured.unlink()
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name in (RECORD_FILE, CURVE_FILE) or _is_measured(path):
            path.unlink()


def _is_measured(path: Path) -> bool:
    """Whether a file is what `MetricsWriter` writes."""
    return path.name == METRICS_FILE or path.name.startswith("events.out.tfevents.")


def record_start(folder: Path, iteration: int, seed: int, flags: Mapping[str, Any]) -> None:
    """Add to the record of a run or sweep how it was started: settings, versions, machine.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / RECORD_FILE
    starts = []
    if path.exists():
        try:
            starts = list(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            aside = path.with_suffix(".unreadable")
            path.rename(aside)
            warnings.warn(f"{path}: cannot be read ({error}), kept as {aside.name}", stacklevel=2)
    starts.append(
        {
            "iteration": iteration,
            "seed": seed,
            "flags": dict(flags),
            "versions": {name: _version(name) for name in _PACKAGES},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "devices": [str(device) for device in jax.devices()],
        }
    )
    with writing(path, NO_ROOM), replacing(path) as partial:
        partial.write_text(json.dumps(starts, indent=1) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
