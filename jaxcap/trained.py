"""Trained captioners: caption photos and splits, evaluate, export."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from jaxtyping import Array

from jaxcap.data.coco import training_captions
from jaxcap.data.dataset import Dataset
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import Placement, load_data
from jaxcap.decoding.captions import Caption, Captioner, Features, caption_images
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.strategy import Strategy
from jaxcap.decoding.word_maps import caption_with_maps, check_attends
from jaxcap.files import AnyPath
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.photos import CaptionedPhoto, PhotoEncoder, Source, caption_found, find_photos
from jaxcap.scoring.evaluation import Evaluation
from jaxcap.scoring.split_images import SplitImages
from jaxcap.shipped import export_captioner, shipped_checkpoint
from jaxcap.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """A checkpoint of one run.

    Attributes:
        path: the checkpoint.
        captioner: its parameters, shape and vocabulary.
        info: metadata of the checkpoint.
    """

    path: Path
    captioner: Captioner = field(repr=False)
    info: RunInfo = field(repr=False)


@dataclass(frozen=True, eq=False)
class TrainedCaptioner:
    """A captioner with its run, or several as an ensemble.

    Attributes:
        runs: the runs, with the same vocabulary.
        encoder_name: name of the encoder, for a run that does not record it; None otherwise.
        encoder_weights: file of the encoder's weights, if they do not ship with jaxcap.
    """

    runs: tuple[LoadedRun, ...]
    encoder_name: str | None = None
    encoder_weights: Path | None = None

    @property
    def path(self) -> Path:
        """The checkpoint; the first of an ensemble."""
        return self.runs[0].path

    @property
    def captioner(self) -> Captioner:
        """The captioner; the first of an ensemble."""
        return self.runs[0].captioner

    @property
    def info(self) -> RunInfo:
        """Metadata of the checkpoint; the first of an ensemble."""
        return self.runs[0].info

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, shared by all runs."""
        return self.captioner.vocabulary

    @cached_property
    def encoder(self) -> PhotoEncoder:
        """The encoder of its training features, loaded at first use.

        Raises:
            FileNotFoundError, ValueError: as `PhotoEncoder.load`, or the runs of the ensemble were
                trained on different features.
        """
        # Of one that attends, if any does, since it needs the most.
        first = next((run for run in self.runs if run.info.model.attention), self.runs[0])
        for run in self.runs:
            run.info.check_data(first.info.data, str(first.path), run.path)
        return PhotoEncoder.load(first.path, first.info, self.encoder_name, self.encoder_weights)

    def decode(
        self,
        features: Features,
        strategy: Strategy | None = None,
        *,
        rules: Rules | None = None,
        key: Array | None = None,
    ) -> list[Caption]:
        """Caption N images from their features; see `Captioner.decode`."""
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
        """Caption photos as `caption_each` does, and return them in a list, without pictures."""
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
        """Caption photos batch by batch; a photo that cannot be opened does not stop the others.

        Warns if a whole batch of different photos gets the same caption, and of pictures in folders
        that are of kinds that are not read.

        Args:
            sources: one or several paths, folders, patterns, URLs, or arrays (H, W, 3) of uint8.
            strategy: how to choose words; a search with three beams by default.
            rules: rules on the words; by default no caption has `<UNK>`.
            key: a `jax.random` key, for strategies that draw.
            batch_size: photos in memory at a time.
            allow_private: also fetch from addresses of your local network.

        Returns:
            An iterator over the photos, in order, with thumbnails.

        Raises:
            FileNotFoundError, ValueError: before the first photo, as `PhotoEncoder.load`.
        """
        decode = partial(self.decode, strategy=strategy, rules=rules)
        options = {"batch_size": batch_size, "allow_private": allow_private}
        return caption_found(find_photos(sources), self.encoder, decode, key=key, **options)

    def caption_with_maps(
        self, sources: Source | Sequence[Source], strategy: Strategy | None = None, **options: Any
    ) -> Iterator[CaptionedPhoto]:
        """Caption photos as `caption_each` does, with `maps` of where each word was looked for.

        They are the mean over those of an ensemble that attend. Arguments: as for `caption_each`.

        Raises:
            ValueError: before the first photo, no captioner attends; or as `caption_each`.
        """
        each = [run.captioner for run in self.runs]
        check_attends(each)
        rules = options.pop("rules", None)
        decode = partial(caption_with_maps, each, strategy=strategy, rules=rules)
        return caption_found(find_photos(sources), self.encoder, decode, **options)

    def load_data(
        self, split: str, data_dir: AnyPath | None = None, dataset: str | None = None
    ) -> Dataset:
        """Load a split of its training data, or of other data, with grids if it attends.

        Args:
            split: name of the split.
            data_dir, dataset: as in `jaxcap.load_data`; None for both is the training data.

        Raises:
            ValueError: the vocabulary or the features are not those of training; or as
                `jaxcap.load_data`.
        """
        source = self.info.source
        elsewhere = dataset is not None or data_dir is not None
        if source.dataset == "arrays" and not elsewhere:
            raise ValueError(
                f"{self.path}: was trained on arrays, which are not stored: give them by `data`"
            )
        data = load_data(
            data_dir if elsewhere else source.data_dir,
            dataset=dataset if elsewhere else source.dataset,
            pca_features=source.pca_features,
            max_train=source.max_train,
            key=split_seed(self.info.seed).data_key,
            placement=Placement([split], grids=any(run.info.model.attention for run in self.runs)),
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
        """Caption images of a split and return the captions by row.

        Args:
            images: images of a split.
            strategy, rules, key: as in `decode`.
        """
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

        Image ids are those of the source of the data, or rows if the data set keeps none.

        For other images or references, make `SplitImages` and pass the captions of `caption` to its
        `evaluate`.

        Args:
            split: name of the split.
            strategy, rules, key: as in `decode`.
            data: the data set; the training data by default.
            java: also compute METEOR and SPICE, if Java and `pycocoevalcap` are installed.

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
        """Collect the captions of a data set that were used in training, as sentences."""
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
        """Write a small copy for sharing, without the training state and local paths.

        Args:
            output: new folder to write.
            dtype: dtype of the parameters, "float16" or "float32".

        Returns:
            The checkpoint in the folder.

        Raises:
            FileExistsError: the folder exists.
            ValueError: a parameter has values that `dtype` cannot hold.
            OSError: the folder cannot be written.
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
        checkpoint: folder of the run, or a list of folders for an ensemble with one vocabulary; the
            captioner that ships with jaxcap by default.
        best: load the checkpoint with the best validation metric, not the newest.
        encoder: name of the encoder, for a run that does not record it.
        encoder_weights: file of the encoder's weights, if they do not ship with jaxcap.

    Raises:
        FileNotFoundError: there is no such run, or no readable checkpoint in it.
        ValueError: the list of folders is empty, or vocabularies differ; the message names both.
    """
    checkpoint = shipped_checkpoint() if checkpoint is None else checkpoint
    folders = [checkpoint] if isinstance(checkpoint, str | os.PathLike) else checkpoint
    if not folders:
        raise ValueError("`checkpoint` is empty: give the folder of at least one run")
    runs = []
    for folder in folders:
        path, params, info = Checkpoints(folder).load("best" if best else "newest")
        runs.append(LoadedRun(path, Captioner(params, info.model, info.vocabulary), info))
    for run in runs:
        if run.info.vocabulary != runs[0].info.vocabulary:
            raise ValueError(
                f"{run.path}: has another vocabulary than {runs[0].path}: train the captioners of "
                "an ensemble on the same data set"
            )
    weights = None if encoder_weights is None else Path(encoder_weights).expanduser()
    return TrainedCaptioner(tuple(runs), encoder, weights)
