"""Each kind of fault in `docs/reports.md` has a test that is there."""

import ast
import re

import pytest
from command_calls import ROOT

TEXT = (ROOT / "docs" / "reports.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \| (.+) \|$", TEXT, re.M)


def default_tests(path):
    """The names of a file's tests that run by default."""
    return {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and not any("slow" in ast.unparse(mark) for mark in node.decorator_list)
    }


def test_rows_are_numbered_from_1_to_36():
    assert [int(number) for number, *_ in ROWS] == list(range(1, 37))


@pytest.mark.parametrize(("number", "shown"), [(row[0], row[3]) for row in ROWS])
def test_the_test_of_a_row_is_there(number, shown):
    path, name = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown).groups()
    assert name in default_tests(ROOT / path), f"row {number}: {shown}"


def test_no_test_stands_for_two_rows():
    shown = [row[3] for row in ROWS]
    assert len(set(shown)) == len(shown)
