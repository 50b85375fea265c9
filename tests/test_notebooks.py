"""The notebooks: what is committed is what an execution left, and they execute again."""

import dataclasses
import json
import re

import pytest
from command_calls import ROOT, environment
from tiny_data import tiny_splits

from jaxcap.data.coco_writing import write_coco

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
# Printed digits that do not depend on the machine.
DIGITS = ("5.70541e-09", "5.81431e-09", "8.61054e-08", "loss 9.82445935443, ")


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


def execute(name, folder, monkeypatch):
    """Run a notebook from top to bottom in `folder`; an error in a cell is raised here."""
    nbclient = pytest.importorskip("nbclient", reason="needs pip install 'jaxcap[notebooks]'")
    nbformat = pytest.importorskip("nbformat", reason="needs pip install 'jaxcap[notebooks]'")
    monkeypatch.setenv("JAXCAP_CACHE", environment()["JAXCAP_CACHE"])
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    notebook = nbformat.read(FOLDER / name, as_version=4)
    for cell in code_cells(notebook):
        cell["outputs"], cell["execution_count"] = [], None
    place = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        notebook, timeout=1800, kernel_name="python3", resources=place
    ).execute()
    return notebook


def test_there_are_two():
    assert NOTEBOOKS == ["lstm_captioning.ipynb", "your_own_photos.ipynb"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_committed_outputs_are_of_one_execution(name):
    notebook = committed(name)
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    for output in outputs(notebook):
        assert output["output_type"] != "error"
        assert output.get("name") != "stderr", output["text"]
    assert len(pictures(notebook)) >= 2
    assert not re.search(r"/(home|root|tmp|Users|work)/", printed(notebook))
    assert (FOLDER / name).stat().st_size < 1e6


def test_committed_outputs_have_the_known_digits():
    text = printed(committed("lstm_captioning.ipynb"))
    assert all(digits in text for digits in DIGITS)


def final_losses(text):
    found = re.search(r"^mean of the last 50: LSTM ([\d.]+), RNN ([\d.]+)$", text, re.M)
    assert found, text
    return float(found[1]), float(found[2])


@pytest.mark.slow
def test_lstm_captioning(tmp_path, monkeypatch):
    monkeypatch.delenv("JAXCAP_DATA", raising=False)
    before = committed("lstm_captioning.ipynb")
    after = execute("lstm_captioning.ipynb", tmp_path, monkeypatch)
    text = printed(after)
    assert all(digits in text for digits in DIGITS)
    lstm, rnn = final_losses(text)
    # As launch/mid.flags and mid_rnn.flags say.
    assert lstm < 0.6 < 4 < rnn < 16
    assert len(pictures(after)) == len(pictures(before))


@pytest.mark.slow
def test_lstm_captioning_on_files(tmp_path, monkeypatch):
    """`JAXCAP_DATA` names a folder in the course's layout; without URLs, nothing is fetched."""
    vocabulary, splits = tiny_splits()
    splits = {name: dataclasses.replace(split, urls=()) for name, split in splits.items()}
    write_coco(tmp_path / "tiny", vocabulary, splits, name="tiny")
    monkeypatch.setenv("JAXCAP_DATA", str(tmp_path / "tiny"))
    after = execute("lstm_captioning.ipynb", tmp_path, monkeypatch)
    text = printed(after)
    assert text.startswith("tiny: ")
    assert all(digits in text for digits in DIGITS)
    assert "CIDEr-D" in text and "wholly true" not in text


@pytest.mark.slow
def test_your_own_photos(tmp_path, monkeypatch):
    before = committed("your_own_photos.ipynb")
    after = execute("your_own_photos.ipynb", tmp_path, monkeypatch)
    scores = [re.search(r"^CIDEr\S* +([\d.]+)", printed(n), re.M) for n in (before, after)]
    assert all(scores)
    # Far above the 0.1 or so of captions that have nothing to do with the picture.
    assert all(float(score[1]) > 1 for score in scores if score)
    assert len(pictures(after)) == len(pictures(before))
    assert list(tmp_path.iterdir()) == []
