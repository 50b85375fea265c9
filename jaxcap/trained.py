"""A trained captioner and what it does: caption photos and splits, be evaluated, be shared."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from jaxtyping import Array

from jaxcap.data.coco import training_captions
from jaxcap.data.dataset import Dataset, Split
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import Placement, load_data
from jaxcap.decoding.captions import Caption, Captioner, Features, caption_images
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Strategy
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.files import AnyPath
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.photos import CaptionedPhoto, PhotoEncoder, Source, caption_found, find_photos
from jaxcap.scenes import TruthReport, scene_of_url, truth_report
from jaxcap.scoring.evaluation import Evaluation
from jaxcap.scoring.split_images import SplitImages
from jaxcap.shipped import export_captioner, shipped_checkpoint
from jaxcap.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """What one run left.

    Attributes:
        path: the checkpoint.
        captioner: its parameters, shape and words.
        info: what the checkpoint says of itself.
    """

    path: Path
    captioner: Captioner = field(repr=False)
    info: RunInfo = field(repr=False)


@dataclass(frozen=True, eq=False)
class TrainedCaptioner:
    """A captioner with the run that it comes from, or several that caption as an ensemble.

    Attributes:
        runs: what it is made of, with one vocabulary.
        encoder_name: the encoder, for a run that does not know its own; None otherwise.
        encoder_weights: file of the encoder's weights, if they do not ship with jaxcap.
    """

    runs: tuple[LoadedRun, ...]
    encoder_name: str | None = None
    encoder_weights: Path | None = None

    @property
    def path(self) -> Path:
        """The checkpoint; of an ensemble the first."""
        return self.runs[0].path

    @property
    def captioner(self) -> Captioner:
        """The captioner; of an ensemble the first."""
        return self.runs[0].captioner

    @property
    def info(self) -> RunInfo:
        """What the checkpoint says of itself; of an ensemble the first."""
        return self.runs[0].info

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of all."""
        return self.captioner.vocabulary

    @cached_property
    def encoder(self) -> PhotoEncoder:
        """What made the features that it was trained on, loaded when first needed.

        Raises:
            FileNotFoundError, ValueError: as `PhotoEncoder.load`.
        """
        for run in self.runs[1:]:
            run.info.check_data(self.info.data, str(self.path), run.path)
        return PhotoEncoder.load(self.path, self.info, self.encoder_name, self.encoder_weights)

    def decode(
        self,
        features: Features,
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
    ) -> list[Caption]:
        """Caption N images, given their features; see `Captioner.decode`."""
        each = [run.captioner for run in self.runs]
        return caption_images(each, features, strategy, rules=rules, key=key)

    def caption_photos(
        self,
        sources: Source | Sequence[Source],
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
        batch_size: int = 32,
        allow_private: bool = False,
    ) -> list[CaptionedPhoto]:
        """Caption photos as `caption_each` does, and give them all, without their pictures."""
        options = {"batch_size": batch_size, "allow_private": allow_private}
        found = self.caption_each(sources, strategy, rules=rules, key=key, **options)
        return [photo._replace(picture=None) for photo in found]

    def caption_each(
        self,
        sources: Source | Sequence[Source],
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
        batch_size: int = 32,
        allow_private: bool = False,
    ) -> Iterator[CaptionedPhoto]:
        """Caption photos batch by batch; one that cannot be opened does not stop the others.

        Warns where a whole batch of different photos gets one caption.

        Args:
            sources: paths, folders, patterns, URLs, and arrays (H, W, 3) of uint8; one or several.
            strategy: how to choose words; a search with three beams if left out.
            rules: rules on the words; if left out, no caption shows `<UNK>`.
            key: a `jax.random` key, for strategies that draw.
            batch_size: photos in memory at a time.
            allow_private: also fetch from addresses of your own network.

        Returns:
            An iterator over the photos, in order, with their pictures made small.

        Raises:
            FileNotFoundError, ValueError: at once, as `PhotoEncoder.load`.
        """
        decode = partial(self.decode, strategy=strategy, rules=rules)
        options = {"batch_size": batch_size, "allow_private": allow_private}
        return caption_found(find_photos(sources), self.encoder, decode, key=key, **options)

    def load_data(
        self, split: str, data_dir: AnyPath | None = None, dataset: str | None = None
    ) -> Dataset:
        """Load a split of the data that it was trained on, or of what you name instead.

        Args:
            split: the split.
            data_dir, dataset: as `jaxcap.load_data` takes them; None for both is the training's
                data.

        Raises:
            ValueError: the data's vocabulary or features are not those of the training; and what
                `jaxcap.load_data` raises.
        """
        source = self.info.source
        elsewhere = dataset is not None or data_dir is not None
        if source.dataset == "arrays" and not elsewhere:
            raise ValueError(f"{self.path}: was trained on arrays: give them as `data`")
        data = load_data(
            data_dir if elsewhere else source.data_dir,
            dataset=dataset if elsewhere else source.dataset,
            pca_features=source.pca_features,
            max_train=source.max_train,
            key=split_seed(self.info.seed).data_key,
            placement=Placement([split]),
        )
        self._check(data)
        return data

    def caption(
        self,
        images: SplitImages,
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
    ) -> dict[int, str]:
        """Caption images of a split, by row; other arguments are those of `decode`."""
        captions = self.decode(images.image, strategy, rules=rules, key=key)
        return dict(zip(images.rows.tolist(), (c.sentence for c in captions), strict=True))

    def evaluate(
        self,
        split: str = "val",
        strategy: Strategy | None = None,
        *,
        data: Dataset | None = None,
        rules: Rules | None = None,
        key: Array | None = None,
        java: bool = True,
    ) -> Evaluation:
        """Caption a split and score the captions against its references.

        For other images or references make `SplitImages`, and give it what `caption` gives.

        Args:
            split: name of the split.
            strategy, rules, key: as `decode` takes them.
            data: the data set; what it was trained on if left out.
            java: also compute METEOR and SPICE, where Java and `pycocoevalcap` are installed.

        Raises:
            ValueError: as `load_data`.
        """
        if data is None:
            data = self.load_data(split)
        self._check(data)
        images = SplitImages.choose(data, split)
        captions = self.caption(images, strategy, rules=rules, key=key)
        return images.evaluate(captions, training=self.seen(data), java=java)

    def seen(self, data: Dataset) -> set[str]:
        """The captions of a data set that it was trained on, as sentences."""
        return {
            caption
            for run in self.runs
            for caption in training_captions(
                data,
                max_train=run.info.source.max_train,
                key=split_seed(run.info.seed).data_key,
            )
        }

    def export(self, output: AnyPath, dtype: str = "float16") -> Path:
        """Write the captioner to be shared: small, with nothing to train on, and without paths.

        Args:
            output: folder to write, a new one.
            dtype: of the parameters, "float16" or "float32".

        Returns:
            The checkpoint in it.

        Raises:
            FileExistsError: the folder is there already.
            ValueError: a parameter is beyond what `dtype` can hold.
            OSError: it cannot be written.
        """
        run = self.runs[0]
        return export_captioner(run.path, run.captioner, run.info, Path(output).expanduser(), dtype)

    def _check(self, data: Dataset) -> None:
        for run in self.runs:
            run.info.check_vocabulary(data.vocabulary, data.where, run.path)
            run.info.check_data(data.identity, data.where, run.path)


def load_captioner(
    checkpoint: AnyPath | Sequence[AnyPath] | None = None,
    *,
    best: bool = True,
    encoder: str | None = None,
    encoder_weights: AnyPath | None = None,
) -> TrainedCaptioner:
    """Load a trained captioner.

    Args:
        checkpoint: folder of the run, or of several with one vocabulary, which caption as an
            ensemble; the captioner that ships with jaxcap if left out.
        best: take the checkpoint that did best on validation rather than the newest.
        encoder: name of the encoder, for a run that does not know its own.
        encoder_weights: file of the encoder's weights, if they do not ship with jaxcap.

    Raises:
        FileNotFoundError: there is no such run, or no readable checkpoint in it.
        ValueError: no run is named, or vocabularies differ; the message names both.
    """
    if checkpoint is None:
        checkpoint = shipped_checkpoint()
    folders = [checkpoint] if isinstance(checkpoint, str | os.PathLike) else checkpoint
    if not folders:
        raise ValueError("`checkpoint` names no run")
    runs = []
    for folder in folders:
        path, params, info = Checkpoints(folder).load("best" if best else "newest")
        runs.append(LoadedRun(path, Captioner(params, info.model, info.vocabulary), info))
    for run in runs:
        if run.info.vocabulary != runs[0].info.vocabulary:
            raise ValueError(
                f"{run.path}: has another vocabulary than {runs[0].path}: train the captioners of "
                "an ensemble on one data set"
            )
    weights = None if encoder_weights is None else Path(encoder_weights).expanduser()
    return TrainedCaptioner(tuple(runs), encoder, weights)


def scene_truth(captioner: Captioner, split: Split) -> TruthReport:
    """Caption every scene of a split greedily and check every claim."""
    captions = captioner.decode(split.images, Greedy(scored=False))
    scenes = [scene_of_url(url.decode()) for url in split.urls.tolist()]
    return truth_report(scenes, [caption.sentence for caption in captions])
