#!/usr/bin/env bash
# datasets: map writes each JPEG again, at quality 75, where the function only looks at the picture.
#
# Guess before running: map keeps the bytes of a column that its function does not return.
# Seen: a function that returns the width, and one that does not touch the picture, both give a new column.
# After the first, the pictures of the result are other JPEGs, smaller and with other pixels; each further
# map of that kind encodes them anew. This holds for pictures held as bytes, as from shards and Parquet.
# Common expectation: a picture changes only where a function returns a changed one.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
HF_HUB_OFFLINE=1 HF_HOME="$work" "$work/venv/bin/python" - <<'P'
import io
import datasets, numpy as np
from PIL import Image

datasets.disable_progress_bars()
file = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
Image.fromarray(noise).save(file, "JPEG", quality=95)
features = datasets.Features({"image": datasets.Image()})
rows = datasets.Dataset.from_dict({"image": [{"bytes": file.getvalue(), "path": None}]}, features)
seen = {}
for name, function in {
    "does not look": lambda row: {"width": 32},
    "looks": lambda row: {"width": row["image"].width},
}.items():
    mapped = rows.map(function)
    stored = mapped.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]
    before, after = (np.asarray(table[0]["image"]).astype(int) for table in (rows, mapped))
    seen[name] = stored == file.getvalue(), int(np.abs(before - after).max())
    sizes = f"{len(file.getvalue())} bytes become {len(stored)}"
    print(f"{name}: {sizes}; pixels differ by up to {seen[name][1]}")
assert seen["does not look"] == (True, 0) and not seen["looks"][0] and seen["looks"][1] > 40, seen
P
# Output:
#   does not look: 1835 bytes become 1835; pixels differ by up to 0
#   looks: 1835 bytes become 1187; pixels differ by up to 80
