#!/usr/bin/env bash
# Pillow: saving as AVIF removes the orientation from the caller's Image.Exif.
#
# Guess before running: save(exif=exif) reads exif and leaves it as it is, as for JPEG, PNG, WebP and TIFF.
# Seen: after a save as AVIF the object has no orientation any more, so that the next file that is saved
# with it lies on its side: a loop that writes a picture as AVIF and then as JPEG loses the rotation.
# Common expectation: an argument is not changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow==13.0.0
"$work/venv/bin/python" - <<'P'
import io

from PIL import Image

picture, kept = Image.new("RGB", (64, 40), "red"), {}
for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(io.BytesIO(), kind, exif=exif)
    kept[kind] = dict(exif).get(0x0112)
print("orientation left in the object:", kept)
assert [kind for kind, orientation in kept.items() if orientation != 6] == ["AVIF"]
P
# Output: orientation left in the object: {'JPEG': 6, 'PNG': 6, 'WEBP': 6, 'TIFF': 6, 'AVIF': None}
