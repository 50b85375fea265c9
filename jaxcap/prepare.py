"""Prepare one's own images and captions for training.

`python -m jaxcap.prepare --images DIR --captions FILE --output DIR`
"""

import sys
import time
from pathlib import Path

from absl import flags
from tqdm import tqdm

from jaxcap.commands import run as command
from jaxcap.commands.encoder import ENCODER, ENCODER_WEIGHTS
from jaxcap.commands.run import SEED
from jaxcap.preparing.plan import Plan, PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation, check_output
from jaxcap.preparing.splits import DEFAULT_VAL_SHARE, SplitChoice
from jaxcap.text.words import TOKENIZERS
from jaxcap.vision.encoder import DEFAULT_ENCODER, load_encoder

IMAGES = flags.DEFINE_string("images", None, "Folder of the images.", required=True)
CAPTIONS = flags.DEFINE_string(
    "captions",
    None,
    "Caption file: COCO's or Karpathy's JSON, Flickr8k's token file, CSV or TSV.",
    required=True,
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write the data set to.", required=True)
NAME = flags.DEFINE_string("name", None, "Name of the data set; by default that of --output.")
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace the data set in --output.")
STRICT = flags.DEFINE_bool(
    "strict", False, "Take a missing or unreadable image as an error, not leave it out."
)

TRAIN_LIST = flags.DEFINE_string("train_list", None, "File with a training image's name a line.")
VAL_LIST = flags.DEFINE_string("val_list", None, "File with a validation image's name a line.")
VAL_SHARE = flags.DEFINE_float(
    "val_share",
    None,
    "Share of the images to draw for validation, with --seed, instead of the caption file's own "
    f"splits; {DEFAULT_VAL_SHARE:g} where it has none.",
)

TOKENIZER = flags.DEFINE_enum(
    "tokenizer",
    "ptb",
    list(TOKENIZERS),
    "Split captions as COCO's evaluation does (ptb), at white space, or into characters.",
)
MIN_COUNT = flags.DEFINE_integer(
    "min_count", 5, "How often a word must stand in the training captions.", lower_bound=1
)
MAX_LENGTH = flags.DEFINE_integer(
    "max_length", 16, "Words that a caption is cut to.", lower_bound=1
)
PCA = flags.DEFINE_integer(
    "pca", None, "Also write features reduced to this many by PCA, fitted on training images.", 1
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Images encoded at a time.", lower_bound=1)

flags.declare_key_flag("encoder")
flags.declare_key_flag("encoder_weights")
flags.declare_key_flag("seed")


def main() -> int | None:
    config = _config()
    check_output(config.output, overwrite=config.overwrite)
    plan = plan_preparation(config)
    print("\n".join([*plan.notes, *plan.describe()]), flush=True)
    _complain("missing", plan.missing)
    weights = Path(ENCODER_WEIGHTS.value) if ENCODER_WEIGHTS.value else None
    encoder = load_encoder(ENCODER.value or DEFAULT_ENCODER, weights)
    with Preparation(plan, encoder) as preparation:
        try:
            _encode(preparation, plan)
        except KeyboardInterrupt:
            print("stopped: the same command goes on from here")
            raise
        done = preparation.finish()
    _complain("not readable", [*done.unreadable.values()])
    if done.unreadable:
        print("\n".join(done.plan.describe()))
    if done.variance is not None:
        print(f"PCA: {config.pca} directions keep {done.variance:.1%} of the variance")
    print(f"wrote {config.output}")


def _config() -> PreparationConfig:
    output = Path(OUTPUT.value).expanduser()
    return PreparationConfig(
        images=Path(IMAGES.value).expanduser(),
        captions=Path(CAPTIONS.value).expanduser(),
        output=output,
        name=NAME.value or output.resolve().name,
        splits=SplitChoice(
            train_list=Path(TRAIN_LIST.value) if TRAIN_LIST.value else None,
            val_list=Path(VAL_LIST.value) if VAL_LIST.value else None,
            val_share=VAL_SHARE.value,
            seed=SEED.value,
        ),
        tokenizer=TOKENIZER.value,
        min_count=MIN_COUNT.value,
        max_length=MAX_LENGTH.value,
        pca=PCA.value,
        batch_size=BATCH_SIZE.value,
        strict=STRICT.value,
        overwrite=OVERWRITE.value,
    )


def _complain(what: str, images: tuple[str, ...] | list[str]) -> None:
    """Name some of the images that are left out, and count them."""
    for image in images[:10]:
        print(f"{what}: {image}", file=sys.stderr)
    if images:
        print(
            f"warning: {len(images)} images are {what} and left out with their captions; "
            "report.json in the output lists them",
            file=sys.stderr,
        )


def _encode(preparation: Preparation, plan: Plan) -> None:
    """Encode with a progress bar on a terminal, and say how fast it went."""
    before, total = preparation.store.num_done, len(plan.images)
    if preparation.store.begun_again:
        print("the features of an earlier start are of other images or another encoder: made again")
    elif before:
        print(f"resumed: {before:,} of {total:,} images are encoded already")
    started = time.perf_counter()
    quiet = not sys.stderr.isatty()
    with tqdm(initial=before, total=total, unit="image", disable=quiet) as bar:
        for count in preparation.encode():
            bar.update(count)
    seconds = time.perf_counter() - started
    if total > before:
        speed = (total - before) / seconds
        print(f"encoded {total - before:,} images in {seconds:.1f} s, {speed:.1f} images/s")


if __name__ == "__main__":
    command.run(main)
