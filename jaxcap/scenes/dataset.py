"""The scenes as a data set in the course's layout, written once into a cache folder.

Pictures are not stored. The URL of a picture, `scenes://val/17`, gives its split and index, and the
picture is drawn from them.
"""

import json
import os
import re
import secrets
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from jaxcap.data.coco_writing import write_coco
from jaxcap.data.dataset import SplitArrays
from jaxcap.files import AnyPath
from jaxcap.files.cache import CACHE_VARIABLE, cache_folder
from jaxcap.files.text import one_line
from jaxcap.files.whole import check_room, writing
from jaxcap.scenes.drawing import SIDE, draw, pixels
from jaxcap.scenes.language import CAPTIONS_PER_SCENE, MAX_WORDS, captions
from jaxcap.scenes.lexicon import WORDS
from jaxcap.scenes.world import Scene, sample_scene
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.vision.download import is_url
from jaxcap.vision.grid import FEATURES, grid_features
from jaxcap.vision.grid import VERSION as FEATURES_VERSION
from jaxcap.vision.sources import open_source

NAME = f"scenes-1-{FEATURES_VERSION}"
COUNTS = {"train": 8000, "val": 500}

_MANIFEST = "files.json"
_BATCH = 125
_BYTES_PER_SCENE = 4 * FEATURES + CAPTIONS_PER_SCENE * 4 * (MAX_WORDS + 3) + 64
_URL = re.compile(r"scenes://(train|val)/(\d+)")


def ensure_scenes(data_dir: AnyPath | None = None) -> Path:
    """Return the folder of the scenes in the course's layout, and write it if it is missing.

    Several processes may call this at once. Each writes a separate folder; the first to finish
    renames it into place, and the others delete theirs. A killed process leaves at most a folder
    whose name ends in `.part`, which is never read.

    Args:
        data_dir: folder in which to keep the set, in a subfolder named after its version. The
            default is the environment variable `JAXCAP_CACHE`, or your user cache folder.

    Raises:
        OSError: the folder cannot be written, its disk is full, or a file has the set's name.
        ValueError: the set exists, but a file in it is missing or has a different size than when
            it was written.
    """
    target = (Path(data_dir).expanduser() if data_dir else cache_folder()) / NAME
    if not target.is_dir():
        remedy = f"name another folder with {CACHE_VARIABLE} or `data_dir`"
        with writing(target, remedy, RuntimeError):
            _write_once(target)
    _check(target)
    return target


def scene_of_url(url: str) -> Scene:
    """Return the scene of a URL.

    Raises:
        ValueError: the URL is not in this set.
    """
    match = _URL.fullmatch(url)
    if match is None or int(match[2]) >= COUNTS[match[1]]:
        limits = " or ".join(f"scenes://{s}/0 to {n - 1}" for s, n in COUNTS.items())
        raise ValueError(f"no scene has the URL {url!r}, expected {limits}")
    return sample_scene(match[1], int(match[2]))


def picture(scene: Scene | str, side: int = SIDE) -> Image.Image:
    """Draw a scene, or the scene of a URL, as an RGB picture of `side` by `side` pixels.

    Raises:
        ValueError: the URL is not in this set, or the side is too small.
    """
    return draw(scene_of_url(scene) if isinstance(scene, str) else scene, side)


def open_picture(url: AnyPath, *, fetch: bool = False) -> Image.Image | str | None:
    """Open the picture of a data set's URL, upright and in RGB.

    Args:
        url: `scenes://...`, `file://...`, a path, or a URL on the web.
        fetch: whether to fetch pictures from the web.

    Returns:
        The picture; or one line with the reason why it cannot be opened; or None for an empty URL,
        and for a URL on the web without `fetch`.
    """
    url = os.fspath(url)
    try:
        if url.startswith("scenes://"):
            return picture(url)
        if not url or (is_url(url) and not url.startswith("file://") and not fetch):
            return None
        return Image.fromarray(open_source(url))
    except (OSError, ValueError) as error:
        return one_line(error)


def _write_once(target: Path) -> None:
    """Write the set beside `target` and rename it, unless another process has done so."""
    target.parent.mkdir(parents=True, exist_ok=True)
    check_room(target.parent, sum(COUNTS.values()) * _BYTES_PER_SCENE)
    part = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        _write(part)
        try:
            part.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(folder: Path) -> None:
    vocabulary = Vocabulary.build(WORDS)
    splits = {split: _arrays(split, count, vocabulary) for split, count in COUNTS.items()}
    write_coco(folder, vocabulary, splits, name=NAME)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")


def _arrays(split: str, count: int, vocabulary: Vocabulary) -> SplitArrays:
    scenes = [sample_scene(split, index) for index in range(count)]
    batches = [scenes[start : start + _BATCH] for start in range(0, count, _BATCH)]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        features = list(pool.map(_features, batches))
    sentences = [caption.split() for scene in scenes for caption in captions(scene)]
    length = MAX_WORDS + 2
    return SplitArrays(
        captions=np.stack([vocabulary.encode(words, length) for words in sentences]),
        image_idxs=np.repeat(np.arange(count, dtype=np.int32), CAPTIONS_PER_SCENE),
        features=np.concatenate(features),
        urls=[f"scenes://{split}/{index}" for index in range(count)],
    )


def _features(scenes: list[Scene]) -> np.ndarray:
    return grid_features(np.stack([pixels(scene) for scene in scenes]))


def _check(folder: Path) -> None:
    manifest = folder / _MANIFEST
    remedy = f"delete the folder {folder}; the next run writes it again"
    try:
        sizes = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{manifest}: cannot be read ({error}); {remedy}") from error
    for name, size in sizes.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            what = "is missing" if found is None else f"has {found} bytes, expected {size}"
            raise ValueError(f"{path}: {what}; {remedy}")
