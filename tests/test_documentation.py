"""What the documentation shows runs, the flags that it names are there, and its pages build."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from command_calls import ROOT, call, environment

COMMANDS = ("prepare", "train", "sample", "evaluate", "caption", "export")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")

_RUN_ALL = "import runpy, sys; [runpy.run_path(path) for path in sys.argv[1:]]"


def python_blocks(text):
    """Python blocks by the number of their first line."""
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S)
    return {text.count("\n", 0, match.start(1)) + 1: match[1] for match in found}


def documents():
    """Those with Python blocks."""
    paths = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    return [str(path.relative_to(ROOT)) for path in paths if python_blocks(path.read_text("utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("document", documents())
def test_python_blocks_run(document, tmp_path):
    """Each in a namespace of its own, in one folder.

    A block that begins with a file's name is also put there under that name, for those after it.
    """
    paths = []
    for line, block in python_blocks((ROOT / document).read_text(encoding="utf-8")).items():
        # As many empty lines before it as in the document, for tracebacks to name its own.
        paths.append(tmp_path / f"{document.replace('/', '_')}_{line}.py")
        paths[-1].write_text("\n" * (line - 1) + block, encoding="utf-8")
        if name := re.match(r"# (\w+\.py)\n", block):
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUN_ALL, *map(str, paths)],
        cwd=tmp_path,
        env={**environment(), "PYTHONPATH": os.pathsep.join([".", str(ROOT)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_blocks_are_found():
    assert documents() == ["README.md", "docs/guide.md"]
    assert GUIDE.count("```python") == len(python_blocks(GUIDE)) >= 6


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


@pytest.mark.slow
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
