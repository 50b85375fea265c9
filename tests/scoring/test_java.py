"""METEOR and SPICE: every way in which Java fails is a sentence, soon, and no traceback."""

import json
import os
import shutil
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxcap.scoring import java, java_process
from jaxcap.scoring.java import java_scores, meteor, spice
from jaxcap.scoring.java_process import LeftOut

CANDIDATES = [["a", "cat"], [], ["1\xa01/2", "dogs"], ["a|||b"], ["caf\u00e9\ud800"]]
REFERENCES = [[["a", "cat"], ["one", "cat"]], [["a", "dog"]], [["dogs"]], [["b"]], [["x"], []]]

# A METEOR that answers as the real one does, and writes down what it was asked.
GOOD = """
import sys
log = open("asked.txt", "w", encoding="utf-8")
print(sys.argv[1:], file=log)
for line in sys.stdin.buffer:
    line = line.decode("utf-8").rstrip("\\n")
    print(line, file=log, flush=True)
    if line.startswith("SCORE ||| "):
        print("1.0 2.0", flush=True)
    else:
        for _ in range(line.count("|||")):
            print("0.5")
        print("0.25", flush=True)
"""


@pytest.fixture
def scorers(tmp_path, monkeypatch):
    """A folder like that of pycocoevalcap, with a space in its path."""
    folder = tmp_path / "py coco"
    (folder / "meteor").mkdir(parents=True)
    (folder / "spice" / "lib").mkdir(parents=True)
    (folder / "spice" / "lib" / "stanford-corenlp-3.6.0-models.jar").touch()
    found = SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(java, "find_spec", lambda name: found)
    monkeypatch.setattr(java, "free_memory", lambda: 64 << 30)
    return folder


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """`fake(code)` puts a `java` on the PATH that runs this Python code."""

    def fake(code):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        path = folder / "java"
        version = "if '-version' in sys.argv: sys.exit('openjdk version \"0\"')"
        path.write_text(f"#!{sys.executable} -S\nimport os, sys, time\n{version}\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return fake


def test_the_protocol(scorers, fake):
    fake(GOOD)
    assert meteor(CANDIDATES, REFERENCES) == 0.25
    options, *asked = (scorers / "meteor" / "asked.txt").read_text(encoding="utf-8").splitlines()
    assert "'-Xmx2048m'" in options
    # The default of this option breaks where the path has a space.
    assert "'-a', 'data/paraphrase-en.gz'" in options
    assert asked == [
        "SCORE ||| a cat ||| one cat ||| a cat",
        "SCORE ||| a dog ||| ",
        "SCORE ||| dogs ||| 1 1/2 dogs",
        "SCORE ||| b ||| ab",
        "SCORE ||| x |||  ||| caf\u00e9?",
        "EVAL" + " ||| 1.0 2.0" * 5,
    ]


def test_many_captions_do_not_fill_the_pipes(scorers, fake):
    fake("sys.stderr.write('x' * 1_000_000)\n" + GOOD)
    assert meteor([["word"] * 30] * 3000, [[["word"] * 30] * 5] * 3000) == 0.25


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "sys.exit('Error occurred during initialization of VM\\nCould not reserve space')",
            "ended with code 1 after 0 of 5 answers and said: Error occurred during initialization",
        ),
        (
            "for _ in range(2): sys.stdin.readline(); print('1.0', flush=True)\n"
            "os.kill(os.getpid(), 9)",
            r"ended with code -9 after 2 of 5 answers and said: nothing on stderr \(openjdk ver",
        ),
        ("sys.stdin.close(); os.close(0); sys.exit(3)", "ended with code 3 after 0 of 5 answers"),
        ("time.sleep(60)", "gave no answer for 0.5 seconds and was killed"),
        ("os.close(1); time.sleep(60)", "closed its output after 0 of 5 answers"),
        ("os.fork(); time.sleep(60)", "gave no answer for 0.5 seconds and was killed"),
        ("for line in sys.stdin: print('NaN\\n' * 5 + 'NaN', flush=True)", "'NaN', expected a num"),
        ("for line in sys.stdin: print('0,5\\n' * 5 + '0,5', flush=True)", "'0,5', expected a"),
    ],
)
def test_a_meteor_that_fails_is_a_sentence(scorers, fake, monkeypatch, code, message):
    monkeypatch.setattr(java_process, "_MOMENT", 0.5)
    fake(code)
    begin = time.monotonic()
    with pytest.raises(LeftOut, match=message) as error:
        meteor(CANDIDATES, REFERENCES, patience=0.5)
    assert time.monotonic() - begin < 10
    assert "\n" not in str(error.value)


def write_answer(answer):
    return f"open(sys.argv[sys.argv.index('-out') + 1], 'w').write({answer!r})"


def test_spice(scorers, fake):
    answer = json.dumps([{"image_id": i, "scores": {"All": {"f": 0.25 * i}}} for i in range(5)])
    fake(
        f"import json\nread = json.load(open(sys.argv[sys.argv.index('-jar') + 2]))\n"
        f"assert len(read) == 5 and read[2]['test'] == '1 1/2 dogs'\n{write_answer(answer)}"
    )
    assert spice(CANDIDATES, REFERENCES) == 0.5


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "sys.exit('Exception in thread \"main\" java.lang.VersionError: x\\n at y')",
            r"code 1 and said: Exception in thread .* x \(openjdk version \"0\"\)",
        ),
        ("", "ended with code 0 and said: nothing"),
        (write_answer("[]"), "not the JSON that SPICE"),
        (write_answer("{"), "not the JSON that SPICE"),
        (write_answer('[{"scores": {}}]'), "not the JSON that SPICE"),
        ("time.sleep(60)", "took more than 0.5 seconds and was killed"),
    ],
)
def test_a_spice_that_fails_is_a_sentence(scorers, fake, code, message):
    fake(code)
    with pytest.raises(LeftOut, match=message) as error:
        spice(CANDIDATES, REFERENCES, timeout=0.5 if "sleep" in code else 60.0)
    assert "\n" not in str(error.value)


def test_what_is_missing_is_named(scorers, fake, monkeypatch, tmp_path):
    fake(GOOD)
    (scorers / "spice" / "lib" / "stanford-corenlp-3.6.0-models.jar").unlink()
    scores, (note,) = java_scores(CANDIDATES, REFERENCES)
    assert scores == {"METEOR": 0.25}
    assert note.startswith("SPICE is left out: stanford-corenlp-3.6.0-models.jar is missing from")

    monkeypatch.setattr(java, "free_memory", lambda: 1 << 30)
    scores, notes = java_scores(CANDIDATES, REFERENCES)
    assert scores == {}
    assert notes[0] == "METEOR is left out: it needs 2.0 GiB of memory, but 1.0 GiB are free"

    monkeypatch.setattr(java, "find_spec", lambda name: None)
    assert "METEOR is left out: pycocoevalcap is not installed" in java_scores([], [])[1][0]

    monkeypatch.setenv("PATH", str(tmp_path))
    assert java_scores([], [])[1] == [
        f"{name} is left out: there is no java on the PATH; install Java"
        for name in ("METEOR", "SPICE")
    ]


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("java") is None, reason="METEOR needs Java")
def test_meteor_itself_where_the_path_has_a_space(scorers):
    """The number that the reference's own wrapper gives for these captions."""
    import pycocoevalcap.meteor.meteor as wrapper

    candidates = ["a man rides a wave", "", "two dogs run on grass"]
    references = [["a surfer riding a wave", "a man surfs"], ["a cat"], ["dogs in the grass"]]
    reference = wrapper.Meteor()
    expected, _ = reference.compute_score(
        dict(enumerate(references)), {i: [text] for i, text in enumerate(candidates)}
    )
    reference.meteor_p.stdout.close()
    reference.meteor_p.stderr.close()
    shutil.copytree(Path(wrapper.__file__).parent, scorers / "meteor", dirs_exist_ok=True)
    words = [[text.split() for text in texts] for texts in references]
    found = meteor([text.split() for text in candidates], words)
    assert found == pytest.approx(expected, abs=1e-9)
