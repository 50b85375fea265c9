"""The shape of the library: which package imports which, and nothing in a circle or too large."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "jaxcap"
# Each package imports all of these, which stand above it, and no others.
IMPORTED = {
    "files": set(),
    "text": {"files"},
    "vision": {"files"},
    "data": {"files", "text"},
    "scenes": {"files", "text", "vision", "data"},
    "formats": {"files"},
    "preparing": {"files", "formats", "text", "vision", "data"},
    "nn": {"data"},
    "decoding": {"text", "data", "nn"},
    "scoring": {"files", "formats", "text", "data", "scenes"},
    "learning": {"files", "text", "data", "nn", "decoding", "scoring"},
    "plots": {"files", "text", "scenes", "nn", "scoring"},
    "commands": {"files", "text", "vision", "data", "nn", "decoding", "learning", "datasets"},
    "convert": {"files", "nn"},
    "cs231n": {"text", "vision", "data", "scenes", "nn", "decoding"},
}
COMMANDS = {"train", "sample", "prepare", "caption", "evaluate", "export"}
MOST_LINES, MOST_ARGUMENTS = 320, 6
TREES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): (
        ast.parse(path.read_text(encoding="utf-8"))
    )
    for path in ROOT.rglob("*.py")
}


def imports(module):
    """The modules of jaxcap that a module imports, but for what only a type checker reads."""
    tree = TREES[module]
    for_types = [
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test) == "TYPE_CHECKING"
        for node in ast.walk(test)
    ]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node not in for_types:
            assert node.level == 0, f"{module}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in TREES else str(node.module) for name in names}
    return {name for name in found - {module} if name.startswith("jaxcap.")}


@pytest.mark.parametrize("package", IMPORTED)
def test_a_package_imports_what_stands_above_it(package):
    own = [module for module in TREES if f"{module}.".startswith(f"jaxcap.{package}.")]
    found = {name.split(".")[1] for module in own for name in imports(module)} - {package}
    assert found == IMPORTED[package]
    above = list(IMPORTED)[: list(IMPORTED).index(package)]
    assert found & set(IMPORTED) <= set(above)


def test_every_package_is_listed():
    assert {path.parent.name for path in ROOT.glob("*/__init__.py")} == set(IMPORTED)


def test_nothing_is_imported_in_a_circle_and_no_command_at_all():
    found = {module: imports(module) for module in TREES}
    assert len(list(TopologicalSorter(found).static_order())) >= len(TREES)
    assert not {f"jaxcap.{command}" for command in COMMANDS} & set().union(*found.values())


def test_modules_are_short_and_functions_take_few_arguments():
    for module, tree in TREES.items():
        assert max((node.end_lineno for node in tree.body), default=0) <= MOST_LINES, module
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                given = node.args
                names = {a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)}
                assert len(names - {"self", "cls"}) <= MOST_ARGUMENTS, f"{module}.{node.name}"
