"""Flags of the commands that read a data set."""

from absl import flags

from jaxcap.datasets import DATASETS

DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    DATASETS,
    "Data set: the embedded scenes, or a folder in the layout of the course's COCO files. The "
    "default is coco with --data_dir and scenes without.",
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder in the layout of the course's files; with --dataset=scenes, where to keep the scenes.",
)
