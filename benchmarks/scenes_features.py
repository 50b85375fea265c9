"""The scenes on an encoder's features instead of their own: which make truer captions?

    python benchmarks/scenes_features.py --folder=/tmp/scenes_on_encoder

Draws the pictures at the encoder's size, encodes them, writes them as a data set, and trains as
`launch/scenes.flags` says, but for the flags after `--`. Training ends with the share of the claims
that are true; `python -m jaxcap.train --flagfile launch/scenes.flags` prints the same for the
features that the scenes come with.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from absl import app, flags
from tqdm import tqdm

from jaxcap.data.coco import SplitArrays, load_coco, write_coco
from jaxcap.data.dataset import SPLITS
from jaxcap.scenes import ensure_scenes, picture
from jaxcap.vision.encoder import DEFAULT_ENCODER, ENCODERS, load_encoder

FOLDER = flags.DEFINE_string("folder", None, "Folder to write into.", required=True)
ENCODER = flags.DEFINE_enum("encoder", DEFAULT_ENCODER, ENCODERS, "Encoder of the pictures.")

_ROOT = Path(__file__).parents[1]
_BATCH = 50


def write_data(folder: Path, name: str) -> None:
    """Write the scenes with an encoder's features."""
    encoder = load_encoder(name)
    scenes = load_coco(ensure_scenes())
    splits = {}
    for split in SPLITS:
        arrays = scenes.splits[split]
        urls = [url.decode() for url in arrays.urls.tolist()]
        features = []
        for start in tqdm(range(0, len(urls), _BATCH), desc=split):
            pictures = [
                np.asarray(picture(url, encoder.preprocessing.size))
                for url in urls[start : start + _BATCH]
            ]
            features.append(encoder.encode(pictures, batch_size=_BATCH).pooled)
        splits[split] = SplitArrays(
            np.asarray(arrays.captions),
            np.asarray(arrays.image_idxs),
            np.concatenate(features),
            urls,
        )
    write_coco(
        folder,
        scenes.vocabulary,
        splits,
        name=f"scenes-{name}",
        pca_features=False,
        encoder=encoder.describe(),
    )


def main(argv: list[str]) -> int:
    folder = Path(FOLDER.value)
    data = folder / "data"
    if not data.exists():
        write_data(data, ENCODER.value)
    command = [
        *(sys.executable, "-m", "jaxcap.train", f"--flagfile={_ROOT / 'launch/scenes.flags'}"),
        *("--dataset=coco", f"--data_dir={data}", f"--checkpoint_dir={folder / 'run'}"),
        *("--overwrite", *argv[1:]),
    ]
    return subprocess.run(command, cwd=_ROOT).returncode


if __name__ == "__main__":
    app.run(main)
