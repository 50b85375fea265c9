"""A data set in memory: captions, the image of each caption, and the features of the images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxcap.data.checks import (
    AnyArray,
    check_arrays,
    check_grid,
    check_grid_widths,
    check_widths,
)
from jaxcap.data.grids import Grids
from jaxcap.data.identity import ARRAYS, Counts, DataIdentity, DataSource
from jaxcap.data.image import Image
from jaxcap.text.vocabulary import Vocabulary

SPLITS = ("train", "val")


@dataclass(frozen=True, eq=False)
class SplitArrays:
    """Split of M captions of L ids over K images, on the host, for writing."""

    captions: Int[np.ndarray, "M L"]
    """Word ids, rows `<START> ... <END> <NULL>`; written as int32."""
    image_idxs: Int[np.ndarray, "M"]
    """Rows of `features`, one a caption; written as int32."""
    features: Float[np.ndarray, "K D"]
    """A row an image; written as float32."""
    urls: Sequence[str] = ()
    """One URL an image, or none at all."""


@dataclass(frozen=True, eq=False)
class Split:
    """Split of M captions of L ids over K images, on the default device or sharded."""

    captions: Int[Array, "M L"]
    """int32 word ids in [0, V)."""
    image_idxs: Int[Array, "M"]
    """int32 rows of `images`, one a caption."""
    images: Image
    """K images; float32 and finite."""
    urls: np.ndarray
    """(K,) bytes on the host; (0,) without a list of URLs."""
    padding: tuple[int, int] = (0, 0)
    """Rows of zeros after the M captions and the K images, so that rows divide over devices."""
    grids: Grids | None = None
    """The images' grids in a file, where `images.grid` does not hold them."""

    def image(self, rows: Int[np.ndarray, " N"]) -> Image:
        """Take the images `rows`, with their grids from memory or from the file."""
        image = self.images.at(rows)
        if self.grids is None:
            return image
        return image._replace(grid=jnp.asarray(self.grids.read(rows)))

    @property
    def features(self) -> Float[Array, "K D"]:
        """Pooled features of the images."""
        return self.images.pooled

    @property
    def num_captions(self) -> int:
        """Number of captions M, without padding."""
        return len(self.captions) - self.padding[0]

    @property
    def num_images(self) -> int:
        """Number of images K, without padding."""
        return self.images.num - self.padding[1]


@dataclass(frozen=True, eq=False)
class SplitRows:
    """N images of a split, which are taken from memory or read from their file when they are used.

    Attributes:
        split: the split.
        rows: (N,) rows of its images.
    """

    split: Split
    rows: Int[np.ndarray, " N"]

    @property
    def num(self) -> int:
        """Number of images N."""
        return len(self.rows)

    def at(self, places: Int[np.ndarray, " M"]) -> Image:
        """Take the images at `places` of the rows, in that order."""
        return self.split.image(self.rows[places])


@dataclass(frozen=True, eq=False)
class Dataset:
    """Data set: its vocabulary, its loaded splits, and its identity.

    Attributes:
        name: name of the data set.
        folder: folder of its files; None for arrays.
        pca_features: whether the features are reduced by PCA.
        vocabulary: the V words.
        splits: the loaded splits by name.
        counts: captions and images of each split, loaded or not.
        caption_length: ids in a caption, L.
        feature_dim: width of the features, D.
        source: how to load the data again.
        encoder: encoder of the features, from `Encoder.describe`; None if unknown.
        pca: projection of the features, from `Projection.describe`; None if unknown.
        grid: `places` and `width` of the grids, and `pca`, their projection or None; None if no
            grids are loaded from files.
    """

    name: str
    folder: Path | None
    pca_features: bool
    vocabulary: Vocabulary
    splits: Mapping[str, Split]
    counts: Mapping[str, Counts]
    caption_length: int
    feature_dim: int
    source: DataSource
    encoder: Mapping[str, Any] | None = None
    pca: Mapping[str, Any] | None = None
    grid: Mapping[str, Any] | None = None

    @classmethod
    def from_arrays(
        cls,
        captions: AnyArray,
        image_idxs: AnyArray,
        features: AnyArray | Image,
        words: Vocabulary | str | Iterable[str],
        *,
        val: tuple[AnyArray, AnyArray, AnyArray | Image] | None = None,
        name: str = ARRAYS,
    ) -> "Dataset":
        """Build a data set from arrays, checked like files.

        Args:
            captions: (M, L) integers in [0, V), rows `<START> ... <END> <NULL> ...`.
            image_idxs: (M,) integers in [0, K), the image of each caption.
            features: (K, D) floats, a row an image, converted to float32; or an `Image` with a grid
                too, whose floats keep their type.
            words: a vocabulary; or the V words in the order of their ids, `<NULL>` first, as a list
                or as a string separated by spaces.
            val: captions, image indices and features of the validation split.
            name: name of the data set.

        Raises:
            ValueError: an array has another shape or type, or a value is out of range; the message
                names the argument and the row.

        >>> captions = np.array([[1, 3, 2], [1, 4, 2], [1, 3, 2]])
        >>> features = np.ones((2, 5), np.float32)
        >>> words = "<NULL> <START> <END> cat dog"
        >>> data = Dataset.from_arrays(captions, np.array([0, 1, 1]), features, words)
        >>> data.counts["train"]
        Counts(captions=3, images=2)
        >>> data.vocabulary.decode(data.train.captions[1])
        'dog'
        """
        if not isinstance(words, Vocabulary):
            words = Vocabulary(tuple(words.split() if isinstance(words, str) else words))
        given = {"train": (captions, image_idxs, features)}
        names = {"train": ("`captions`", "`image_idxs`", "`features`")}
        if val is not None:
            given["val"], names["val"] = val, ("`val[0]`", "`val[1]`", "`val[2]`")
        splits = {}
        for split, arrays in given.items():
            *of_captions, image = arrays
            if not isinstance(image, Image):
                image = Image(image)  # pyright: ignore[reportArgumentType]
            check_grid(image, names[split][2])
            all_arrays = (*of_captions, image.pooled)
            found = check_arrays(all_arrays, names[split], len(words), "`words`")
            captions, image_idxs, pooled = map(jnp.asarray, found)
            images = jax.tree.map(jnp.asarray, image._replace(pooled=pooled))
            splits[split] = Split(captions, image_idxs, images, np.empty(0, "S1"))
        for i, field in ((0, "captions"), (2, "features")):
            check_widths({names[s][i]: getattr(found, field).shape for s, found in splits.items()})
        check_grid_widths({names[s][2]: found.images.grid for s, found in splits.items()})
        train = splits["train"]
        return cls(
            name=name,
            folder=None,
            pca_features=False,
            vocabulary=words,
            splits=splits,
            counts={s: Counts(x.num_captions, x.num_images) for s, x in splits.items()},
            caption_length=train.captions.shape[1],
            feature_dim=train.features.shape[1],
            source=DataSource(dataset=ARRAYS, pca_features=False),
        )

    @property
    def grid_dim(self) -> int:
        """Length of a vector of the images' grids, C; 0 if they have no grid."""
        split = next(iter(self.splits.values()))
        grid = split.images.grid if split.grids is None else split.grids
        return 0 if grid is None else grid.shape[2]

    @property
    def train(self) -> Split:
        """Training split; raises a ValueError if it was not loaded."""
        return self._split("train")

    @property
    def val(self) -> Split:
        """Validation split; raises a ValueError if it was not loaded."""
        return self._split("val")

    @property
    def where(self) -> str:
        """Folder, or the name if there is none, for messages."""
        return str(self.folder or self.name)

    @property
    def identity(self) -> DataIdentity:
        """Identity of the data, which a checkpoint records."""
        return DataIdentity(
            name=self.name,
            counts=dict(self.counts),
            caption_length=self.caption_length,
            feature_dim=self.feature_dim,
            pca_features=self.pca_features,
            encoder=self.encoder,
            pca=self.pca,
            vocabulary_size=len(self.vocabulary),
            vocabulary_digest=self.vocabulary.digest,
            grid=self.grid,
        )

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise ValueError(
                f"{self.where}: the split {name} was not loaded, only {', '.join(self.splits)}; "
                + ("name it in `splits`" if self.folder else f"give `{name}` to from_arrays")
            )
        return self.splits[name]


def choose_images(split: Split, num: int, key: Array) -> Int[np.ndarray, " K"]:
    """Choose at most `num` different images that have captions in a split.

    Args:
        split: a split with K images.
        num: how many; if there are no more, all of them in order.
        key: random key of the choice.

    Returns:
        Rows of the features.
    """
    images = np.unique(np.asarray(split.image_idxs))
    if num >= len(images):
        return images
    return images[np.asarray(jax.random.permutation(key, len(images)))[:num]]


def references_of(
    split: Split, images: Int[np.ndarray, " K"], vocabulary: Vocabulary
) -> list[list[str]]:
    """Decode the different captions of each of `images`, in the order of the split."""
    image_idxs, captions = np.asarray(split.image_idxs), np.asarray(split.captions)
    order = np.argsort(image_idxs, kind="stable")
    first = np.searchsorted(image_idxs[order], images, side="left")
    last = np.searchsorted(image_idxs[order], images, side="right")
    return [
        list(dict.fromkeys(vocabulary.decode(row) for row in captions[order[a:b]]))
        for a, b in zip(first, last, strict=True)
    ]
