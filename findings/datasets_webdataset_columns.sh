#!/usr/bin/env bash
# datasets: the webdataset reader takes its columns from the first samples of a shard and drops the others.
#
# Guess before running: a field that only later samples have becomes a column, with None before.
# Seen: five samples settle the columns. Captions that begin with the sixth are dropped, and where the
# pictures are first .jpg and then .png, the .png ones come as None. Nothing is said.
# Common expectation: every file of a shard is in the data set, or an error says which is not.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pillow==13.0.0
HF_HUB_OFFLINE=1 WORK="$work" "$work/venv/bin/python" - <<'P'
import io, os, tarfile
import datasets
from PIL import Image

folder = os.environ["WORK"]
datasets.disable_progress_bars()


def picture(kind):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, kind)
    return file.getvalue()


def read(name, files):
    path = os.path.join(folder, name + ".tar")
    with tarfile.open(path, "w") as tar:
        for entry, content in files:
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    cache = os.path.join(folder, name)
    return datasets.load_dataset("webdataset", data_files=path, split="train", cache_dir=cache)


jpg, png = picture("JPEG"), picture("PNG")
late = [(f"{n}.jpg", jpg) for n in range(5)] + [("5.jpg", jpg), ("5.txt", b"a dog")]
mixed = [(f"{n}.jpg", jpg) for n in range(5)] + [("5.png", png)]
late, mixed = read("late", late), read("mixed", mixed)
columns = [name for name in late.column_names if not name.startswith("_")]
print("one caption, in the sixth sample:", columns)
print("five .jpg, then a .png:", ["picture" if row["jpg"] else None for row in mixed])
assert columns == ["jpg"] and mixed[4]["jpg"] is not None
assert "png" not in mixed.column_names and mixed[5]["jpg"] is None
P
# Output:
#   one caption, in the sixth sample: ['jpg']
#   five .jpg, then a .png: ['picture', 'picture', 'picture', 'picture', 'picture', None]
