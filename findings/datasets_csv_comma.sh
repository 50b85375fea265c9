#!/usr/bin/env bash
# datasets: a comma in the first caption moves every column of a CSV file by one.
#
# Guess before running: a row of three fields under a header of two is refused, wherever it stands.
# Seen: in a later row it is. In the first row it makes the first field an index: the names of the pictures
# leave their column, "image" holds the captions, and "caption" what follows the comma, or None.
# Common expectation: the header says which column is which; a row that does not fit is an error.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q datasets==5.2.0
HF_HUB_OFFLINE=1 WORK="$work" "$work/venv/bin/python" - 2>"$work/stderr" <<'P'
import os
import datasets

datasets.disable_progress_bars()
first, second = "a.jpg,a dog, running\n", "b.jpg,a cat\n"


def read(name, rows):
    path = os.path.join(os.environ["WORK"], name + ".csv")
    with open(path, "w") as file:
        file.writelines(["image,caption\n", *rows])
    cache = os.path.join(os.environ["WORK"], name)
    return datasets.load_dataset("csv", data_files=path, split="train", cache_dir=cache)[:]


seen = read("first", [first, second])
print("in the first row:", seen)
assert seen["image"] == ["a dog", "a cat"] and seen["caption"] == [" running", None], seen
try:
    read("second", [second, first])
except datasets.exceptions.DatasetGenerationError as error:
    print("in the second row:", type(error.__cause__).__name__)
else:
    raise SystemExit("the second row was taken")
P
# Output:
#   in the first row: {'image': ['a dog', 'a cat'], 'caption': [' running', None],
#                      '__index_level_0__': ['a.jpg', 'b.jpg']}
#   in the second row: ParserError
