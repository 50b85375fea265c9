"""The embedded data set: drawn scenes with captions whose truth can be checked.

`world` defines scenes, `drawing` draws them, `language` captions them, `truth` checks captions
against them, `peaks` where a captioner looks, and `dataset` writes the data set in the course's
layout.
"""

from jaxcap.scenes.dataset import NAME, ensure_scenes, open_picture, picture, scene_of_url
from jaxcap.scenes.language import captions
from jaxcap.scenes.peaks import PeakReport, peak_report
from jaxcap.scenes.truth import (
    Claim,
    TruthReport,
    check_caption,
    is_true,
    truth_report,
)
from jaxcap.scenes.world import Group, Scene, held_back, sample_scene

__all__ = [
    "NAME",
    "Claim",
    "Group",
    "PeakReport",
    "Scene",
    "TruthReport",
    "captions",
    "check_caption",
    "ensure_scenes",
    "held_back",
    "is_true",
    "open_picture",
    "peak_report",
    "picture",
    "sample_scene",
    "scene_of_url",
    "truth_report",
]
