"""Checkpoints of a run: Orbax for the arrays, and beside them what makes sense of the arrays.

A checkpoint is a folder named by its iteration, written whole or not at all, with the items

    params     the parameters by the notebook's names
    training   step, optimiser state and random key: the rest of the `TrainState`; not in a
               captioner that is only to be used, as `jaxcap.export` writes it
    info       JSON: model, training, vocabulary, data set and seed; see `CheckpointInfo`
    validation JSON: the loss, CIDEr-D, and the rank by which the best checkpoint is known

Kept are the newest two and the best. Nothing is pickled. `info` also has a checksum of each item,
itself among them, and what was read is compared with it: a checkpoint that gives other values than
were saved counts as one that cannot be read. One that was written before there were checksums has
none, and is read without that check.
"""

import dataclasses
import errno
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp

from jaxcap.data.dataset import DataIdentity, DataSource
from jaxcap.learning import checksums, processes
from jaxcap.learning.loop import TrainingConfig, TrainState
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.nn.captioner import CaptionerConfig, Params, init_params
from jaxcap.nn.find_cell import CellError
from jaxcap.text.vocabulary import Vocabulary

_ITEMS = ("params", "training", "info", "validation")

FORMAT = 1
"""Version of this layout; a checkpoint of another is refused."""

_CHECKSUMS = "checksums"
_ROOM = 1_000_000
"""Bytes that a checkpoint takes beside its arrays, and more."""

T = TypeVar("T")


class FormatError(ValueError):
    """A checkpoint of another format, cell or use, which no older checkpoint would mend."""


class ChecksumError(ValueError):
    """Something in a checkpoint is not what was saved."""


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself beside its arrays.

    Attributes:
        model: shape of the captioner.
        training: how it was trained.
        vocabulary: what its word ids mean.
        data: identity of the data set, `Dataset.identity`.
        source: how to load the data set again, `Dataset.source`.
        seed: of the run.
    """

    model: CaptionerConfig
    training: TrainingConfig
    vocabulary: Vocabulary
    data: DataIdentity
    source: DataSource
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values, with the format's version."""
        fields = dataclasses.asdict(self)
        fields["model"] = self.model.to_json()
        fields["vocabulary"] = list(self.vocabulary.idx_to_word)
        fields["data"], fields["source"] = self.data.to_json(), self.source.to_json()
        return {"format": FORMAT, **fields}

    @classmethod
    def from_json(cls, value: dict[str, Any], where: Path) -> "CheckpointInfo":
        """Read what `to_json` gave.

        Raises:
            FormatError: `where` was written in another format, or the captioner's cell is not at
                hand.
            ValueError: it has a field that `to_json` does not write.
        """
        if value.get("format") != FORMAT:
            raise FormatError(
                f"{where}: has checkpoint format {value.get('format')}, this version reads "
                f"format {FORMAT}: use the version of jaxcap that wrote it"
            )
        known = {"format", *(field.name for field in dataclasses.fields(cls))}
        if unknown := sorted(set(value) - known):
            raise ValueError(f"its info has the unknown field {unknown[0]!r}")
        try:
            model = CaptionerConfig(**value["model"])
        except CellError as error:
            raise FormatError(f"{where}: was trained with {error}") from error
        training = dict(value["training"])
        training["optimiser"] = OptimiserConfig(**training["optimiser"])
        return cls(
            model=model,
            training=TrainingConfig(**training),
            vocabulary=Vocabulary(tuple(value["vocabulary"])),
            data=DataIdentity.from_json(value["data"]),
            source=DataSource.from_json(value["source"]),
            seed=value["seed"],
        )

    def check_vocabulary(self, vocabulary: Vocabulary, source: str | Path, where: Path) -> None:
        """Refuse words other than the checkpoint's, even as many in another order.

        Args:
            vocabulary: the words now.
            source: where they come from.
            where: the checkpoint.

        Raises:
            ValueError: the vocabularies differ; the message names both.
        """
        if vocabulary == self.vocabulary:
            return
        pairs = zip(self.vocabulary.idx_to_word, vocabulary.idx_to_word, strict=False)
        first = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
        differ = ""
        if first is not None:
            old, new = self.vocabulary.idx_to_word[first], vocabulary.idx_to_word[first]
            differ = f"; id {first} is {old!r} in the checkpoint and {new!r} in the data"
        raise ValueError(
            f"{where}: was trained on a vocabulary of {len(self.vocabulary)} words "
            f"({self.vocabulary.digest[:12]}), but {source} has {len(vocabulary)} words "
            f"({vocabulary.digest[:12]}){differ}: give the data it was trained on, or train anew"
        )

    def check_data(self, data: DataIdentity, source: str | Path, where: Path) -> None:
        """Refuse data whose features another model made; `data` is the identity of what is used.

        Raises:
            ValueError: name, feature size, kind of features, encoder or projection differ; the
                message names both.
        """
        for field in ("name", "feature_dim", "pca_features", "encoder", "pca"):
            before, now = getattr(self.data, field), getattr(data, field)
            if before != now:
                before, now = _differing(before, now)
                raise ValueError(
                    f"{where}: was trained on data with {field} {before}, but {source} "
                    f"has {field} {now}: give the data it was trained on"
                )

    def check_same_run(self, now: "CheckpointInfo", where: Path) -> None:
        """Refuse to go on under anything that would change the result, but for
        `num_epochs` and `patience`.

        Raises:
            ValueError: a setting differs; the message names it with both values.
        """
        before, after = self._settings(), now._settings()
        for name in before | after:
            if before.get(name) != after.get(name):
                raise ValueError(
                    f"{where}: was trained with {name} {before.get(name)}, now it is "
                    f"{after.get(name)}: resume with "
                    "the same flags, or start another run with --init_from and --checkpoint_dir"
                )

    def _settings(self) -> dict[str, Any]:
        training = {
            field.name: getattr(self.training, field.name)
            for field in dataclasses.fields(self.training)
            if field.name not in ("num_epochs", "patience", "optimiser")
        }
        # A cosine that is to end elsewhere was another cosine from the start.
        if self.training.optimiser.lr_schedule == "cosine":
            training["num_epochs"] = self.training.num_epochs
        return {
            **self.model.to_json(),
            **training,
            **dataclasses.asdict(self.training.optimiser),
            **{f"data {name}": value for name, value in self.data.to_json().items()},
            "max_train": self.source.max_train,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Validation:
    """What a checkpoint was found to be worth on the validation split.

    Attributes:
        loss: nats per caption; None if it was not measured or is not finite.
        cider: CIDEr-D; None if it was not measured.
        best_by: "loss" or "cider", which of the two ranks it.
    """

    loss: float | None = None
    cider: float | None = None
    best_by: str = "loss"

    @property
    def rank(self) -> float | None:
        """The lower the better; None is never the best."""
        if self.best_by == "cider":
            return None if self.cider is None else -self.cider
        return self.loss


class Checkpoints:
    """The checkpoints in a run's folder.

    Raises:
        FileNotFoundError: there is no such folder, and `create` is false.
        FileExistsError: a folder in it has a number for a name and is no checkpoint.
    """

    def __init__(self, folder: Path, *, create: bool = False):
        self.folder = folder
        if not create and not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder, expected one with checkpoints")
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name.isdigit() and not is_checkpoint(path):
                    raise FileExistsError(
                        f"{path}: is no checkpoint but is named as one: give checkpoints a folder "
                        "of their own"
                    )
        # Listed first, since a manager that may write deletes them.
        self._half_written = []
        if folder.is_dir():
            self._half_written = sorted(filter(is_half_written, folder.iterdir()))
        # The state is donated to the next call, so that it must be on disk before it: no
        # asynchronous saves.
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False,
            create=create,
            read_only=not create,
            cleanup_tmp_directories=create,
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        self._unranked: set[int] = set()

    @property
    def steps(self) -> list[int]:
        """Iterations of the checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def best(self) -> tuple[int, float] | None:
        """Iteration and rank of the first of the best checkpoints; None if none was validated.

        One whose validation cannot be read is left out, which is warned of once.
        """
        return _lowest(self._ranks())

    def _ranks(self) -> dict[int, float | None]:
        """The ranks of the checkpoints whose validation can be read."""
        ranks = {}
        for step in self.steps:
            try:
                ranks[step] = self.load_validation(step).rank
            except Exception as error:  # noqa: BLE001  Orbax raises whatever its parts raise.
                if step not in self._unranked:
                    warnings.warn(
                        f"{self.path(step)}: its validation cannot be read, so that it does not "
                        f"count as the best: {_first_line(error)}",
                        stacklevel=3,
                    )
                self._unranked.add(step)
        return ranks

    def load_validation(self, step: int) -> Validation:
        """What the checkpoint of an iteration was found to be worth."""
        _, sums = self._read_info(step)
        value = self._read_json(step, "validation")
        if sums is not None:
            _refuse("validation", other=checksums.of_json(value) != sums.get("validation"))
        return Validation(**value)

    def path(self, step: int) -> Path:
        """Folder of the checkpoint of one iteration."""
        return self.folder / str(step)

    def save(self, state: TrainState, info: CheckpointInfo, validation: Validation) -> Path:
        """Write a checkpoint, and delete those that are neither new nor the best.

        Args:
            state: what to save; its step names the checkpoint.
            info: what it says of itself.
            validation: what it was found to be worth.

        Returns:
            The checkpoint's folder.

        Raises:
            OSError: it could not be written; earlier checkpoints are as they were.
        """
        step = int(state.step)
        if step in self._manager.all_steps():
            return self.path(step)
        items = {"params": state.params, "training": _training_item(state)}
        return self._write(step, items, info, validation)

    def save_captioner(
        self, step: int, params: Params, info: CheckpointInfo, validation: Validation
    ) -> Path:
        """Write a checkpoint that training cannot go on from, of parameters of any precision.

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
        self, step: int, arrays: dict[str, Any], info: CheckpointInfo, validation: Validation
    ) -> Path:
        described, validated = info.to_json(), dataclasses.asdict(validation)
        sums = {name: checksums.of_arrays(tree) for name, tree in arrays.items()}
        sums |= {"info": checksums.of_json(described), "validation": checksums.of_json(validated)}
        args = ocp.args.Composite(
            info=ocp.args.JsonSave({**described, _CHECKSUMS: sums}),
            validation=ocp.args.JsonSave(validated),
            **{name: ocp.args.StandardSave(tree) for name, tree in arrays.items()},
        )
        try:
            self._check_room(arrays)
            self._manager.save(step, args=args)
            self._delete_old()
        except (OSError, ValueError, RuntimeError) as error:
            raise OSError(
                f"{self.folder}: could not write the checkpoint of iteration {step} "
                f"({_reason(error)}): make room or give another --checkpoint_dir; "
                "earlier checkpoints are kept"
            ) from error
        return self.path(step)

    def _check_room(self, arrays: dict[str, Any]) -> None:
        # Orbax, whose threads all fail on a full disk, would say so many times over.
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(arrays))
        free = shutil.disk_usage(self.folder).free
        if processes.largest(free < 1.1 * size + _ROOM):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _delete_old(self) -> None:
        ranks = self._ranks()
        best = _lowest(ranks)
        for step in self.steps[:-2]:
            # What cannot be read may have been the best.
            if step in ranks and (best is None or step != best[0]):
                self._manager.delete(step)

    def load_info(self, step: int) -> CheckpointInfo:
        """What the checkpoint of an iteration says of itself."""
        value, _ = self._read_info(step)
        return CheckpointInfo.from_json(value, self.path(step))

    def _read_info(self, step: int) -> tuple[dict[str, Any], dict[str, str] | None]:
        """The info, and the checksums that are kept in it; None for those of an old checkpoint."""
        value = self._read_json(step, "info")
        sums = value.pop(_CHECKSUMS, None)
        if sums is not None:
            _refuse("info", other=checksums.of_json(value) != sums.get("info"))
        return value, sums

    def _read_json(self, step: int, item: str) -> dict[str, Any]:
        args = ocp.args.Composite(**{item: ocp.args.JsonRestore()})
        return self._manager.restore(step, args=args)[item]

    def load_params(self, step: int) -> tuple[Params, CheckpointInfo]:
        """Parameters and description of a checkpoint, without its optimiser state."""
        value, sums = self._read_info(step)
        info = CheckpointInfo.from_json(value, self.path(step))
        shapes = jax.eval_shape(partial(init_params, config=info.model), jax.random.key(0))
        return self._restore(step, "params", shapes, sums), info

    def load_state(self, step: int, like: TrainState) -> TrainState:
        """The whole state of a checkpoint, with the structure and shapes of `like`."""
        _, sums = self._read_info(step)
        if not (self.path(step) / "training").is_dir() and "training" not in (sums or ()):
            raise FormatError(
                f"{self.path(step)}: holds a captioner to be used, and nothing that training could "
                "go on from: start a new run of it by --init_from"
            )
        params = self._restore(step, "params", like.params, sums)
        rest = self._restore(step, "training", _training_item(like), sums)
        return like._replace(params=params, **rest)

    def _restore(self, step: int, item: str, like: Any, sums: dict[str, str] | None) -> Any:
        # Parameters may have been saved on another kind or number of devices.
        device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(
                x.shape, x.dtype, sharding=getattr(x, "sharding", None) or device
            ),
            like,
        )
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(shapes)})
        found = failure = None
        try:
            found = self._manager.restore(step, args=args)[item]
        except Exception as error:  # noqa: BLE001  Orbax raises whatever its parts raise.
            failure = error
        # Processes that differed here would wait for each other in the checksum.
        if processes.largest(failure is not None):
            raise failure or OSError(f"another process cannot read its {item}")
        if sums is not None:
            other = checksums.of_arrays(found) != sums.get(item)
            _refuse(item, other=bool(processes.largest(other)))
        return found

    def load_newest(self, load: Callable[[int], T], *, best: bool = False) -> tuple[int, T]:
        """Load the newest checkpoint that can be read, or the best one.

        Args:
            load: one of the methods above, given an iteration.
            best: try the best one first.

        Returns:
            The iteration and what `load` gave. Each checkpoint passed over is warned of.

        Raises:
            FileNotFoundError: none can be read; the message names the folder and those tried.
            FormatError: one was written in another format, with a cell that is not at hand, or
                without what `load` reads.
        """
        for path in self._half_written:
            warnings.warn(f"{path}: is half-written and passed over", stacklevel=2)
        self._half_written = []
        steps = self.steps[::-1]
        if best:
            found = self.best()
            if found is None:
                warnings.warn(
                    f"{self.folder}: none was validated, so that none is best: the newest is used",
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
                    f"{self.path(step)}: cannot be read and is passed over: {_first_line(error)}",
                    stacklevel=2,
                )
        tried = f" (tried {', '.join(map(str, steps))})" if steps else ""
        raise FileNotFoundError(f"{self.folder}: holds no readable checkpoint{tried}")

    def set_aside_after(self, step: int) -> None:
        """Rename checkpoints newer than `step`, which could not be read, out of the way.

        Training that goes on from `step` writes those iterations again.
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
        self._manager.reload()

    def close(self) -> None:
        """Finish what is being written."""
        self._manager.close()


def _differing(before: Any, now: Any) -> tuple[Any, Any]:
    """Two values, each cut down to the entries that differ where both are dictionaries."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return before, now
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return {key: before.get(key) for key in keys}, {key: now.get(key) for key in keys}


def is_checkpoint(path: Path) -> bool:
    """Whether a folder is a checkpoint: whole, half-written, half-deleted or set aside."""
    named = re.fullmatch(r"\d+|unreadable-\d+(-\d+)?|\d+\.orbax-checkpoint-tmp.*", path.name)
    if not named or not path.is_dir():
        return False
    found = {item.name for item in path.iterdir()}
    return not found or not found.isdisjoint({*_ITEMS, "_CHECKPOINT_METADATA"})


def _lowest(ranks: dict[int, float | None]) -> tuple[int, float] | None:
    """The first iteration of the lowest rank, and that rank."""
    measured = {step: rank for step, rank in ranks.items() if rank is not None}
    return min(measured.items(), key=lambda item: item[1]) if measured else None


def is_half_written(path: Path) -> bool:
    """Whether a folder is a checkpoint whose write did not end."""
    return ".orbax-checkpoint-tmp" in path.name and path.is_dir()


def _refuse(item: str, *, other: bool) -> None:
    if other:
        raise ChecksumError(f"the item {item} is not what was saved, by its checksum")


def _training_item(state: TrainState) -> dict[str, Any]:
    return {"step": state.step, "opt_state": state.opt_state, "key": state.key}


def _reason(error: Exception) -> str:
    """Why something could not be written, which TensorStore says at the end of a long line."""
    found = re.search(r"os_error_code='(\d+)'", str(error))
    number = error.errno if isinstance(error, OSError) else found and int(found[1])
    return os.strerror(number) if number else _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
