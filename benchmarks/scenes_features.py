"""The scenes on an encoder's features instead of their own: which make truer captions?

    python benchmarks/scenes_features.py --folder=/tmp/scenes_on_encoder

Draws the pictures at the encoder's size, encodes them, writes them as a data set, and trains as
`launch/scenes.flags` says, but for the flags after `--`. Training ends with the share of the claims
that are true; `python -m jaxcap.train --flagfile launch/scenes.flags` prints the same for the
features that the scenes come with.

With `--grid` the captioner may attend, and training ends also with how often the peak of its map
lies on the thing that the word names, beside the share by the peaks of other words. On two cores
this takes about 15 minutes, a third of them for the pictures:

    python benchmarks/scenes_features.py --folder=/tmp/scenes_attention --grid --num=1500 -- \
        --attention=soft --hidden_dim=128 --num_epochs=12
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags
from tqdm import tqdm

from jaxcap.data.coco import load_coco
from jaxcap.data.coco_writing import grid_file, write_coco
from jaxcap.data.dataset import SPLITS, SplitArrays
from jaxcap.data.grid_writing import round_grid, write_grids
from jaxcap.scenes import ensure_scenes, picture
from jaxcap.vision.encoder import DEFAULT_ENCODER, ENCODERS, load_encoder

FOLDER = flags.DEFINE_string("folder", None, "Folder to write into.", required=True)
ENCODER = flags.DEFINE_enum("encoder", DEFAULT_ENCODER, ENCODERS, "Encoder of the pictures.")
GRID = flags.DEFINE_bool("grid", False, "Also write the grids, for captioners that attend.")
NUM = flags.DEFINE_integer("num", None, "Training scenes; all by default.", lower_bound=1)

_ROOT = Path(__file__).parents[1]
_BATCH = 50


def write_data(folder: Path, name: str, num: int | None, grid: bool) -> None:
    """Write the scenes with an encoder's features, `num` of training, and perhaps with grids."""
    encoder = load_encoder(name)
    scenes = load_coco(ensure_scenes())
    splits, grids = {}, {}
    for split in SPLITS:
        arrays = scenes.splits[split]
        urls = [url.decode() for url in arrays.urls.tolist()][: num if split == "train" else None]
        features = []
        for start in tqdm(range(0, len(urls), _BATCH), desc=split):
            pictures = [
                np.asarray(picture(url, encoder.eyes[0].preprocessing.size))
                for url in urls[start : start + _BATCH]
            ]
            features.append(encoder.encode(pictures, grid=grid, batch_size=_BATCH))
        kept = np.asarray(arrays.image_idxs) < len(urls)
        splits[split] = SplitArrays(
            np.asarray(arrays.captions)[kept],
            np.asarray(arrays.image_idxs)[kept],
            np.concatenate([part.pooled for part in features]),
            urls,
        )
        grids[split] = [round_grid(part.grid) for part in features if part.grid is not None]
    write_coco(
        folder,
        scenes.vocabulary,
        splits,
        name=f"scenes-{name}",
        pca_features=False,
        encoder=encoder.describe(),
    )
    for split, parts in grids.items() if grid else ():
        shape = len(splits[split].urls), *parts[0].shape[1:]
        write_grids(folder / grid_file(split), shape, parts)


def main(argv: list[str]) -> int:
    folder = Path(FOLDER.value)
    data = folder / "data"
    if not data.exists():
        write_data(data, ENCODER.value, NUM.value, GRID.value)
    command = [
        *(sys.executable, "-m", "jaxcap.train", f"--flagfile={_ROOT / 'launch/scenes.flags'}"),
        *("--dataset=coco", f"--data_dir={data}", f"--checkpoint_dir={folder / 'run'}"),
        *("--overwrite", *argv[1:]),
    ]
    return subprocess.run(command, cwd=_ROOT).returncode


if __name__ == "__main__":
    app.run(main)
