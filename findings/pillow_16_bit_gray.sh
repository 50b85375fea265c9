#!/usr/bin/env bash
# Pillow: convert("RGB") turns a 16-bit gray PNG white, and reads 16-bit colour rightly.
#
# Guess before running: convert("RGB") of a 16-bit gray picture divides by 256 (or raises).
# Seen: gray values above 255 become 255, so that nearly the whole picture is white. The same values in a
# 16-bit gray PNG with an alpha channel, or in a 16-bit colour PNG, are divided by 256 on opening.
# Common expectation: one picture, stored gray, gray with alpha or in colour, gives the same RGB values.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q pillow==13.0.0 numpy==2.4.6
"$work/venv/bin/python" - <<'P'
import io, struct, zlib
import numpy as np
from PIL import Image

values = np.array([0, 255, 256, 1000, 40000, 65535])


def png(kind, channels):
    """A 16-bit PNG of one row; `kind` is the colour type of the PNG standard."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = np.stack(channels, 1).astype(">u2").tobytes()
    size = struct.pack(">IIBBBBB", len(values), 1, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", size), (b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


files = {
    "gray": png(0, [values]),
    "gray and alpha": png(4, [values, np.full(6, 65535)]),
    "colour": png(2, [values] * 3),
}
seen = {}
for name, content in files.items():
    image = Image.open(io.BytesIO(content))
    seen[name] = np.asarray(image.convert("RGB"))[0, :, 0].tolist()
    print(f"{name} ({image.mode}): {seen[name]}")
assert seen["gray"] == np.minimum(values, 255).tolist()
assert seen["gray and alpha"] == seen["colour"] == (values // 256).tolist()
P
# Output:
#   gray (I;16): [0, 255, 255, 255, 255, 255]
#   gray and alpha (RGBA): [0, 0, 1, 3, 156, 255]
#   colour (RGB): [0, 0, 1, 3, 156, 255]
