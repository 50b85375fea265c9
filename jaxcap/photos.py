"""Photos as input of a trained captioner: find, open and encode them as in training."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8
from PIL import Image

from jaxcap.data.coco_writing import PCA_FILE
from jaxcap.data.projection import Projection
from jaxcap.decoding.captions import Caption
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
    """

    source: str | RGB
    sentence: str | None = None
    nats: float | None = None
    fault: str | None = None
    picture: Image.Image | None = None


class OpenedPhoto(NamedTuple):
    """A photo ready for the encoder.

    Attributes:
        pixels: input of the network.
        picture: a thumbnail of the photo.
    """

    pixels: UInt8[np.ndarray, "S S 3"]
    picture: Image.Image


@dataclass(frozen=True)
class PhotoEncoder:
    """The encoder of the features that a captioner was trained on.

    Attributes:
        network: the encoder.
        projection: the PCA that reduces its features; None for none.
    """

    network: Encoder
    projection: Projection | None

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
            FileNotFoundError: the projection of the run is missing.
            ValueError: the checkpoint does not record its encoder and none is given, or the encoder
                or the projection differs from training; the message names both.
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
        return cls(encoder, _load_projection(path, info, encoder))

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

    def features(
        self, photos: Sequence[OpenedPhoto], batch_size: int = 32
    ) -> Float[np.ndarray, "N D"]:
        """Encode N photos, N from 1 to `batch_size`; see `Encoder.encode_prepared`."""
        pixels = np.stack([photo.pixels for photo in photos])
        features = self.network.encode_prepared(pixels, batch_size=batch_size).pooled
        return self.projection.apply(features) if self.projection else features

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
    decode: Callable[..., list[Caption]],
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
            captions: list[Caption] = []
            if photos:
                features = encoder.features(photos, batch_size)
                own = None if key is None else jax.random.fold_in(key, start)
                captions = decode(features, key=own)
                warn_of_one_caption([caption.sentence for caption in captions], features)
            results, sentences = iter(opened), iter(captions)
            for photo in batch:
                result = photo.fault or next(results)
                if isinstance(result, str):
                    yield photo._replace(fault=result)
                else:
                    caption = next(sentences)._asdict()
                    yield photo._replace(picture=result.picture, **caption)


def _load_projection(path: Path, info: RunInfo, encoder: Encoder) -> Projection | None:
    stored, width = info.data.pca, info.model.feature_dim
    if stored is None and width == encoder.feature_dim:
        return None
    needs = (
        f"{path}: was trained on features of width {width}, and {encoder.name} makes "
        f"{encoder.feature_dim}"
    )
    if not info.data.pca_features:
        raise ValueError(f"{needs}: give the encoder of those features by `encoder`")
    file = path.parent / PCA_FILE
    if not file.exists():
        raise FileNotFoundError(
            f"{needs}; the projection between them is missing from {file}, where jaxcap.train "
            "copies it from data that jaxcap.prepare reduced: put the file back"
        )
    projection = Projection.load(file)
    if stored is not None and projection.describe() != stored:
        raise ValueError(
            f"{file}: is the projection {projection.describe()}, but {path} was trained with "
            f"{stored}: put the original file back"
        )
    if len(projection.components) != width:
        raise ValueError(
            f"{needs}; {file} reduces to {len(projection.components)}: put the original file back"
        )
    return projection
