"""Caption images of a data set with a trained captioner, beside their references.

`python -m jaxcap.sample --checkpoint checkpoints/small --split val --num 12`
"""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
from absl import flags

from jaxcap import command, data_flags
from jaxcap.command import SEED
from jaxcap.data.datasets import load_dataset
from jaxcap.data.pictures import open_picture
from jaxcap.data.references import choose_images, references_of
from jaxcap.data.splits import SPLITS, CaptionData
from jaxcap.data_flags import DATA_DIR, DATASET
from jaxcap.decoding.captions import caption_images
from jaxcap.learning.checkpoints import CheckpointInfo, Checkpoints
from jaxcap.scoring.truth import knows_truth, scene_truth

CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Folder of the run whose captioner to use.", required=True
)
BEST = flags.DEFINE_bool(
    "best", False, "Use the checkpoint with the lowest validation loss, not the newest."
)
SPLIT = flags.DEFINE_enum("split", "val", SPLITS, "Images to choose from.")
NUM = flags.DEFINE_integer("num", 12, "Number of images.", lower_bound=1)
MAX_LENGTH = flags.DEFINE_integer("max_length", 30, "Most words in a caption.", lower_bound=1)
OUTPUT = flags.DEFINE_string(
    "output", None, "Write the captions to this file in COCO's results form."
)
GRID = flags.DEFINE_string("grid", None, "Draw the pictures with their captions to this file.")


flags.adopt_module_key_flags(command)
flags.adopt_module_key_flags(data_flags)


def main() -> None:
    output, grid = command.writable_path(OUTPUT.value), command.writable_path(GRID.value)
    if grid:
        import jaxcap.plots  # noqa: F401  Missing Matplotlib is told before the work.
    checkpoints = Checkpoints(Path(CHECKPOINT.value).expanduser())
    step, (params, info) = checkpoints.load_newest(checkpoints.load_params, best=BEST.value)
    data = _load_data(info)
    info.check_vocabulary(data.vocabulary, data.folder, checkpoints.path(step))
    info.check_data(data.identity(), data.folder, checkpoints.path(step))
    print(f"captioner: {checkpoints.path(step)}, iteration {step}")

    split = data.splits[SPLIT.value]
    images = choose_images(split, NUM.value, jax.random.key(SEED.value))
    captions = caption_images(
        params,
        info.model,
        data.vocabulary,
        split.features[jnp.asarray(images)],
        max_length=MAX_LENGTH.value,
    )
    references = references_of(split, images, data.vocabulary)
    for image, caption, sentences in zip(images, captions, references, strict=True):
        print(f"\n{SPLIT.value} {image}: {caption}")
        for sentence in sentences:
            print(f"    {sentence}")
    if knows_truth(data):
        print(f"\nclaims in the captions of all scenes of {SPLIT.value}:")
        print(scene_truth(params, info.model, data, split))
    if output:
        results = [
            {"image_id": int(image), "caption": caption}
            for image, caption in zip(images, captions, strict=True)
        ]
        output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {output}")
    if grid:
        from jaxcap.plots import caption_grid, save_figure

        urls = [split.urls.tolist()[i].decode() if len(split.urls) else "" for i in images]
        save_figure(caption_grid([open_picture(url) for url in urls], captions), grid)
        print(f"drew {grid}")


def _load_data(info: CheckpointInfo) -> CaptionData:
    """The data that the captioner was trained on, or what the flags name instead."""
    elsewhere = DATASET.value is not None or DATA_DIR.value is not None
    return load_dataset(
        DATASET.value if elsewhere else info.source["dataset"],
        DATA_DIR.value if elsewhere else info.source["data_dir"],
        pca_features=info.source["pca_features"],
        max_train=info.source["max_train"],
        key=jax.random.split(jax.random.key(info.seed))[0],
        splits=[SPLIT.value],
    )


if __name__ == "__main__":
    command.run(main)
