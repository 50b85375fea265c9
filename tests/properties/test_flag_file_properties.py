"""Flag files of random lines are read, or refused in one sentence."""

import contextlib
import importlib
import io
import runpy

from absl import flags
from absl.testing import flagsaver
from command_calls import _flags_of_one_command
from hypothesis import given
from hypothesis import strategies as st

VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["", "true", "lstm", "--", "1e999", "9" * 5000, "a b", "'x'"]),
    st.text(max_size=20),
)


def lines(names, folder):
    return st.one_of(
        st.builds("--{}={}".format, names, VALUES),
        st.builds("--no{}".format, names),
        st.builds("--{} {}".format, names, VALUES),
        st.builds("-{}={}".format, st.text(max_size=8), VALUES),
        st.sampled_from(["# a comment", "// another", "", " ", "--", "--flagfile=", "--flagfile"]),
        st.sampled_from([f"--flagfile={folder / name}" for name in ("file.flags", "none", "..")]),
        st.text(max_size=30),
    )


def test_lines_are_read_or_refused_in_one_sentence(tmp_path):
    path = tmp_path / "file.flags"
    with _flags_of_one_command():
        runpy.run_module("jaxcap.train", run_name="jaxcap.train")
        parse_flags = importlib.import_module("jaxcap.commands.run").parse_flags
        modules = flags.FLAGS.flags_by_module_dict().items()
        names = sorted(f.name for name, own in modules if name.startswith("jaxcap") for f in own)
        drawn = st.lists(lines(st.sampled_from(names), tmp_path), max_size=5)

        @given(drawn, st.booleans(), st.binary(max_size=6))
        def check(lines, foreign, tail):
            path.write_bytes("\n".join(lines).encode() + tail * foreign)
            err = io.StringIO()
            with flagsaver.flagsaver(), contextlib.redirect_stderr(err):
                try:
                    rest = parse_flags(["train", "--checkpoint_dir=x", f"--flagfile={path}"])
                except SystemExit as stopped:
                    said = [line for line in err.getvalue().splitlines() if line[:5] == "FATAL"]
                    assert stopped.code == 1 and len(said) == 1, err.getvalue()
                else:
                    assert rest[0] == "train" and flags.FLAGS.is_parsed()
                    assert min(flags.FLAGS.num_epochs, flags.FLAGS.batch_size) >= 1

        check()
