"""The shell blocks of the documentation run as they stand, but for what RUN replaces."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from command_calls import ROOT, call, environment
from photo_files import draw, draw_all
from tiny_data import tiny_splits

from jaxcap.data.coco import write_coco

# Blocks that are run, by document and first line. In each, these texts are replaced: what the
# reader puts in (DIR), and flags that make training shorter, since the last value of a flag wins.
RUN = {
    "README.md": {
        "python -m jaxcap.train --flagfile launch/small.flags": {
            "small.flags": "small.flags --num_epochs 2",
        },
        "python -m jaxcap.train --flagfile launch/scenes.flags": {
            "scenes.flags": "scenes.flags --max_train 256 --num_epochs 1",
        },
        "python -m jaxcap.train --flagfile launch/mid.flags --data_dir DIR": {
            "--data_dir DIR": "--data_dir course --num_epochs 1",
        },
        "python -m jaxcap.caption photo.jpg holiday/ 'scans/*.png' --grid captions.png": {},
        "python -m jaxcap.prepare --images DIR --captions captions.txt --output data": {
            "--images DIR": "--images photos",
        },
        "python -m jaxcap.evaluate --checkpoint checkpoints/mine --split val --beam 3 "
        "--sheet sheet.html": {},
    },
    "docs/guide.md": {
        "python -m jaxcap.train --flagfile launch/small.flags --sweep "
        "learning_rate=1e-3,3e-3,1e-2 --seeds 4": {
            "small.flags": "small.flags --num_epochs 1 --hidden_dim 32",
        },
    },
    "docs/scale.md": {
        "python -m jaxcap.train --flagfile launch/coco.flags --data_dir=DIR --batch_size=1024": {
            "--data_dir=DIR --batch_size=1024": "--data_dir=course --batch_size=4 --num_epochs=1",
        },
        "python -m jaxcap.train --flagfile launch/coco.flags --data_dir=DIR --overwrite \\": {
            "--process_id=0": "--process_id=0 --data_dir=course --batch_size=4 --num_epochs=1",
            "--process_id=1": "--process_id=1 --data_dir=course --batch_size=4 --num_epochs=1",
        },
    },
}

# Blocks that are not run, by document and first line, and why.
LEFT_OUT = {
    "README.md": {
        "python -m pytest": "it starts these tests; .ci/run runs it as it stands",
    },
    "docs/speed.md": {
        f"python benchmarks/{command}": "it measures for minutes, and needs the extra bench"
        for command in (
            "train_step.py --without NumPy",
            "epoch.py",
            "cost_curves.py",
            "memory.py",
            "sweep.py",
        )
    },
}

# Lines that begin so are not run here: .ci/run runs those of README in a new environment.
INSTALL = "pip install "

_SHELLS = "bash|sh|shell|console"


@dataclass(frozen=True)
class Block:
    """A shell block: its document, the number of its first line there, and what is in it."""

    document: str
    line: int
    text: str = field(repr=False)

    @property
    def first(self):
        """The line that RUN and LEFT_OUT call it by."""
        return self.text.partition("\n")[0]

    def calls(self):
        """The command and the words after it of each `python -m jaxcap.COMMAND ...`."""
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for at, word in enumerate(words):
                if word.startswith("jaxcap.") and words[at - 1] == "-m":
                    yield word.removeprefix("jaxcap."), words[at + 1 :]

    def as_run(self):
        text = self.text
        for old, new in RUN[self.document][self.first].items():
            assert text.count(old) == 1, f"{self}: {old!r} of RUN must stand there once"
            text = text.replace(old, new)
        return text


def documents():
    paths = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def shell_blocks(document, text):
    """Those that do more than install, in their order."""
    found = []
    for match in re.finditer(rf"^```(?:{_SHELLS})\n(.*?)^```$", text, re.M | re.S):
        kept = [line for line in match[1].splitlines() if not line.startswith(INSTALL)]
        if any(kept):
            line = text.count("\n", 0, match.start(1)) + 1
            found.append(Block(document, line, "\n".join(kept) + "\n"))
    return found


BLOCKS = [block for document, text in documents().items() for block in shell_blocks(document, text)]


def test_every_block_is_run_or_left_out_for_a_reason():
    listed = {
        (document, first)
        for table in (RUN, LEFT_OUT)
        for document, blocks in table.items()
        for first in blocks
    }
    found = {(block.document, block.first): block for block in BLOCKS}
    assert len(found) == len(BLOCKS), "two shell blocks of one document begin alike"
    unlisted = [f"{block}: {block.first}" for at, block in found.items() if at not in listed]
    assert not unlisted, f"new shell blocks, to be put into RUN or LEFT_OUT: {unlisted}"
    gone = sorted(listed - set(found))
    assert not gone, f"RUN or LEFT_OUT lists shell blocks that no document has: {gone}"
    for block in BLOCKS:
        in_run = block.first in RUN.get(block.document, {})
        left_out = LEFT_OUT.get(block.document, {}).get(block.first)
        assert in_run != bool(left_out), f"{block}: either in RUN, or in LEFT_OUT with a reason"
        if in_run:
            block.as_run()


def test_no_other_block_holds_commands():
    """What is marked as no shell block, or not at all, would be run by no test."""
    for document, text in documents().items():
        for language, body in re.findall(r"^```(\S*)\n(.*?)^```$", text, re.M | re.S):
            if not re.fullmatch(_SHELLS, language):
                started = re.search(r"^(?:\$ )?(?:python|pip|srun|jaxcap) .*", body, re.M)
                assert not started, f"{document}: {started[0]!r} is not in a ```bash block"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.document}:{block.line}")
def test_flags_are_there(block):
    """And their values are ones that they take."""
    for command, arguments in block.calls():
        code, _, err = call(command, *arguments, "--only_check_args")
        assert code == 0, f"{block}: {err}"


def write_stand_ins(folder):
    """What a reader has in the folder where the blocks are run."""
    (folder / "launch").symlink_to(ROOT / "launch")
    write_coco(folder / "course", *tiny_splits(), name="tiny")

    texts = draw_all(folder / "photos", 80)
    lines = [f"{name}#{i}\t{text}\n" for name in texts for i, text in enumerate(texts[name])]
    (folder / "captions.txt").write_text("".join(lines), encoding="utf-8")
    for name in ("photo.jpg", "holiday/beach.jpg", "holiday/ship.png", "scans/1.png"):
        draw(folder / name, "blue", (60, 40))

    captions = ["a red boat on a lake", "a dog that runs"]
    entries = [{"image_id": i, "caption": caption} for i, caption in enumerate(captions)]
    (folder / "captions.json").write_text(json.dumps(entries))
    (folder / "captions_val2014.json").write_text(json.dumps({"annotations": entries * 2}))


@pytest.mark.slow
@pytest.mark.parametrize("document", RUN)
def test_the_blocks_run(document, tmp_path):
    """One after the other in one folder, since later ones read what earlier ones wrote."""
    write_stand_ins(tmp_path)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for block in BLOCKS:
        if block.document == document and block.first in RUN[document]:
            done = subprocess.run(
                [shutil.which("bash"), "-euo", "pipefail", "-c", block.as_run()],
                cwd=tmp_path,
                env={**environment(), "PATH": programs, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert done.returncode == 0, f"{block}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
