"""Evaluation as a whole, and the command that prints it."""

import base64
import io
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxcap.scenes import captions, picture, scene_of_url
from jaxcap.scoring.evaluation import evaluate, evaluate_results
from jaxcap.scoring.scores import score
from jaxcap.scoring.sheet import best_and_worst, make_sheet
from jaxcap.scoring.truth import captions_truth

ROOT = Path(__file__).parents[2]
CAPTIONS = {1: "a cat on a mat", 2: "two <b>dogs</b> run", 3: "a car", 4: ""}
REFERENCES = {
    1: ["A cat sits on a mat.", "The cat"],
    2: ["Two dogs running"],
    3: ["A red car & a bus", "There's a car."],
    4: ["Nothing"],
}


@pytest.fixture
def files(tmp_path):
    """Paths of CAPTIONS and REFERENCES as files in COCO's forms."""
    results, references = tmp_path / "results.json", tmp_path / "references.json"
    entries = [{"image_id": i, "caption": text} for i, text in CAPTIONS.items()]
    results.write_text(json.dumps(entries))
    annotations = [
        {"image_id": i, "caption": text} for i, texts in REFERENCES.items() for text in texts
    ]
    images = [{"id": 1, "coco_url": "https://example.org/1.jpg?a&b"}, {"id": 2, "url": "file:x"}]
    references.write_text(json.dumps({"annotations": annotations, "images": images}))
    return results, references


@pytest.fixture
def call(tmp_path):
    """`call(*flags)` runs the command without Java: exit code, stdout, stderr."""

    def call(*flags):
        environment = {**os.environ, "JAXCAP_CACHE": str(tmp_path / "cache"), "PATH": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-m", "jaxcap.evaluate", *map(str, flags)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return run.returncode, run.stdout, run.stderr

    return call


def test_evaluation_of_files_is_that_of_their_captions(files):
    with pytest.warns(UserWarning, match="1 captions are empty"):
        found = evaluate_results(*files, java=False)
    assert found.scores == score(CAPTIONS, REFERENCES)
    assert found.notes == []
    assert found.urls == {1: "https://example.org/1.jpg?a&b", 2: "file:x"}
    assert list(found.named_scores()) == [
        "BLEU-1",
        "BLEU-2",
        "BLEU-3",
        "BLEU-4",
        "ROUGE-L",
        "CIDEr",
    ]
    assert json.loads(json.dumps(found.as_json()))["images"][1]["image_id"] == 2


@pytest.mark.filterwarnings("ignore:.*captions are empty")
def test_another_evaluation_reads_its_files_anew(files):
    """Nothing is kept from one to the next, though the files have the same names."""
    first = evaluate_results(*files, java=False)
    assert evaluate_results(*files, java=False).as_json() == first.as_json()
    entries = [{"image_id": i, "caption": texts[0]} for i, texts in REFERENCES.items()]
    files[0].write_text(json.dumps(entries))
    second = evaluate_results(*files, java=False)
    assert second.scores != first.scores
    assert second.scores == score({i: texts[0] for i, texts in REFERENCES.items()}, REFERENCES)
    files[1].write_text(json.dumps({"annotations": []}))
    with pytest.raises(ValueError, match="annotations is empty"):
        evaluate_results(*files, java=False)


def test_java_scores_stand_among_the_others(monkeypatch):
    notes = ["SPICE is left out: there is no Java"]
    monkeypatch.setattr(
        "jaxcap.scoring.evaluation.java_scores", lambda *_: ({"METEOR": 0.125}, notes)
    )
    found = evaluate(CAPTIONS, REFERENCES)
    assert list(found.named_scores())[4:6] == ["METEOR", "ROUGE-L"]
    assert "METEOR    0.1250\nROUGE-L   " in found.table()
    assert found.table().splitlines()[-1] == notes[0]


def test_novel_captions_are_told_by_their_words():
    training = ["A cat on a mat!", "A car."]
    found = evaluate(CAPTIONS, REFERENCES, java=False, training=training)
    assert found.diversity.novel == 0.5
    assert "novel     50.0% of the captions" in found.table()


def test_one_caption_for_all_and_a_single_image_are_warned_of():
    same = {image: "a man" for image in REFERENCES}
    with pytest.warns(UserWarning, match="all 4 pictures have the same caption"):
        evaluate(same, REFERENCES, java=False)
    with pytest.warns(UserWarning, match="single image"):
        assert evaluate({1: "the cat"}, {1: ["the cat"]}, java=False).scores.cider == 0


def test_the_sheet_shows_each_caption_once_and_escapes_it():
    found = evaluate(
        CAPTIONS, REFERENCES, java=False, urls={1: "https://e.org/1.jpg?a&b", 2: "javascript:x"}
    )
    page = make_sheet(found, num=50)
    assert page.count("<article>") == 4
    assert "two &lt;b&gt;dogs&lt;/b&gt; run" in page
    assert "A red car &amp; a bus" in page
    assert "<b>(empty)</b>" in page
    assert "src='https://e.org/1.jpg?a&amp;b'" in page
    assert "src='javascript" not in page
    assert make_sheet(found, num=1).count("<article>") == 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        single = evaluate({1: "a"}, {1: ["a"]}, java=False)
    assert make_sheet(single).count("<article>") == 1


def test_the_sheet_shows_scenes_and_files(tmp_path):
    path = tmp_path / "a 'b' & c.png"
    Image.new("RGBA", (700, 350), "red").save(path)
    urls = {1: "scenes://val/3", 2: path.as_uri(), 3: str(path), 4: "scenes://val/<9999>"}
    found = evaluate(CAPTIONS, REFERENCES, java=False, urls=urls)
    page = make_sheet(found)
    sources = re.findall(r"alt='image (\d)' src='data:image/jpeg;base64,([^']+)'", page)
    shown = {int(name): Image.open(io.BytesIO(base64.b64decode(data))) for name, data in sources}
    assert sorted(shown) == [1, 2, 3]
    assert shown[2].size == shown[3].size == (320, 160)
    assert shown[3].getpixel((9, 9))[0] > 250
    drawn = np.asarray(shown[1], int) - np.asarray(picture("scenes://val/3"), int)
    assert abs(drawn).mean() < 10
    assert "<i>no scene has the URL &#x27;scenes://val/&lt;9999&gt;&#x27;" in page


def test_best_and_worst_are_in_order_and_apart():
    found = evaluate(CAPTIONS, REFERENCES, java=False)
    best, worst = best_and_worst(found, 50)
    cider = found.images.cider
    assert sorted([*best, *worst]) == [0, 1, 2, 3]
    assert cider[best[0]] == cider.max() and cider[worst[0]] == cider.min()
    assert [len(places) for places in best_and_worst(found, 1)] == [1, 1]


def test_truth_stands_in_the_table_and_in_json():
    sentence = captions(scene_of_url("scenes://val/1"))[0]
    truth = captions_truth(["scenes://val/1", "scenes://val/2"], [sentence, "a zebra"])
    found = evaluate(CAPTIONS, REFERENCES, java=False, truth=truth)
    assert "wholly true   50.0%  1 of 2 captions\nno sentence   50.0%  1" in found.table()
    told = found.as_json()["truth"]
    assert (told["share_true"], told["true"], told["unreadable"]) == (0.5, 1, 1)
    assert set(told["shares"].values()) == {1.0}
    assert told["claims"] == told["holding"] == truth.claims
    assert evaluate(CAPTIONS, REFERENCES, java=False).as_json()["truth"] is None


def test_the_command_prints_a_table_and_writes_its_files(files, call, tmp_path):
    out_json, out_html = tmp_path / "out.json", tmp_path / "out.html"
    code, out, err = call(
        f"--results={files[0]}",
        f"--references={files[1]}",
        f"--json={out_json}",
        f"--sheet={out_html}",
    )
    assert code == 0, err
    expected = score(CAPTIONS, REFERENCES)
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert float(rows["BLEU-4"]) == pytest.approx(expected.bleu_4, abs=1e-4)
    assert float(rows["CIDEr"]) == pytest.approx(expected.cider, abs=1e-4)
    assert "METEOR is left out: there is no Java" in out
    assert "SPICE is left out: there is no Java" in out
    assert json.loads(out_json.read_text())["scores"]["CIDEr"] == expected.cider
    assert "https://example.org/1.jpg" in out_html.read_text()
    assert err == f"warning: {files[0]}: 1 captions are empty; they count as wrong\n"


def test_the_command_turns_bad_input_into_one_sentence(files, call):
    code, _, err = call(f"--results={files[1]}", f"--references={files[0]}", "--nojava")
    assert code == 1
    assert "were --results and --references exchanged" in err
    assert "Traceback" not in err
    code, _, err = call("--results=/nowhere.json", f"--references={files[1]}")
    assert (code, err) == (1, "error: /nowhere.json: no such file\n")
