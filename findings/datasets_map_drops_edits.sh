#!/usr/bin/env bash
# datasets: a picture opened from a file and edited in place goes back to the file.
#
# Guess before running: what a function of map returns is what the result holds: after thumbnail((8, 8)) and
# after putpixel the picture is the edited one.
# Seen: the result holds the path of the file, so that both edits are lost and the size is the old one.
# resize, which returns a new picture, is kept. Nothing is said.
# Common expectation: in-place methods of Pillow, as thumbnail, do in map what they do elsewhere.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pillow==13.0.0
HF_HUB_OFFLINE=1 HF_HOME="$work" WORK="$work" "$work/venv/bin/python" - <<'P'
import os
import datasets
from PIL import Image

datasets.disable_progress_bars()
path = os.path.join(os.environ["WORK"], "x.png")
Image.new("RGB", (32, 32)).save(path)
rows = datasets.Dataset.from_dict({"image": [path]}, datasets.Features({"image": datasets.Image()}))


def thumbnail(row):
    row["image"].thumbnail((8, 8))
    return row


def putpixel(row):
    row["image"].putpixel((0, 0), (255, 0, 0))
    return row


def resize(row):
    return {"image": row["image"].resize((8, 8))}


seen = []
for function in (thumbnail, putpixel, resize):
    image = rows.map(function)[0]["image"]
    seen.append((image.size, image.getpixel((0, 0))))
    print(f"{function.__name__}: size {image.size}, first pixel {image.getpixel((0, 0))}")
assert seen == [((32, 32), (0, 0, 0))] * 2 + [((8, 8), (0, 0, 0))], seen
P
# Output:
#   thumbnail: size (32, 32), first pixel (0, 0, 0)
#   putpixel: size (32, 32), first pixel (0, 0, 0)
#   resize: size (8, 8), first pixel (0, 0, 0)
