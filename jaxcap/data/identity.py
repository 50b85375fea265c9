"""Which data a checkpoint was trained on, and how to load them."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, NamedTuple

ARRAYS = "arrays"
"""`DataSource.dataset` of arrays, which have no file to load again."""


class Counts(NamedTuple):
    """Numbers of captions and images of a split."""

    captions: int
    images: int


@dataclass(frozen=True)
class DataIdentity:
    """Identity of the data that a checkpoint was trained on.

    It does not depend on which splits are loaded or whether captions are subsampled.

    Attributes:
        name: name of the data set.
        counts: captions and images of each split, loaded or not.
        caption_length: ids in a caption, L.
        feature_dim: width of the features, D.
        pca_features: whether the features are reduced by PCA.
        encoder: encoder of the features, from `Encoder.describe`; None if unknown.
        pca: projection of the features, from `Projection.describe`; None if unknown.
        vocabulary_size: number of words, V.
        vocabulary_digest: SHA-256 of the words in their order.
        grid: `places`, `width` and `pca` of the grids, for a captioner that attends; None for none,
            or unknown ones.
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
    grid: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        counts = {split: found._asdict() for split, found in self.counts.items()}
        return {**asdict(self), "counts": counts}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DataIdentity":
        """Read the output of `to_json`; a ValueError names a field that is unknown or missing."""
        _check_fields(cls, value)
        counts = {split: Counts(**found) for split, found in value["counts"].items()}
        return cls(**{**value, "counts": counts})


@dataclass(frozen=True)
class DataSource:
    """How to load a data set again, as a checkpoint records it.

    Attributes:
        dataset: argument of `jaxcap.datasets.load_data`, or `ARRAYS`.
        data_dir: argument of `load_data`, as an absolute path.
        pca_features: argument of `load_data`.
        max_train: argument of `load_data`.
        folder: folder of the data; empty if none.
    """

    dataset: str | None = None
    data_dir: str | None = None
    pca_features: bool | None = None
    max_train: int | None = None
    folder: str = ""

    def to_json(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "DataSource":
        """Read the output of `to_json`; a ValueError names a field that is unknown."""
        _check_fields(cls, value)
        return cls(**value)


def _check_fields(cls: type, value: Mapping[str, Any]) -> None:
    needed = {field.name: field.default is MISSING for field in fields(cls)}
    if unknown := sorted(set(value) - set(needed)):
        raise ValueError(f"{cls.__name__} has the unknown field {unknown[0]!r}")
    if missing := [name for name in needed if needed[name] and name not in value]:
        raise ValueError(f"{cls.__name__} lacks the field {missing[0]!r}")
