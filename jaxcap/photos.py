"""A trained captioner with the encoder that belongs to it: photos in, sentences out."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

import jaxcap
from jaxcap.data.coco_writing import PCA_FILE
from jaxcap.data.projection import Projection
from jaxcap.decoding.captions import caption_images
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.sameness import warn_of_one_caption
from jaxcap.decoding.strategies import Strategy
from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints
from jaxcap.nn.captioner import Params
from jaxcap.vision.encoder import Encoder, check_same_encoder, load_encoder
from jaxcap.vision.images import RGB

SHIPPED = "flickr8k"
"""Name, in `checkpoints/`, of the trained captioner that comes with jaxcap."""

_THREADS = 4
_SHOWN_PIXELS = 480


def shipped_checkpoint() -> Path:
    """Find the captioner that comes with jaxcap.

    Raises:
        FileNotFoundError: this installation has none.
    """
    package = Path(jaxcap.__file__).parent
    places = [folder / "checkpoints" / SHIPPED for folder in (package, package.parent)]
    for place in places:
        if place.is_dir():
            return place
    raise FileNotFoundError(
        f"no trained captioner came with this installation (looked in {places[0]} and {places[1]}):"
        " name one by --checkpoint, the folder of a run of jaxcap.train"
    )


@dataclass(frozen=True)
class PhotoCaptioner:
    """A captioner of pictures.

    Attributes:
        path: the checkpoint.
        params, info: what it holds.
        encoder: what made the features it was trained on.
        projection: what reduced them; None if nothing did.
    """

    path: Path
    params: Params
    info: CheckpointInfo
    encoder: Encoder
    projection: Projection | None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        encoder: str | None = None,
        weights: Path | None = None,
        best: bool = True,
    ) -> "PhotoCaptioner":
        """Load a run's captioner and the encoder that goes with it.

        Args:
            folder: of the run.
            encoder: name of the encoder, for a run that does not know; None for the run's own.
            weights: file of the encoder's weights, if they do not ship with jaxcap.
            best: the checkpoint that did best on validation rather than the newest.

        Raises:
            FileNotFoundError: there is no such run, or its projection is missing.
            ValueError: the run does not know its encoder and none is named, or the one in use is
                another; the message names both.
        """
        checkpoints = Checkpoints(folder)
        step, (params, info) = checkpoints.load_newest(checkpoints.load_params, best=best)
        path = checkpoints.path(step)
        stored = info.data.encoder
        name = encoder or (stored["name"] if stored else None)
        if name is None:
            raise ValueError(
                f"{path}: was trained on the data {info.data.name}, which does not say which "
                "encoder made its features: name it, as by --encoder=vgg16 --encoder_weights=FILE, "
                "or train on data of jaxcap.prepare"
            )
        used = load_encoder(name, weights)
        if stored is not None:
            check_same_encoder(stored, used.describe(), str(path))
        return cls(path, params, info, used, _load_projection(folder, path, info, used))

    def features(self, images: Sequence[RGB], *, batch_size: int = 32) -> Float[np.ndarray, "N D"]:
        """Encode pictures as those were that the captioner was trained on.

        Args:
            images: pictures of any sizes.
            batch_size: pictures on the device at a time.
        """
        features = self.encoder.encode(images, batch_size=batch_size).pooled
        return self.projection.apply(features) if self.projection else features


class Captioned(NamedTuple):
    """A picture that was to be captioned.

    Attributes:
        source: its path or URL.
        caption: the sentence; None if the picture could not be opened.
        fault: why it could not; None if it could.
        picture: the picture made small, to be shown.
    """

    source: str
    caption: str | None
    fault: str | None
    picture: Image.Image | None


def caption_photos(
    captioner: PhotoCaptioner,
    sources: Sequence[str],
    open_photo: Callable[[str], RGB],
    *,
    strategy: Strategy | None = None,
    key: Array | None = None,
    constraints: Constraints | None = None,
    max_length: int = 30,
    batch_size: int = 32,
) -> Iterator[Captioned]:
    """Caption pictures batch by batch; one that cannot be opened does not stop the others.

    Warns where a whole batch of different pictures gets one caption.

    Args:
        captioner: what captions them.
        sources: paths and URLs.
        open_photo: opens one; its OSError or ValueError is that picture's fault.
        strategy: how to choose words; greedy if left out.
        key: a `jax.random` key, for `Sampling`.
        constraints: rules on the words; if left out, no caption shows `<UNK>`.
        max_length: most words in a caption.
        batch_size: pictures in memory at a time.

    Yields:
        Each picture, in order.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="open") as pool:
        for start in range(0, len(sources), batch_size):
            batch = sources[start : start + batch_size]
            opened = list(pool.map(partial(_try_to_open, open_photo), batch))
            photos = [photo for photo in opened if not isinstance(photo, str)]
            captions: Iterator[str] = iter(())
            if photos:
                features = captioner.features(photos, batch_size=batch_size)
                sentences = caption_images(
                    captioner.params,
                    captioner.info.model,
                    captioner.info.vocabulary,
                    features,
                    strategy=strategy,
                    key=None if key is None else jax.random.fold_in(key, start),
                    constraints=constraints,
                    max_length=max_length,
                )
                warn_of_one_caption(sentences, features)
                captions = iter(sentences)
            for source, photo in zip(batch, opened, strict=True):
                if isinstance(photo, str):
                    yield Captioned(source, None, photo, None)
                else:
                    yield Captioned(source, next(captions), None, _small(photo))


def _try_to_open(open_photo: Callable[[str], RGB], source: str) -> RGB | str:
    try:
        return open_photo(source)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())


def _small(photo: RGB) -> Image.Image:
    picture = Image.fromarray(photo)
    picture.thumbnail((_SHOWN_PIXELS, _SHOWN_PIXELS))
    return picture


def _load_projection(
    folder: Path, path: Path, info: CheckpointInfo, encoder: Encoder
) -> Projection | None:
    stored, width = info.data.pca, info.model.feature_dim
    if stored is None and width == encoder.feature_dim:
        return None
    needs = (
        f"{path}: was trained on features of width {width}, and {encoder.name} makes "
        f"{encoder.feature_dim}"
    )
    if not info.data.pca_features:
        raise ValueError(f"{needs}: name the encoder that made those features by --encoder")
    file = folder / PCA_FILE
    if not file.exists():
        raise FileNotFoundError(
            f"{needs}; the projection between them is expected in {file}, where jaxcap.train "
            "copies it from data of jaxcap.prepare --pca"
        )
    projection = Projection.load(file)
    if stored is not None and projection.describe() != stored:
        raise ValueError(
            f"{file}: is the projection {projection.describe()}, but {path} was trained with "
            f"{stored}: put back the file that was there"
        )
    if len(projection.components) != width:
        raise ValueError(f"{needs}; {file} reduces to {len(projection.components)}")
    return projection
