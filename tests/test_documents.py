"""What the documentation shows runs, what it names is there, and its pages build."""

import ast
import doctest
import importlib.util
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field

import jax
import pytest
from command_calls import ROOT, call, environment
from photo_files import draw, draw_all
from tiny_data import cache_of_few_scenes, tiny_splits

from jaxcap.data.coco import write_coco

COMMANDS = ("prepare", "train", "sample", "evaluate", "caption", "export")
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
GUIDE = TEXTS["docs/guide.md"]
DOCTESTS = [
    path.relative_to(ROOT)
    for path in sorted((ROOT / "jaxcap").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]

# What is replaced before a block runs: folders that a reader fills in, and flags that make training
# shorter, since the last value of a flag wins. Each of these texts is in the document.
TINY = "--num_epochs 1 --hidden_dim 16 --wordvec_dim 16"
REPLACED = {
    "README.md": {
        "launch/small.flags": f"launch/small.flags {TINY}",
        "launch/scenes.flags": f"launch/scenes.flags --max_train 256 {TINY}",
        "launch/mid.flags --data_dir DIR": f"launch/mid.flags --data_dir course {TINY}",
        "--images DIR": "--images photos",
        "jaxcap.load_data()": 'jaxcap.load_data("course")',
        "--batch_size 128": "--batch_size 16",
        "--best_by cider": f"--best_by cider {TINY}",
        "jaxcap.evaluate": "jaxcap.evaluate --nojava",
        'evaluate("val")': 'evaluate("val", java=False)',
    },
    "docs/guide.md": {
        "launch/small.flags": f"launch/small.flags {TINY}",
        "jaxcap.load_data()": 'jaxcap.load_data("course")',
    },
    "docs/scale.md": {"--data_dir=DIR": f"--data_dir=course --max_train=16 {TINY}"},
}
# Commands that are not run here, by how they begin.
NOT_RUN = {
    "pip install": ".ci/run runs README's in a new environment",
    "python -m pytest": "these tests; .ci/run runs README's",
    "python benchmarks/": "they measure for minutes, and need the extra bench",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its document, the number of its first line there, its language and text."""

    document: str
    line: int
    language: str
    text: str = field(repr=False)

    def as_run(self):
        text = self.text
        for old, new in REPLACED.get(self.document, {}).items():
            text = text.replace(old, new)
        return text

    def commands(self):
        """The words of each command of a shell block, but for those that are not run."""
        for line in self.as_run().replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words and not line.startswith(tuple(NOT_RUN)):
                assert words[:2] == ["python", "-m"], f"{self}: a new command for NOT_RUN? {line}"
                yield words[2:]


def blocks(document, *languages):
    text = TEXTS[document]
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        if match[1] in languages:
            yield Block(document, text.count("\n", 0, match.start(2)) + 1, match[1], match[2])


def with_blocks(*languages):
    return [document for document in TEXTS if any(blocks(document, *languages))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder of a reader, who has data, photos, and captions in it."""
    monkeypatch.setenv("JAXCAP_CACHE", cache_of_few_scenes())
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    write_coco(tmp_path / "course", *tiny_splits(), name="tiny")
    texts = draw_all(tmp_path / "photos", 40)
    lines = [f"{name}#{i}\t{text}\n" for name in texts for i, text in enumerate(texts[name])]
    (tmp_path / "captions.txt").write_text("".join(lines), encoding="utf-8")
    for name in ("photo.jpg", "holiday/beach.jpg", "holiday/ship.png", "scans/1.png"):
        draw(tmp_path / name, "blue", (60, 40))
    captions = ["a red boat on a lake", "a dog that runs"]
    entries = [{"image_id": i, "caption": caption} for i, caption in enumerate(captions)]
    (tmp_path / "captions.json").write_text(json.dumps(entries))
    (tmp_path / "captions_val2014.json").write_text(json.dumps({"annotations": entries * 2}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("document", with_blocks("python", "bash"))
def test_blocks_run(document, folder):
    """One after the other in one folder, Python blocks each in a namespace of its own.

    A block that begins with a file's name is also put there under that name, for those after it.
    """
    for block in blocks(document, "python", "bash"):
        if block.language == "python":
            run_python(block, folder)
        elif " &\n" in block.text:
            for _, *arguments in block.commands():
                assert call("train", *arguments[:-1], "--only_check_args") == (0, "", ""), block
        else:
            for module, *arguments in block.commands():
                code, out, err = call(module.removeprefix("jaxcap."), *arguments, folder=folder)
                assert code == 0, f"{block}: {module}\n{out[-2000:]}\n{err[-4000:]}"


def run_python(block, folder):
    if name := re.match(r"# (\w+\.py)\n", block.text):
        (folder / name[1]).write_text(block.as_run(), encoding="utf-8")
    # As many empty lines before it as in the document, for tracebacks to name its own.
    path = folder / f"{block.document.replace('/', '_')}.py"
    path.write_text("\n" * (block.line - 1) + block.as_run(), encoding="utf-8")
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        runpy.run_path(str(path))


@pytest.mark.nightly
def test_a_block_of_several_processes_runs(folder):
    (block,) = (b for b in blocks("docs/scale.md", "bash") if " &\n" in b.text)
    done = subprocess.run(
        [
            shutil.which("bash"),
            "-euo",
            "pipefail",
            "-c",
            block.as_run().replace("python", sys.executable),
        ],
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def test_what_is_replaced_is_there():
    """And no shell block has another name, under which it would not be found."""
    for document, texts in REPLACED.items():
        for text in texts:
            assert text in TEXTS[document]
    for text in TEXTS.values():
        assert set(re.findall(r"^```(\w+)$", text, re.M)) <= {"python", "bash"}


@pytest.mark.parametrize("path", DOCTESTS, ids=str)
def test_examples_of_docstrings(path):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            text, name = ast.get_docstring(node) or "", getattr(node, "name", path.stem)
            example = doctest.DocTestParser().get_doctest(text, vars(module), name, str(path), 0)
            with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
                runner.run(example)
    assert runner.summarize().failed == 0


def section(name):
    """The guide's text under a heading of the third order."""
    (text,) = re.findall(rf"^### {name}\n(.*?)(?=^##)", GUIDE, re.M | re.S)
    return text


def named_flags(text):
    return set(re.findall(r"`--(\w+)`", text))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_guide_names_the_flags_of_each_command(command):
    _, out, err = call(command, "--helpshort")
    there = set(re.findall(r"^  --(?:\[no\])?(\w+):", out, re.M))
    assert len(there) > 3, out + err
    text = section(command)
    named = named_flags(text) | {"seed", "traceback"}
    if "(#decoding)" in text:
        named |= named_flags(section("Decoding"))
    assert there - named == set()
    assert named - there <= {"seed", "traceback"}


def test_every_command_is_in_the_guide():
    modules = (ROOT / "jaxcap").glob("*.py")
    found = {path.stem for path in modules if "command.run(main" in path.read_text("utf-8")}
    assert found == set(COMMANDS)


@pytest.mark.parametrize("document", TEXTS)
def test_tests_that_are_named_are_there(document):
    for path, name in re.findall(r"(tests/[\w/]+\.py)(?:::(test_\w+))?", TEXTS[document]):
        defined = ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        names = {node.name for node in defined if isinstance(node, ast.FunctionDef)}
        assert not name or name in names, f"{path}::{name}"


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("sphinx", "myst_parser"))),
    reason="needs pip install 'jaxcap[docs]'",
)
def test_the_pages_build_without_a_warning(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "-E", "-d", str(tmp_path / "doctrees")]
        + [str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "guide.html").read_text(encoding="utf-8")
    assert 'href="#decoding"' in page and 'id="decoding"' in page
