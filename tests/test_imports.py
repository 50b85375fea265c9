"""The packages import each other in one direction only, and no module imports a command."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxcap"
ALLOWED = {
    "files": set(),
    "text": {"files"},
    "vision": {"files"},
    "data": {"files", "text"},
    "scenes": {"files", "text", "vision", "data"},
    "preparing": {"files", "text", "vision", "data"},
    "nn": {"data"},
    "decoding": {"text", "data", "nn"},
    "scoring": {"files", "text", "data", "scenes"},
    "learning": {"files", "text", "data", "nn", "decoding", "scoring"},
    "plots": {"files", "text", "scenes", "nn", "scoring"},
    "commands": {
        *("files", "text", "vision", "data", "datasets"),
        *("nn", "decoding", "scoring", "learning", "plots", "trained"),
    },
    "cs231n": {"text", "vision", "data", "scenes", "nn", "decoding", "datasets"},
}
COMMANDS = {"train", "sample", "prepare", "caption", "evaluate", "export"}


def imports(path):
    """Modules below jaxcap that a file imports, as `package` or `package.module` names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            base = node.module or ""
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("jaxcap."):
                yield name.split(".")[1]


@pytest.mark.parametrize("package", ALLOWED)
def test_packages_import_to_the_left(package):
    for path in (ROOT / package).rglob("*.py"):
        found = set(imports(path)) - {package}
        assert found <= ALLOWED[package], f"{path} imports {found - ALLOWED[package]}"


def test_nothing_imports_a_command():
    for path in ROOT.rglob("*.py"):
        assert not COMMANDS & set(imports(path)), path


def test_every_package_is_listed():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(ALLOWED)
