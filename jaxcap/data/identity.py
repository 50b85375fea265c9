"""What a checkpoint records about the data it was trained on: which data, and how to load them."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, NamedTuple

ARRAYS = "arrays"
"""The `DataSource.dataset` of arrays, which no file gives again."""


class Counts(NamedTuple):
    """How many captions and images a split has."""

    captions: int
    images: int


@dataclass(frozen=True)
class DataIdentity:
    """What a checkpoint records about the data that it was trained on.

    Neither the choice of splits nor a subsample of the captions changes it.

    Attributes:
        name: of the data set.
        counts: captions and images of each split, loaded or not.
        caption_length: ids in a caption, L.
        feature_dim: width of the features, D.
        pca_features: whether PCA reduced the features.
        encoder: what made the features, as `Encoder.describe` gives it; None if unknown.
        pca: the projection that reduced them, as `Projection.describe` gives it; None if unknown.
        vocabulary_size: number of words, V.
        vocabulary_digest: SHA-256 of the words in their order.
    """

    name: str
    counts: Mapping[str, Counts]
    caption_length: int
    feature_dim: int
    pca_features: bool
    encoder: Mapping[str, Any] | None = None
    pca: Mapping[str, Any] | None = None
    vocabulary_size: int = 0
    vocabulary_digest: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        counts = {split: found._asdict() for split, found in self.counts.items()}
        return {**asdict(self), "counts": counts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DataIdentity":
        """Read what `to_json` gave; a ValueError names a field that is unknown or missing."""
        _check_fields(cls, value)
        counts = {split: Counts(**found) for split, found in value["counts"].items()}
        return cls(**{**value, "counts": counts})


@dataclass(frozen=True)
class DataSource:
    """How to load a data set again, as a checkpoint records it.

    Attributes:
        dataset, data_dir, pca_features, max_train: arguments of `jaxcap.datasets.load_data`, with
            an absolute `data_dir`; or `dataset` is `ARRAYS`.
        folder: where the data lay; empty if nowhere.
    """

    dataset: str | None = None
    data_dir: str | None = None
    pca_features: bool | None = None
    max_train: int | None = None
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Give plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DataSource":
        """Read what `to_json` gave; a ValueError names a field that is unknown."""
        _check_fields(cls, value)
        return cls(**value)


def _check_fields(cls: type, value: Mapping[str, Any]) -> None:
    needed = {field.name: field.default is MISSING for field in fields(cls)}
    if unknown := sorted(set(value) - set(needed)):
        raise ValueError(f"{cls.__name__} has the unknown field {unknown[0]!r}")
    if missing := [name for name in needed if needed[name] and name not in value]:
        raise ValueError(f"{cls.__name__} lacks the field {missing[0]!r}")
