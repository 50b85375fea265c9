"""A data set in memory: captions, which image each belongs to, and the features of the images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.data.image import Image
from jaxcap.text.vocabulary import Vocabulary

SPLITS = ("train", "val")


@dataclass(frozen=True, eq=False)
class SplitArrays:
    """A split of M captions of L ids over K images, on the host, to be written."""

    captions: Int[np.ndarray, "M L"]
    """Word ids, rows `<START> ... <END> <NULL>`; written as int32."""
    image_idxs: Int[np.ndarray, "M"]
    """Rows of `features`, one a caption; written as int32."""
    features: Float[np.ndarray, "K D"]
    """Written as float32."""
    urls: Sequence[str] = ()
    """One an image, or none at all."""


@dataclass(frozen=True, eq=False)
class Split:
    """A split of M captions of L ids over K images, on the default device or split over several."""

    captions: Int[Array, "M L"]
    """int32 word ids in [0, V)."""
    image_idxs: Int[Array, "M"]
    """int32 rows of `images`, one a caption."""
    images: Image
    """float32 and finite."""
    urls: np.ndarray
    """(K,) bytes on the host; (0,) where there is no list of URLs."""
    padding: tuple[int, int] = (0, 0)
    """Rows of zeros behind the M captions and the K images, for the rows to divide over devices."""

    @property
    def features(self) -> Float[Array, "K D"]:
        """The pooled features of the images."""
        return self.images.pooled

    @property
    def num_captions(self) -> int:
        """M, without padding."""
        return len(self.captions) - self.padding[0]

    @property
    def num_images(self) -> int:
        """K, without padding."""
        return self.images.num - self.padding[1]


@dataclass(frozen=True, eq=False)
class CaptionData:
    """A data set: its vocabulary, the splits that were loaded, and what identifies it."""

    name: str
    folder: Path
    pca_features: bool
    vocabulary: Vocabulary
    splits: dict[str, Split]
    counts: dict[str, dict[str, int]]
    """The numbers of `captions` and `images` of each split in the files, loaded or not."""
    caption_length: int
    feature_dim: int
    encoder: dict[str, Any] | None = None
    """What made the features, as `Encoder.describe` says it; None where nothing says so."""
    pca: dict[str, Any] | None = None
    """What identifies the projection of features that PCA reduced; None where nothing does."""

    @property
    def train(self) -> Split:
        """The training split; a ValueError if it was not loaded."""
        return self._split("train")

    @property
    def val(self) -> Split:
        """The validation split; a ValueError if it was not loaded."""
        return self._split("val")

    def identity(self) -> dict[str, Any]:
        """Describe the files, fit for JSON, for a checkpoint to name what it was trained on.

        Neither the choice of splits nor a subsample of the captions changes it.
        """
        return {
            "name": self.name,
            "counts": {split: dict(numbers) for split, numbers in self.counts.items()},
            "caption_length": self.caption_length,
            "feature_dim": self.feature_dim,
            "pca_features": self.pca_features,
            "encoder": self.encoder,
            "pca": self.pca,
            "vocabulary_size": len(self.vocabulary),
            "vocabulary_digest": self.vocabulary.digest,
        }

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise ValueError(
                f"{self.folder}: the split {name} was not loaded, only {', '.join(self.splits)}; "
                "name it in load_coco's splits"
            )
        return self.splits[name]
