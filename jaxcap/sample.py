"""Caption images of a data set with a trained captioner, and show their references.

`python -m jaxcap.sample --checkpoint checkpoints/small --split val --num 12`
"""

from absl import flags

from jaxcap.commands import checkpoint as checkpoint_flags
from jaxcap.commands import data as data_flags
from jaxcap.commands import decoding as decoding_flags
from jaxcap.commands import run as command
from jaxcap.commands.checkpoint import BEST
from jaxcap.commands.data import DATA_DIR, DATASET
from jaxcap.commands.decoding import read_decoding
from jaxcap.data.dataset import SPLITS

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run of the captioner.", required=True
)
SPLIT = flags.DEFINE_enum("split", "val", SPLITS, "Split to choose images from.")
NUM = flags.DEFINE_integer("num", 12, "Number of images.", lower_bound=1)
OUTPUT = flags.DEFINE_string(
    "output", None, "Write the captions to this file in COCO's results format."
)
GRID = flags.DEFINE_string("grid", None, "Draw the pictures with their captions to this file.")

flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(checkpoint_flags)
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(decoding_flags)


def main() -> None:
    # Imported here to keep --help fast.
    from jaxcap.scenes import open_picture
    from jaxcap.scoring.split_images import SplitImages, knows_truth
    from jaxcap.trained import load_captioner

    output, grid = command.writable_path(OUTPUT.value), command.writable_path(GRID.value)
    if grid:
        from jaxcap.plots.figures import format_of  # Fails early without Matplotlib.

        format_of(grid)
    captioner = load_captioner(CHECKPOINT.value, best=BEST.value)
    decoding = read_decoding(captioner.vocabulary)
    data = captioner.load_data(SPLIT.value, DATA_DIR.value, DATASET.value)
    print(f"captioner: {captioner.path}")

    images = SplitImages.choose(data, SPLIT.value, NUM.value, decoding.key)
    captions = captioner.caption(images, **decoding._asdict())
    for row, sentences in images.spelled().items():
        known = f" ({images.ids[row]})" if images.ids else ""
        print(f"\n{SPLIT.value} {row}{known}: {captions[row]}")
        for sentence in sentences:
            print(f"    {sentence}")
    if knows_truth(data):
        every = SplitImages.choose(data, SPLIT.value)
        print(f"\nclaims in the captions of all scenes of {SPLIT.value}:")
        print(every.truth(captioner.caption(every, **decoding._asdict())))
    if output:
        images.write_results(output, captions)
        print(f"wrote {output}")
    if grid:
        from jaxcap.plots import caption_grid, save_figure

        pictures = [open_picture(images.urls.get(row, "")) for row in captions]
        save_figure(caption_grid(pictures, list(captions.values())), grid)
        print(f"drew {grid}")


if __name__ == "__main__":
    command.run(main)
