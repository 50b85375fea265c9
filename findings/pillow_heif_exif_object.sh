#!/usr/bin/env bash
# pillow-heif: a rotation in EXIF is lost if save() is given the Image.Exif that getexif() returns.
#
# Guess before running: im.save("a.heic", exif=exif) keeps the orientation as im.save("a.jpg", exif=exif)
# does, whether exif is an Image.Exif or its bytes.
# Seen: with bytes the file gets a rotation (irot) and opens turned. With an Image.Exif no rotation is
# written, and the tag is set to 1 when the file is opened: the picture lies on its side without a sign of it.
# Common expectation: both forms mean the same, as in all of Pillow's own formats.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow==13.0.0 pillow-heif==1.8.1
"$work/venv/bin/python" - <<'P'
import io

import pillow_heif
from PIL import Image, ImageOps

pillow_heif.register_heif_opener()
picture, sizes = Image.new("RGB", (64, 40), "red"), {}
for kind in ("JPEG", "AVIF", "HEIF"):
    for form in ("Exif", "bytes"):
        exif = Image.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        picture.save(file, kind, exif=exif if form == "Exif" else exif.tobytes())
        sizes[kind, form] = ImageOps.exif_transpose(Image.open(file)).size
        print(f"{kind} saved with {form}: opens as {sizes[kind, form]}")
assert {key for key, size in sizes.items() if size != (40, 64)} == {("HEIF", "Exif")}
P
# Output:
#   JPEG saved with Exif: opens as (40, 64)
#   JPEG saved with bytes: opens as (40, 64)
#   AVIF saved with Exif: opens as (40, 64)
#   AVIF saved with bytes: opens as (40, 64)
#   HEIF saved with Exif: opens as (64, 40)
#   HEIF saved with bytes: opens as (40, 64)
