"""What a checkpoint records beside its arrays: what was trained, on what, and how well it did."""

import dataclasses
import json
import zlib
from dataclasses import dataclass
from typing import Any

from jaxcap.data.dataset import DataIdentity, Dataset, DataSource
from jaxcap.files import AnyPath
from jaxcap.learning.config import OptimiserConfig, TrainingConfig
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.find_cell import CellError
from jaxcap.text.vocabulary import Vocabulary

FORMAT = 1
"""Version of the layout of checkpoints; a checkpoint of another is refused."""


class FormatError(ValueError):
    """A checkpoint of another format, cell or use, which no older checkpoint would mend."""


@dataclass(frozen=True)
class RunInfo:
    """What a checkpoint records of the run that wrote it.

    Attributes:
        model: shape of the captioner.
        training: how it was trained.
        vocabulary: what its word ids mean.
        data: identity of the data set.
        source: how to load the data set again.
        seed: of the run; its keys are `split_seed(seed)`.
    """

    model: CaptionerConfig
    training: TrainingConfig
    vocabulary: Vocabulary
    data: DataIdentity
    source: DataSource
    seed: int

    @classmethod
    def of(
        cls, data: Dataset, model: CaptionerConfig, training: TrainingConfig, seed: int
    ) -> "RunInfo":
        """Describe a run on a data set, whose grids count only if the captioner attends."""
        identity = data.identity
        if model.attention is None:
            identity = dataclasses.replace(identity, grid=None)
        return cls(model, training, data.vocabulary, identity, data.source, seed)

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values, with the format's version."""
        return {
            "format": FORMAT,
            "model": self.model.to_json(),
            "training": dataclasses.asdict(self.training),
            "vocabulary": list(self.vocabulary.idx_to_word),
            "data": self.data.to_json(),
            "source": self.source.to_json(),
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], where: AnyPath) -> "RunInfo":
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

    @property
    def num_iterations(self) -> int:
        """Minibatches of the whole run."""
        return self.training.num_epochs * self.training.steps_per_epoch(self.num_captions)

    @property
    def num_captions(self) -> int:
        """Captions that are trained on."""
        return self.source.max_train or self.data.counts["train"].captions

    @property
    def digest(self) -> int:
        """A number below 2^31 of all but where the data lie, which may differ between processes."""
        value = {**self.to_json(), "source": self.source.max_train}
        return zlib.crc32(json.dumps(value).encode()) >> 1

    def check_vocabulary(self, vocabulary: Vocabulary, source: AnyPath, where: AnyPath) -> None:
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

    def check_data(self, data: DataIdentity, source: AnyPath, where: AnyPath) -> None:
        """Refuse data whose features another model made; `data` is the identity of what is used.

        Raises:
            ValueError: name, feature size, kind of features, encoder or projection differ, or the
                grids of a captioner that attends; the message names both.
        """
        fields = ["name", "feature_dim", "pca_features", "encoder", "pca"]
        if self.data.grid is not None:
            fields.append("grid")
        for field in fields:
            before, now = getattr(self.data, field), getattr(data, field)
            if field == "grid" and now is None:
                raise ValueError(
                    f"{where}: attends to the grids of images, and {source} is loaded without "
                    "them: load it with `Placement(grids=True)`"
                )
            if before != now:
                before, now = _differing(before, now)
                raise ValueError(
                    f"{where}: was trained on data with {field} {before}, but {source} "
                    f"has {field} {now}: give the data it was trained on"
                )

    def check_same_run(self, now: "RunInfo", where: AnyPath) -> None:
        """Refuse to resume under other settings, except `num_epochs` and `patience`.

        Raises:
            ValueError: a setting differs; the message names it with both values.
        """
        before, after = self._settings(), now._settings()
        for name in before | after:
            if before.get(name) != after.get(name):
                raise ValueError(
                    f"{where}: was trained with {name} {before.get(name)}, now it is "
                    f"{after.get(name)}: resume with the same settings, or start another run "
                    "with `init_from` and another `checkpoint_dir`"
                )

    def _settings(self) -> dict[str, Any]:
        training = {
            field.name: getattr(self.training, field.name)
            for field in dataclasses.fields(self.training)
            if field.name not in ("num_epochs", "patience", "optimiser")
        }
        # What is to end elsewhere was another schedule from the start.
        if self.training.optimiser.lr_schedule == "cosine" or self.training.scheduled_sampling:
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
    """Validation metrics of a checkpoint.

    Attributes:
        loss: nats per caption; None if it was not measured or is not finite.
        cider: CIDEr-D; None if it was not measured.
        best_by: "loss" or "cider", the metric that ranks it.
    """

    loss: float | None = None
    cider: float | None = None
    best_by: str = "loss"

    @property
    def rank(self) -> float | None:
        """What checkpoints are ordered by, the lowest first; None is never the best."""
        if self.best_by == "cider":
            return None if self.cider is None else -self.cider
        return self.loss


def _differing(before: Any, now: Any) -> tuple[Any, Any]:
    """Two values, each cut down to the entries that differ where both are dictionaries."""
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return before, now
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    return {key: before.get(key) for key in keys}, {key: now.get(key) for key in keys}
