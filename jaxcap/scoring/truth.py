"""The share of a captioner's captions that are true, where the data set knows what is true."""

from jaxcap.data.scenes import NAME, TruthReport, scene_of_url, truth_report
from jaxcap.data.splits import CaptionData, Split
from jaxcap.decoding.captions import caption_images
from jaxcap.nn.captioner import CaptionerConfig, Params


def knows_truth(data: CaptionData) -> bool:
    """Whether the pictures of a data set are scenes, whose captions can be checked."""
    return data.name == NAME


def scene_truth(
    params: Params, config: CaptionerConfig, data: CaptionData, split: Split
) -> TruthReport:
    """Caption every scene of a split greedily and check every claim.

    Args:
        params: parameters by the notebook's names.
        config: shape of the captioner.
        data: the scenes' data set, for its vocabulary.
        split: the split to caption, of `data`.
    """
    captions = caption_images(params, config, data.vocabulary, split.features)
    return truth_report([scene_of_url(url.decode()) for url in split.urls.tolist()], captions)
