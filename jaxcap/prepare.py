"""Prepare your images and captions for training.

`python -m jaxcap.prepare --images DIR --captions FILE --output DIR`
"""

from pathlib import Path

from absl import flags

from jaxcap.commands import run as command
from jaxcap.commands.encoder import ENCODER, ENCODER_WEIGHTS
from jaxcap.commands.run import SEED
from jaxcap.formats.read import FORMATS
from jaxcap.preparing.plan import PreparationConfig
from jaxcap.preparing.prepare import prepare
from jaxcap.preparing.splits import DEFAULT_VAL_SHARE, SplitChoice
from jaxcap.text.words import TOKENIZERS
from jaxcap.vision.encoder import DEFAULT_ENCODER

IMAGES = flags.DEFINE_string(
    "images",
    None,
    "Folder of the images; those in Parquet or tar files are unpacked into it.",
    required=True,
)
CAPTIONS = flags.DEFINE_string(
    "captions",
    None,
    "Caption file or folder, of any format that the guide lists.",
    required=True,
)
FORMAT = flags.DEFINE_enum(
    "format", None, list(FORMATS), "Format of the caption file; recognised by default."
)
IMAGE_LIST = flags.DEFINE_string(
    "image_list",
    None,
    "File with the name of an image a line, for a caption file with only a caption a line.",
)
KEEP_REJECTED = flags.DEFINE_bool(
    "keep_rejected", False, "Keep captions that are marked as rejected or precanned, as in VizWiz."
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write the data set to.", required=True)
NAME = flags.DEFINE_string(
    "name", None, "Name of the data set; by default the name of the --output folder."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the data set in --output.")
STRICT = flags.DEFINE_bool(
    "strict", False, "Fail on a missing or unreadable image. By default it is left out."
)

TRAIN_LIST = flags.DEFINE_string(
    "train_list", None, "File with the names of the training images, one a line."
)
VAL_LIST = flags.DEFINE_string(
    "val_list", None, "File with the names of the validation images, one a line."
)
VAL_SHARE = flags.DEFINE_float(
    "val_share",
    None,
    "Share of the images to draw for validation, with --seed. The default is the splits of the "
    f"caption file, or {DEFAULT_VAL_SHARE:g} if it has none.",
)

TOKENIZER = flags.DEFINE_enum(
    "tokenizer",
    "ptb",
    list(TOKENIZERS),
    "Split captions as COCO's evaluation does (ptb), at white space, or into characters.",
)
MIN_COUNT = flags.DEFINE_integer(
    "min_count", 5, "Least occurrences of a word in the training captions.", lower_bound=1
)
MAX_LENGTH = flags.DEFINE_integer(
    "max_length", 16, "Most words of a caption; longer ones are cut.", lower_bound=1
)
PCA = flags.DEFINE_integer(
    "pca",
    None,
    "Also write features reduced to this many by PCA, fitted on the training images.",
    1,
)
GRID = flags.DEFINE_bool(
    "grid", False, "Also write the grid of each image, in float16, for captioners that attend."
)
GRID_PCA = flags.DEFINE_integer(
    "grid_pca",
    None,
    "Reduce the vectors of the grids to this length by PCA, fitted on the training images.",
    1,
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images encoded at a time.", lower_bound=1)

flags.declare_key_flag("encoder")
flags.declare_key_flag("encoder_weights")
flags.declare_key_flag("seed")


def main() -> None:
    prepare(
        PreparationConfig(
            images=IMAGES.value,
            captions=CAPTIONS.value,
            output=OUTPUT.value,
            name=NAME.value,
            splits=SplitChoice(TRAIN_LIST.value, VAL_LIST.value, VAL_SHARE.value, SEED.value),
            tokenizer=TOKENIZER.value,
            min_count=MIN_COUNT.value,
            max_length=MAX_LENGTH.value,
            pca=PCA.value,
            encoder=ENCODER.value or DEFAULT_ENCODER,
            encoder_weights=ENCODER_WEIGHTS.value,
            batch_size=BATCH_SIZE.value,
            strict=STRICT.value,
            overwrite=OVERWRITE.value,
            format=FORMAT.value,
            keep_rejected=KEEP_REJECTED.value,
            image_list=IMAGE_LIST.value,
            grid=GRID.value,
            grid_pca=GRID_PCA.value,
        ),
        verbose=True,
    )
    print(f"wrote {Path(OUTPUT.value).expanduser()}")


if __name__ == "__main__":
    command.run(main)
