"""Reads random flag files as `jaxcap.train` does; in a process of its own, for flags are global."""

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import conftest  # noqa: F401  (the profiles)
from absl import flags
from absl.testing import flagsaver
from hypothesis import given
from hypothesis import strategies as st

import jaxcap.train  # noqa: F401  (its flags)
from jaxcap.commands.run import parse_flags

FOLDER = Path(tempfile.mkdtemp())
NAMES = sorted(
    flag.name
    for module, found in flags.FLAGS.flags_by_module_dict().items()
    if module.startswith("jaxcap")
    for flag in found
)
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "true", "lstm", "--", "1e999", "9" * 5000, "a b", "'x'"]),
    st.text(max_size=20),
)
LINES = st.one_of(
    st.builds("--{}={}".format, st.sampled_from(NAMES), VALUES),
    st.builds("--no{}".format, st.sampled_from(NAMES)),
    st.builds("--{} {}".format, st.sampled_from(NAMES), VALUES),
    st.builds("-{}={}".format, st.text(max_size=8), VALUES),
    st.sampled_from(["# a comment", "// another", "", "   ", "--", "--flagfile=", "--flagfile"]),
    st.sampled_from([f"--flagfile={FOLDER / name}" for name in ("file.flags", "none", "..")]),
    st.text(max_size=30),
)


@given(st.lists(LINES, max_size=5), st.booleans(), st.binary(max_size=6))
def test_lines_are_read_or_refused_in_one_sentence(lines, foreign, tail):
    path = FOLDER / "file.flags"
    path.write_bytes("\n".join(lines).encode() + tail * foreign)
    err = io.StringIO()
    with flagsaver.flagsaver(), contextlib.redirect_stderr(err):
        try:
            rest = parse_flags(["train", "--checkpoint_dir=x", f"--flagfile={path}"])
        except SystemExit as stopped:
            said = [line for line in err.getvalue().splitlines() if line.startswith("FATAL")]
            assert stopped.code == 1 and len(said) == 1, err.getvalue()
        else:
            assert rest[0] == "train" and flags.FLAGS.is_parsed()
            assert flags.FLAGS.num_epochs >= 1 and flags.FLAGS.batch_size >= 1


if __name__ == "__main__":
    test_lines_are_read_or_refused_in_one_sentence()
    sys.exit(0)
