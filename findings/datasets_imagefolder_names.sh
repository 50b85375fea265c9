#!/usr/bin/env bash
# datasets: a photo with "test" in its name makes the imagefolder reader drop the other photos.
#
# Guess before running: files that lie in one folder are one split, above all where a metadata.csv names
# each of them.
# Seen: `crash_test_dummy.jpg` alone becomes a split "test". The other two photos, and the captions that
# metadata.csv gives them, are in no split. Nothing is said.
# Common expectation: a word in a file name settles at most the split of that file.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0 pillow==13.0.0
HF_HUB_OFFLINE=1 WORK="$work" "$work/venv/bin/python" - <<'P'
import os
import datasets
from PIL import Image

datasets.disable_progress_bars()
seen = {}
for odd in ("crash_dummy.jpg", "crash_test_dummy.jpg"):
    folder = os.path.join(os.environ["WORK"], odd[:-4])
    os.mkdir(folder)
    names = ["a.jpg", "b.jpg", odd]
    for name in names:
        Image.new("RGB", (8, 8)).save(os.path.join(folder, name))
    with open(os.path.join(folder, "metadata.csv"), "w") as file:
        file.writelines(["file_name,caption\n", *(f"{name},a caption\n" for name in names)])
    read = datasets.load_dataset("imagefolder", data_dir=folder, cache_dir=folder + ".cache")
    seen[odd] = {split: len(rows) for split, rows in read.items()}
    print(f"a.jpg b.jpg {odd}: {seen[odd]}")
assert list(seen.values()) == [{"train": 3}, {"test": 1}], seen
P
# Output:
#   a.jpg b.jpg crash_dummy.jpg: {'train': 3}
#   a.jpg b.jpg crash_test_dummy.jpg: {'test': 1}
