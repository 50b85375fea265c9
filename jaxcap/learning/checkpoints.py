"""Checkpoints of a run: Orbax for the arrays, and beside them what makes sense of the arrays.

A checkpoint is a folder named by its iteration, written whole or not at all, with the items

    params     the parameters by the notebook's names
    training   step, optimiser state and random key: the rest of the `TrainState`; missing in a
               captioner that is only to be used, as `jaxcap.export` writes it
    info       JSON: model, training, vocabulary, data set and seed; see `RunInfo`
    validation JSON: the loss, CIDEr-D, and which of them ranks the checkpoint

Kept are the newest two and the best. Nothing is pickled. Each item has a checksum; a checkpoint
that gives other values than were saved counts as one that cannot be read.
"""

import dataclasses
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import jax

from jaxcap.files import AnyPath
from jaxcap.learning import processes
from jaxcap.learning.checkpoint_info import FormatError, RunInfo, Validation
from jaxcap.learning.checkpoint_items import CheckpointItems, first_line, why_not
from jaxcap.learning.run_folder import is_checkpoint, is_half_written
from jaxcap.learning.step import TrainState
from jaxcap.nn.parameters import Params, init_params

T = TypeVar("T")
Which = Literal["best", "newest"]


class Loaded(NamedTuple):
    """A captioner, loaded."""

    path: Path
    """The checkpoint."""
    params: Params
    info: RunInfo


class Checkpoints:
    """The checkpoints in a run's folder.

    Raises:
        FileNotFoundError: there is no such folder, and `create` is false.
        FileExistsError: a folder in it has a number for a name and is no checkpoint.
    """

    def __init__(self, folder: AnyPath, *, create: bool = False):
        self.folder = folder = Path(folder).expanduser()
        if not create and not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder, expected one with checkpoints")
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name.isdigit() and not is_checkpoint(path):
                    raise FileExistsError(
                        f"{path}: is named as a checkpoint and is none: give checkpoints a folder "
                        "of their own"
                    )
        # Listed first, since a manager that may write deletes them.
        self._half_written = []
        if folder.is_dir():
            self._half_written = sorted(filter(is_half_written, folder.iterdir()))
        self._items = CheckpointItems(folder, create=create)
        self._unranked: set[int] = set()

    @property
    def steps(self) -> list[int]:
        """Iterations of the checkpoints, oldest first."""
        return self._items.steps

    def best(self) -> tuple[int, float] | None:
        """Find iteration and rank of the first of the best checkpoints; None if none was validated.

        One whose validation cannot be read is left out, which is warned of once.
        """
        return _lowest(self._ranks())

    def _ranks(self) -> dict[int, float | None]:
        """Read the ranks of the checkpoints whose validation can be read."""
        ranks = {}
        for step in self.steps:
            try:
                ranks[step] = self.load_validation(step).rank
            except Exception as error:  # noqa: BLE001  Orbax raises whatever its parts raise.
                if step not in self._unranked:
                    warnings.warn(
                        f"{self.path(step)}: its validation cannot be read, so that it does not "
                        f"count as the best: {first_line(error)}",
                        stacklevel=3,
                    )
                self._unranked.add(step)
        return ranks

    def load_validation(self, step: int) -> Validation:
        """Load the validation metrics of the checkpoint of an iteration."""
        return Validation(**self._items.read_value(step, "validation"))

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of one iteration."""
        return self.folder / str(step)

    def save(self, state: TrainState, info: RunInfo, validation: Validation) -> Path:
        """Write a checkpoint, and delete those that are neither new nor the best.

        Args:
            state: what to save; its step names the checkpoint.
            info: of the run.
            validation: what was measured of it.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: it could not be written; earlier checkpoints are as they were.
        """
        step = int(state.step)
        if step in self.steps:
            return self.path(step)
        items = {"params": state.params, "training": _training_item(state)}
        return self._write(step, items, info, validation)

    def save_captioner(
        self, step: int, params: Params, info: RunInfo, validation: Validation
    ) -> Path:
        """Write a checkpoint that cannot be resumed, of parameters of any precision.

        Args:
            step: the iteration, which names the checkpoint.
            params, info, validation: as `save` takes them.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: it could not be written.
        """
        return self._write(step, {"params": params}, info, validation)

    def _write(
        self, step: int, arrays: dict[str, Any], info: RunInfo, validation: Validation
    ) -> Path:
        values = {"info": info.to_json(), "validation": dataclasses.asdict(validation)}
        try:
            self._items.write(step, arrays, values)
            self._delete_old()
        except (OSError, ValueError, RuntimeError) as error:
            raise OSError(
                f"{self.folder}: could not write the checkpoint of iteration {step} "
                f"({why_not(error)}): make room or give another `checkpoint_dir`; "
                "earlier checkpoints are kept"
            ) from error
        return self.path(step)

    def _delete_old(self) -> None:
        ranks = self._ranks()
        best = _lowest(ranks)
        for step in self.steps[:-2]:
            # What cannot be read may have been the best.
            if step in ranks and (best is None or step != best[0]):
                self._items.delete(step)

    def load_info(self, step: int) -> RunInfo:
        """Load what the checkpoint of an iteration records of its run."""
        value = self._items.read_value(step, "info")
        return RunInfo.from_json(value, self.path(step))

    def load_params(self, step: int) -> tuple[Params, RunInfo]:
        """Load parameters and record of a checkpoint, without its optimiser state."""
        info = self.load_info(step)
        shapes = jax.eval_shape(partial(init_params, config=info.model), jax.random.key(0))
        return self._items.read_arrays(step, "params", shapes), info

    def load_state(self, step: int, like: TrainState) -> TrainState:
        """Load the whole state of a checkpoint, with the structure and shapes of `like`."""
        if not self._items.has(step, "training"):
            raise FormatError(
                f"{self.path(step)}: holds a captioner without the state of its training, which "
                "cannot be resumed: start a new run of it by `init_from`"
            )
        params = self._items.read_arrays(step, "params", like.params)
        rest = self._items.read_arrays(step, "training", _training_item(like))
        return like._replace(params=params, **rest)

    def load(self, which: Which = "best") -> Loaded:
        """Load a captioner, as `first_readable` chooses it."""
        step, (params, info) = self.first_readable(self.load_params, which)
        return Loaded(self.path(step), params, info)

    def first_readable(self, load: Callable[[int], T], which: Which = "newest") -> tuple[int, T]:
        """Load something of the best or the newest checkpoint, or of the newest that can be read.

        Args:
            load: one of the methods above, given an iteration.
            which: the checkpoint to try first.

        Returns:
            The iteration and what `load` gave. Each checkpoint passed over is warned of.

        Raises:
            FileNotFoundError: none can be read; the message names the folder and those tried.
            FormatError: one was written in another format, with a cell that cannot be imported, or
                without what `load` reads.
        """
        for path in self._half_written:
            warnings.warn(f"{path}: is half-written and passed over", stacklevel=2)
        self._half_written = []
        steps = self.steps[::-1]
        if which == "best":
            found = self.best()
            if found is None:
                warnings.warn(
                    f"{self.folder}: no checkpoint was validated, so the newest is used",
                    stacklevel=2,
                )
            else:
                steps = [found[0], *(step for step in steps if step != found[0])]
        for step in steps:
            try:
                return step, load(step)
            except FormatError:
                raise
            except Exception as error:  # noqa: BLE001  Orbax raises whatever its parts raise.
                warnings.warn(
                    f"{self.path(step)}: cannot be read and is passed over: {first_line(error)}",
                    stacklevel=2,
                )
        tried = f" (tried {', '.join(map(str, steps))})" if steps else ""
        raise FileNotFoundError(f"{self.folder}: holds no readable checkpoint{tried}")

    def set_aside_after(self, step: int) -> None:
        """Rename checkpoints newer than `step`, which could not be read, out of the way.

        Training that resumes from `step` writes those iterations again.
        """
        unreadable = [newer for newer in self.steps if newer > step]
        for newer in unreadable if processes.is_first() else ():
            aside = self.folder / f"unreadable-{newer}"
            count = 0
            while aside.exists():
                count += 1
                aside = self.folder / f"unreadable-{newer}-{count}"
            self.path(newer).rename(aside)
        processes.wait_for_all("checkpoints set aside")
        self._items.reload()

    def close(self) -> None:
        """Finish what is being written."""
        self._items.close()


def _lowest(ranks: dict[int, float | None]) -> tuple[int, float] | None:
    """Find the first iteration of the lowest rank, and that rank."""
    measured = {step: rank for step, rank in ranks.items() if rank is not None}
    return min(measured.items(), key=lambda item: item[1]) if measured else None


def _training_item(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "opt_state": state.opt_state, "key": state.key}
