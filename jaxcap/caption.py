"""Caption photos: `python -m jaxcap.caption photo.jpg folder '*.png' https://...`.

Prints a line `path<TAB>caption` for each photo. A photo that cannot be opened is reported on stderr
and makes the exit code 1; the other photos are still captioned. Pictures in a folder that are of a
kind that is not read are counted on stderr.
"""

import io
import json
import sys
from pathlib import Path
from typing import Any

from absl import app, flags

from jaxcap.commands import checkpoint as checkpoint_flags
from jaxcap.commands import decoding as decoding_flags
from jaxcap.commands import run as command
from jaxcap.commands.checkpoint import BEST
from jaxcap.commands.decoding import read_decoding
from jaxcap.commands.encoder import ENCODER, ENCODER_WEIGHTS

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Folder of the run of the captioner; the default is the captioner that ships with jaxcap.",
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 32, "Photos per batch.", lower_bound=1)
JSON = flags.DEFINE_bool("json", False, "Print a line of JSON for each photo.")
IMAGE_LIST = flags.DEFINE_string(
    "image_list",
    None,
    "Caption the images that this file names, such as COCO's image_info_test2014.json, in the one "
    "folder that you give. Any caption format that is one file of text will do.",
)
RESULTS = flags.DEFINE_string(
    "results",
    None,
    "Write the captions to this file in COCO's results format, with the ids of --image_list.",
)
GRID = flags.DEFINE_string("grid", None, "Draw the photos with their captions to this file.")
ATTENTION = flags.DEFINE_string(
    "attention",
    None,
    "Draw where a captioner that attends looks for each word to this file, such as maps.png; of "
    "several photos, the second to maps_2.png, the third to maps_3.png, in the order of the lines.",
)
ALLOW_PRIVATE = flags.DEFINE_bool(
    "allow_private", False, "Also fetch from addresses of your local network."
)

flags.declare_key_flag("encoder")
flags.declare_key_flag("encoder_weights")
flags.declare_key_flag("seed")
flags.adopt_module_key_flags(checkpoint_flags)
flags.adopt_module_key_flags(decoding_flags)


def main(names: list[str]) -> int:
    # Imported here to keep --help fast.
    from jaxcap.trained import load_captioner

    if not names:
        raise app.UsageError("give at least one photo: a file, folder, pattern or URL")
    # File names may not be UTF-8; print their bytes unchanged.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    grid, results = command.writable_path(GRID.value), command.writable_path(RESULTS.value)
    maps = command.writable_path(ATTENTION.value)
    for figure in filter(None, (grid, maps)):
        from jaxcap.plots.figures import format_of  # Fails early without Matplotlib.

        format_of(figure)
    if grid and grid == maps:
        raise ValueError(f"{grid}: is the file of both --grid and --attention; give two")
    listed = {}
    if IMAGE_LIST.value is not None:
        listed = _find_listed(names)
        names = list(listed.values())
    elif results:
        raise ValueError("--results needs --image_list, which gives the ids")
    captioner = load_captioner(
        CHECKPOINT.value,
        best=BEST.value,
        encoder=ENCODER.value,
        encoder_weights=ENCODER_WEIGHTS.value,
    )
    photos, drawn = [], 0
    caption = captioner.caption_with_maps if maps else captioner.caption_each
    for photo in caption(
        names,
        **read_decoding(captioner.vocabulary)._asdict(),
        batch_size=BATCH_SIZE.value,
        allow_private=ALLOW_PRIVATE.value,
    ):
        _print(photo)
        if maps and photo.maps:
            drawn += 1
            place = maps if drawn == 1 else maps.with_stem(f"{maps.stem}_{drawn}")
            _draw_maps(photo, captioner.encoder.network.eyes[0].preprocessing, place)
        photos.append(photo._replace(picture=photo.picture if grid else None, maps=None))
    if results:
        from jaxcap.scoring.results import write_results

        said = {p.source: p.sentence for p in photos if p.sentence is not None}
        write_results(results, {i: said[path] for i, path in listed.items() if path in said})
        print(f"wrote {results}", file=sys.stderr)
    if grid:
        from jaxcap.plots import caption_grid, save_figure

        pictures = [photo.picture or photo.fault for photo in photos]
        titles = [photo.sentence or Path(photo.source).name for photo in photos]
        save_figure(caption_grid(pictures, titles), grid)
        print(f"drew {grid}", file=sys.stderr)
    return int(any(photo.fault for photo in photos))


def _find_listed(names: list[str]) -> dict[Any, str]:
    """Find the images of --image_list: their paths by id."""
    from jaxcap.preparing.listed_images import find_listed_images

    if len(names) != 1:
        raise ValueError("give one folder, with the images of --image_list")
    found = find_listed_images(IMAGE_LIST.value or "", names[0])
    if found.missing:
        print(f"warning: {found.missing}", file=sys.stderr)
    return found.paths


def _draw_maps(photo: Any, preprocessing: Any, path: Path) -> None:
    from jaxcap.plots import attention_maps, save_figure

    width, height = photo.picture.size
    box = preprocessing.box(height, width)
    save_figure(attention_maps(photo.picture, *photo.maps, box=box), path)
    print(f"drew {path}", file=sys.stderr)


def _print(photo: Any) -> None:
    if photo.fault:
        print(f"error: {photo.fault}", file=sys.stderr)
    if JSON.value:
        key, value = ("error", photo.fault) if photo.fault else ("caption", photo.sentence)
        print(json.dumps({"path": photo.source, key: value}), flush=True)
    elif not photo.fault:
        print(f"{photo.source}\t{photo.sentence}", flush=True)


if __name__ == "__main__":
    command.run(main, arguments=True)
