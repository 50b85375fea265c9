"""A captioner on scenes, whose truth is known: its claims, and where it looks for things."""

import numpy as np

from jaxcap.data.dataset import Split, SplitRows
from jaxcap.decoding.captions import Captioner
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.decoding.word_maps import caption_with_maps
from jaxcap.scenes import PeakReport, Scene, TruthReport, peak_report, scene_of_url, truth_report

_GREEDY = Greedy(scored=False)


def scene_truth(captioner: Captioner, split: Split) -> TruthReport:
    """Caption every scene of a split greedily and check every claim."""
    captions = captioner.decode(_images(split), _GREEDY)
    return truth_report(_scenes(split), [caption.sentence for caption in captions])


def scene_peaks(captioner: Captioner, split: Split) -> PeakReport:
    """Caption every scene of a split greedily and check where it looks for each thing it names.

    Raises:
        ValueError: the captioner does not attend, or the images have no grid.
    """
    captions = caption_with_maps([captioner], _images(split), _GREEDY)
    words, maps = zip(*(caption.maps for caption in captions), strict=True)
    return peak_report(_scenes(split), words, maps)


def _images(split: Split) -> SplitRows:
    return SplitRows(split, np.arange(split.num_images))


def _scenes(split: Split) -> list[Scene]:
    return [scene_of_url(url.decode()) for url in split.urls.tolist()]
