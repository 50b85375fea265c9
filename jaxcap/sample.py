"""Caption images of a data set with a trained captioner, beside their references.

`python -m jaxcap.sample --checkpoint checkpoints/small --split val --num 12`
"""

from pathlib import Path

import jax
import numpy as np
from absl import flags

from jaxcap.captioners import Captioners
from jaxcap.commands import data as data_flags
from jaxcap.commands import decoding as decoding_flags
from jaxcap.commands import run as command
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.decoding import read_decoding
from jaxcap.commands.run import SEED
from jaxcap.data.dataset import SPLITS, choose_images, references_of
from jaxcap.scenes import open_picture
from jaxcap.scoring.results import write_results
from jaxcap.scoring.truth import captions_truth, knows_truth

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run whose captioner to use.", required=True
)
BEST = flags.DEFINE_bool(
    "best", False, "Use the checkpoint that did best on validation, not the newest."
)
SPLIT = flags.DEFINE_enum("split", "val", SPLITS, "Images to choose from.")
NUM = flags.DEFINE_integer("num", 12, "Number of images.", lower_bound=1)
OUTPUT = flags.DEFINE_string(
    "output", None, "Write the captions to this file in COCO's results form."
)
GRID = flags.DEFINE_string("grid", None, "Draw the pictures with their captions to this file.")


flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(decoding_flags)


def main() -> None:
    output, grid = command.writable_path(OUTPUT.value), command.writable_path(GRID.value)
    if grid:
        import jaxcap.plots  # noqa: F401  Missing Matplotlib is told before the work.
    captioners = Captioners.load([Path(CHECKPOINT.value).expanduser()], best=BEST.value)
    decoding = read_decoding(captioners.vocabulary)._asdict()
    data = captioners.load_data(SPLIT.value, DATASET.value, DATA_DIR.value)
    print(f"captioner: {captioners.paths[0]}")

    split = data.splits[SPLIT.value]
    images = choose_images(split, NUM.value, jax.random.key(SEED.value))
    captions = captioners.caption(split, images, **decoding)
    references = references_of(split, images, data.vocabulary)
    urls = [url.decode("utf-8", "replace") for url in split.urls.tolist()]
    for image, caption, sentences in zip(images, captions, references, strict=True):
        print(f"\n{SPLIT.value} {image}: {caption}")
        for sentence in sentences:
            print(f"    {sentence}")
    if knows_truth(data):
        print(f"\nclaims in the captions of all scenes of {SPLIT.value}:")
        print(captions_truth(urls, captioners.caption(split, np.arange(len(urls)), **decoding)))
    if output:
        write_results(output, dict(zip(images.tolist(), captions, strict=True)))
        print(f"wrote {output}")
    if grid:
        from jaxcap.plots import caption_grid, save_figure

        pictures = [open_picture(urls[image] if urls else "") for image in images.tolist()]
        save_figure(caption_grid(pictures, captions), grid)
        print(f"drew {grid}")


if __name__ == "__main__":
    command.run(main)
