"""The notebooks: what is committed is what an execution left, and they execute again."""

import dataclasses
import json
import re

import pytest
from command_calls import ROOT, environment
from tiny_data import cache_of_few_scenes, tiny_splits

from jaxcap.data.coco_writing import write_coco

FOLDER = ROOT / "notebooks"
LSTM, PHOTOS = "lstm_captioning.ipynb", "your_own_photos.ipynb"
# Printed digits that do not depend on the machine.
DIGITS = ("5.70541e-09", "5.81431e-09", "8.61054e-08", "loss 9.82445935443, ")
# What is replaced before an execution by default, so that it takes seconds.
SHORTER = {
    LSTM: {
        "TrainingConfig(val_captions=250)": "TrainingConfig(val_captions=250, num_epochs=1)",
        'pairs_of_things("train", 400)': 'pairs_of_things("train", 50)',
        'pairs_of_things("val", 60)': 'pairs_of_things("val", 4)',
        "num_epochs=48": "num_epochs=1",
    },
    PHOTOS: {"range(400)": "range(24)", '"--num_epochs=12"': '"--num_epochs=1"'},
}


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def outputs(notebook):
    return [output for cell in code_cells(notebook) for output in cell["outputs"]]


def printed(notebook):
    """All that went to stdout."""
    streams = [out for out in outputs(notebook) if out["output_type"] == "stream"]
    return "".join("".join(out["text"]) for out in streams if out["name"] == "stdout")


def pictures(notebook):
    return [out for out in outputs(notebook) if "image/png" in out.get("data", {})]


def committed(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """A function that runs a notebook from top to bottom; an error in a cell is raised."""
    nbclient = pytest.importorskip("nbclient", reason="needs pip install 'jaxcap[notebooks]'")
    nbformat = pytest.importorskip("nbformat", reason="needs pip install 'jaxcap[notebooks]'")
    monkeypatch.delenv("JAXCAP_DATA", raising=False)
    monkeypatch.setenv("JAXCAP_CACHE", environment()["JAXCAP_CACHE"])
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    def run(name, *, whole):
        if not whole:
            monkeypatch.setenv("JAXCAP_CACHE", cache_of_few_scenes())
        text = (FOLDER / name).read_text(encoding="utf-8")
        for old, new in {} if whole else SHORTER[name].items():
            old, new = (json.dumps(words)[1:-1] for words in (old, new))
            assert text.count(old) == 1, f"{name}: {old} of SHORTER must stand there once"
            text = text.replace(old, new)
        notebook = nbformat.reads(text, as_version=4)
        for cell in code_cells(notebook):
            cell["outputs"], cell["execution_count"] = [], None
        (tmp_path / "work").mkdir()
        place = {"metadata": {"path": str(tmp_path / "work")}}
        nbclient.NotebookClient(
            notebook, timeout=1800, kernel_name="python3", resources=place
        ).execute()
        assert list((tmp_path / "work").iterdir()) == []
        assert len(pictures(notebook)) == len(pictures(committed(name)))
        return printed(notebook)

    return run


@pytest.mark.parametrize("name", [LSTM, PHOTOS])
def test_committed_outputs_are_of_one_execution(name):
    assert (FOLDER / name).stat().st_size < 1e6
    notebook = committed(name)
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for output in outputs(notebook):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
    assert len(pictures(notebook)) >= 2
    assert not re.search(r"/(home|root|tmp|Users|work)/", printed(notebook))


def test_committed_outputs_have_the_known_digits():
    text = printed(committed(LSTM))
    assert all(digits in text for digits in DIGITS)


# By default README's blocks go the same way, from photos to their captions.
@pytest.mark.nightly
@pytest.mark.parametrize("whole", [False, True])
def test_your_own_photos(execute, whole):
    score = re.search(r"^CIDEr\S* +([\d.]+)", execute(PHOTOS, whole=whole), re.M)
    assert score
    # Far above the 0.1 or so of captions that have nothing to do with the picture.
    assert float(score[1]) > 1 or not whole


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_lstm_captioning(execute, whole):
    text = execute(LSTM, whole=whole)
    assert all(digits in text for digits in DIGITS)
    lstm, rnn = re.search(
        r"^mean of the last 50: LSTM ([\d.]+), RNN ([\d.]+)$", text, re.M
    ).groups()
    looks = re.search(r"^looks at it +([\d.]+)%.*; ([\d.]+)% with the peaks", text, re.M)
    assert looks
    if whole:  # As launch/mid.flags and mid_rnn.flags say.
        assert float(lstm) < 0.6 < 4 < float(rnn) < 16
        assert float(looks[1]) > 80 > 60 > float(looks[2])


@pytest.mark.nightly
def test_lstm_captioning_on_files(execute, tmp_path, monkeypatch):
    """`JAXCAP_DATA` names a folder in the course's layout; without URLs, nothing is fetched."""
    vocabulary, splits = tiny_splits()
    splits = {name: dataclasses.replace(split, urls=()) for name, split in splits.items()}
    write_coco(tmp_path / "tiny", vocabulary, splits, name="tiny")
    monkeypatch.setenv("JAXCAP_DATA", str(tmp_path / "tiny"))
    text = execute(LSTM, whole=False)
    assert text.startswith("tiny: ")
    assert all(digits in text for digits in DIGITS)
    assert "CIDEr-D" in text and "wholly true" not in text
