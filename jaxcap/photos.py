"""Photos as input of a trained captioner: find, open and encode them as in training."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8
from PIL import Image

from jaxcap.data.coco_writing import GRID_PCA_FILE, PCA_FILE
from jaxcap.data.grid_writing import project_grid, round_grid
from jaxcap.data.image import Image as EncodedImage
from jaxcap.data.projection import Projection
from jaxcap.decoding.captions import Caption
from jaxcap.decoding.word_maps import MappedCaption, WordMaps
from jaxcap.files import AnyPath
from jaxcap.files.text import one_line
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.scoring.diversity import warn_of_one_caption
from jaxcap.vision.encoder import Encoder, check_same_encoder, load_encoder
from jaxcap.vision.formats import unread_note
from jaxcap.vision.images import RGB
from jaxcap.vision.sources import find_sources, open_source

Source = AnyPath | RGB
"""A photo as a path, a URL or an array of pixels; or a folder or pattern of many photos."""

_THREADS = 4
_SHOWN_PIXELS = 480


class CaptionedPhoto(NamedTuple):
    """A photo with its caption, or with the reason why it has none.

    Attributes:
        source: its path, its URL or its pixels.
        sentence: the caption; None if the photo could not be opened.
        nats: log-probability of the caption under the model, in nats; None without a caption.
        fault: why the photo could not be opened; None if it could.
        picture: a thumbnail of the photo; None if it is not kept.
        maps: where the captioner looked for each word; None unless they are asked for.
    """

    source: str | RGB
    sentence: str | None = None
    nats: float | None = None
    fault: str | None = None
    picture: Image.Image | None = None
    maps: WordMaps | None = None


class OpenedPhoto(NamedTuple):
    """A photo ready for the encoder.

    Attributes:
        pixels: input of the network.
        picture: a thumbnail of the photo.
    """

    pixels: UInt8[np.ndarray, "..."]
    picture: Image.Image


@dataclass(frozen=True)
class PhotoEncoder:
    """The encoder of the features, and perhaps grids, that a captioner was trained on.

    Attributes:
        network: the encoder.
        projection: the PCA that reduces its features; None for none.
        grid: whether to give grids too.
        grid_projection: the PCA that reduces the vectors of the grids; None for none.
    """

    network: Encoder
    projection: Projection | None
    grid: bool = False
    grid_projection: Projection | None = None

    @classmethod
    def load(
        cls, path: Path, info: RunInfo, name: str | None = None, weights: Path | None = None
    ) -> "PhotoEncoder":
        """Load the encoder that belongs to a checkpoint.

        Args:
            path: the checkpoint, in the folder of its run.
            info: metadata of the checkpoint.
            name: name of the encoder, for a checkpoint that does not record it; None for the
                recorded one.
            weights: file of the encoder's weights, if they do not ship with jaxcap.

        Raises:
            FileNotFoundError: a projection of the run is missing.
            ValueError: the checkpoint does not record its encoder and none is given, or the encoder
                or a projection differs from training; the message names both.
        """
        stored = info.data.encoder
        name = name or (stored["name"] if stored else None)
        if name is None:
            raise ValueError(
                f"{path}: was trained on the data {info.data.name}, which does not record the "
                "encoder of its features: give `encoder` and `encoder_weights`, or train on data "
                "of jaxcap.prepare"
            )
        encoder = load_encoder(name, weights)
        if stored is not None:
            check_same_encoder(stored, encoder.describe(), str(path))
        model, grid = info.model, info.data.grid or {}
        pca = _Reduced("features", PCA_FILE, model.feature_dim, info.data.pca)
        projection = pca.load(path, encoder, info.data.pca_features)
        if model.attention is None:
            return cls(encoder, projection)
        if not encoder.grid_cells:
            raise ValueError(
                f"{path}: attends to grids, which {encoder.name} does not make: give the encoder "
                "of its training by `encoder`"
            )
        pca = _Reduced("grids", GRID_PCA_FILE, model.grid_dim, grid.get("pca"))
        return cls(encoder, projection, True, pca.load(path, encoder, pca.stored is not None))

    def open(self, source: str | RGB, allow_private: bool = False) -> OpenedPhoto:
        """Open a photo and resize it for the network.

        Args:
            source: a path, a URL, or pixels (H, W, 3) uint8.
            allow_private: also fetch from addresses that are not public.

        Raises:
            OSError, ValueError: the photo cannot be opened, or is not a picture.
        """
        photo = source
        if isinstance(photo, str):
            photo = open_source(photo, allow_private=allow_private)
        pixels = self.network.prepare(photo)
        picture = Image.fromarray(photo)
        picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
        return OpenedPhoto(pixels, picture)

    def open_all(
        self, sources: Sequence[str | RGB], pool: Executor, allow_private: bool = False
    ) -> list[OpenedPhoto | str]:
        """Open photos in parallel; a photo that cannot be opened is replaced by the reason."""
        return list(pool.map(partial(self._try_to_open, allow_private=allow_private), sources))

    def features(self, photos: Sequence[OpenedPhoto], batch_size: int = 32) -> EncodedImage:
        """Encode N photos, N from 1 to `batch_size`; see `Encoder.encode_prepared`.

        Grids are rounded as those of training are.
        """
        pixels = np.stack([photo.pixels for photo in photos])
        found = self.network.encode_prepared(pixels, grid=self.grid, batch_size=batch_size)
        pooled = self.projection.apply(found.pooled) if self.projection else found.pooled
        if found.grid is None:
            return EncodedImage(jnp.asarray(pooled))
        grid = project_grid(round_grid(found.grid), self.grid_projection)
        return EncodedImage(jnp.asarray(pooled), jnp.asarray(grid))

    def _try_to_open(self, source: str | RGB, allow_private: bool) -> OpenedPhoto | str:
        try:
            return self.open(source, allow_private)
        except (OSError, ValueError) as error:
            return one_line(error)


def find_photos(sources: Source | Sequence[Source]) -> list[CaptionedPhoto]:
    """Expand folders and patterns; see `jaxcap.vision.sources.find_sources`.

    Warns of pictures in them that are of kinds that are not read, with their number and the remedy.

    Args:
        sources: one or several sources.

    Returns:
        The photos without captions, in the order given; each path and URL once. A source without a
        photo has a fault.
    """
    if isinstance(sources, str | os.PathLike | np.ndarray):
        sources = [sources]
    found, seen = [], set()
    unread: dict[str, None] = {}
    for source in sources:
        if isinstance(source, np.ndarray):
            found.append(CaptionedPhoto(source))
            continue
        named = find_sources([os.path.expanduser(source)])
        found += [CaptionedPhoto(name) for name in named.images if name not in seen]
        found += [CaptionedPhoto(name, fault=fault) for name, fault in named.faults]
        seen.update(named.images)
        unread.update(dict.fromkeys(named.unread))
    if note := unread_note(unread):
        warnings.warn(note, stacklevel=3)
    return found


def caption_found(
    found: Sequence[CaptionedPhoto],
    encoder: PhotoEncoder,
    decode: Callable[..., Sequence[Caption | MappedCaption]],
    *,
    key: Array | None = None,
    batch_size: int = 32,
    allow_private: bool = False,
) -> Iterator[CaptionedPhoto]:
    """Caption photos batch by batch; a photo that cannot be opened does not stop the others.

    Warns if a whole batch of different photos gets the same caption.

    Args:
        found: photos without captions, from `find_photos`.
        encoder: the encoder of the captioner.
        decode: `decode(features, key=key)` captions them.
        key: a `jax.random` key, for strategies that draw.
        batch_size: photos in memory at a time.
        allow_private: also fetch from addresses that are not public.

    Yields:
        Each photo, in order, with a thumbnail.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="open") as pool:
        for start in range(0, len(found), batch_size):
            batch = found[start : start + batch_size]
            named = [photo.source for photo in batch if photo.fault is None]
            opened = encoder.open_all(named, pool, allow_private)
            photos = [photo for photo in opened if not isinstance(photo, str)]
            captions: Sequence[Caption | MappedCaption] = []
            if photos:
                features = encoder.features(photos, batch_size)
                own = None if key is None else jax.random.fold_in(key, start)
                captions = decode(features, key=own)
                sentences = [caption.sentence for caption in captions]
                warn_of_one_caption(sentences, np.asarray(features.pooled))
            results, written = iter(opened), iter(captions)
            for photo in batch:
                result = photo.fault or next(results)
                if isinstance(result, str):
                    yield photo._replace(fault=result)
                else:
                    caption = next(written)._asdict()
                    yield photo._replace(picture=result.picture, **caption)


class _Reduced(NamedTuple):
    """What training saw of features or grids, which its PCA may have reduced."""

    kind: str
    """"features" or "grids"."""
    file: str
    """Name of the file of the projection."""
    width: int
    """Width that the captioner expects."""
    stored: Mapping[str, Any] | None
    """The projection, from `Projection.describe`; None for none, or unknown."""

    def load(self, path: Path, encoder: Encoder, reduced: bool) -> Projection | None:
        """Read the projection from what `encoder` makes, in the folder of the checkpoint `path`.

        None if there is none; `reduced` tells whether there must be one where widths differ.
        """
        made = encoder.grid_dim if self.kind == "grids" else encoder.feature_dim
        if self.stored is None and self.width == made:
            return None
        needs = (
            f"{path}: was trained on {self.kind} of width {self.width}, and {encoder.name} makes "
            f"{made}"
        )
        if not reduced:
            raise ValueError(f"{needs}: give the encoder of those {self.kind} by `encoder`")
        file = path.parent / self.file
        if not file.exists():
            raise FileNotFoundError(
                f"{needs}; the projection between them is missing from {file}, where jaxcap.train "
                "copies it from data that jaxcap.prepare reduced: put the file back"
            )
        projection = Projection.load(file)
        if self.stored is not None and projection.describe() != self.stored:
            raise ValueError(
                f"{file}: is the projection {projection.describe()}, but {path} was trained with "
                f"{self.stored}: put the original file back"
            )
        if len(projection.components) != self.width:
            raise ValueError(
                f"{needs}; {file} reduces to {len(projection.components)}: put the original file "
                "back"
            )
        return projection
