"""The names to type at Python are lazy and few, and none is a command."""

import subprocess
import sys

import pytest

import jaxcap

COMMANDS = {"train", "sample", "evaluate", "caption", "prepare", "export"}


def test_every_name_is_there_and_none_is_a_command():
    for name in jaxcap.__all__:
        assert getattr(jaxcap, name) is not None
    assert set(jaxcap.__all__) <= set(dir(jaxcap))
    assert not COMMANDS & set(jaxcap.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lstn'"):
        jaxcap.lstn  # noqa: B018


def test_importing_loads_nothing_heavy():
    """The names are imported when they are used, so that `import jaxcap` takes no time."""
    code = "import sys, jaxcap; print([m for m in ('jax', 'numpy', 'flax') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
