"""Trained captioners as the commands use them: loaded from runs, with the data that they fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxcap.data.coco import training_captions
from jaxcap.data.dataset import Dataset, Split
from jaxcap.data.seeds import split_seed
from jaxcap.datasets import Placement, load_data
from jaxcap.decoding.captions import caption_images
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.strategies import Strategy
from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints
from jaxcap.nn.captioner import Params
from jaxcap.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class Captioners:
    """A trained captioner, or several with one vocabulary that caption as an ensemble.

    Attributes:
        paths: their checkpoints.
        params, infos: what these hold.
    """

    paths: tuple[Path, ...]
    params: tuple[Params, ...]
    infos: tuple[CheckpointInfo, ...]

    @classmethod
    def load(cls, folders: Sequence[Path], *, best: bool = False) -> "Captioners":
        """Load the captioners of runs.

        Args:
            folders: of the runs, at least one.
            best: the checkpoint that did best on validation rather than the newest.

        Raises:
            FileNotFoundError: there is no such run, or no readable checkpoint in it.
            ValueError: no run is named, or vocabularies differ; the message names both.
        """
        if not folders:
            raise ValueError("--checkpoint names no run")
        paths, loaded = [], []
        for folder in folders:
            checkpoints = Checkpoints(folder)
            step, found = checkpoints.load_newest(checkpoints.load_params, best=best)
            paths.append(checkpoints.path(step))
            loaded.append(found)
        params, infos = zip(*loaded, strict=True)
        for path, info in zip(paths, infos, strict=True):
            if info.vocabulary != infos[0].vocabulary:
                raise ValueError(
                    f"{path}: has another vocabulary than {paths[0]}: train the captioners of an "
                    "ensemble on one data set"
                )
        return cls(tuple(paths), params, infos)

    @property
    def vocabulary(self) -> Vocabulary:
        """The one that they have in common."""
        return self.infos[0].vocabulary

    def load_data(
        self, split: str, dataset: str | None = None, data_dir: str | None = None
    ) -> Dataset:
        """Load a split of the data that the first was trained on, or of what is named instead.

        Args:
            split: the split.
            dataset, data_dir: as `load_data` takes them; None for both is the training's data.

        Raises:
            ValueError: the data's vocabulary or features are not those of each captioner's
                training; and what `load_data` raises.
        """
        source = self.infos[0].source
        elsewhere = dataset is not None or data_dir is not None
        data = load_data(
            data_dir if elsewhere else source.data_dir,
            dataset=dataset if elsewhere else source.dataset,
            pca_features=source.pca_features,
            max_train=source.max_train,
            key=split_seed(self.infos[0].seed).data_key,
            placement=Placement([split]),
        )
        for path, info in zip(self.paths, self.infos, strict=True):
            info.check_vocabulary(data.vocabulary, data.where, path)
            info.check_data(data.identity, data.where, path)
        return data

    def seen(self, data: Dataset) -> set[str]:
        """The training captions of a data set that any of them was trained on."""
        return {
            caption
            for info in self.infos
            for caption in training_captions(
                data, max_train=info.source.max_train, key=split_seed(info.seed).data_key
            )
        }

    def caption(
        self,
        split: Split,
        images: Int[np.ndarray, " K"],
        *,
        strategy: Strategy | None = None,
        key: Array | None = None,
        constraints: Constraints | None = None,
        max_length: int = 30,
    ) -> list[str]:
        """Caption images of a split; arguments and errors are those of `caption_images`.

        Args:
            split: the split.
            images: rows of its features.
        """
        # Features of a whole split may be too large for a copy.
        whole = np.array_equal(images, np.arange(len(split.features)))
        return caption_images(
            self.params,
            [info.model for info in self.infos],
            self.vocabulary,
            split.features if whole else split.features[jnp.asarray(images)],
            strategy=strategy,
            key=key,
            constraints=constraints,
            max_length=max_length,
        )
