"""The share of a captioner's captions that are true, where the data set knows what is true."""

from collections.abc import Sequence

from jaxcap.data.dataset import Dataset, Split
from jaxcap.decoding.captions import caption_images
from jaxcap.nn.captioner import CaptionerConfig, Params
from jaxcap.scenes import TruthReport, scene_of_url, truth_report


def knows_truth(data: Dataset) -> bool:
    """Whether the pictures of a data set are scenes, whatever its features are made of."""
    urls = [split.urls[0] for split in data.splits.values() if len(split.urls)]
    return bool(urls) and all(url.startswith(b"scenes://") for url in urls)


def scene_truth(
    params: Params, config: CaptionerConfig, data: Dataset, split: Split
) -> TruthReport:
    """Caption every scene of a split greedily and check every claim.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        data: the scenes' data set, for its vocabulary.
        split: the split to caption, of `data`.
    """
    captions = caption_images(params, config, data.vocabulary, split.features)
    return captions_truth([url.decode() for url in split.urls.tolist()], captions)


def captions_truth(urls: Sequence[str], captions: Sequence[str]) -> TruthReport:
    """Check every claim of captions of scenes.

    Args:
        urls: of the scenes.
        captions: one for each.

    Raises:
        ValueError: a URL is not that of a scene, or there are not as many captions.
    """
    return truth_report([scene_of_url(url) for url in urls], captions)
