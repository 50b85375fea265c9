"""The flags of the commands that read a data set."""

from absl import flags

from jaxcap.datasets import DATASETS

DATASET = flags.DEFINE_enum(
    "dataset",
    None,
    DATASETS,
    "What to read: the embedded scenes, or the course's COCO files. The default is coco where "
    "--data_dir is given, and scenes elsewhere.",
)
DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder of the course's files; with --dataset=scenes, where to keep the scenes.",
)
