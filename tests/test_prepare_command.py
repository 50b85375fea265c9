"""`python -m jaxcap.prepare` as a user runs it, killed in the middle too."""

import json
import time

import pytest
from command_calls import assert_fails, call, start
from photo_files import draw_all, write_karpathy, write_tsv

from jaxcap.data.coco import load_coco


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty pictures, two of them broken, and their captions with splits."""
    folder = tmp_path_factory.mktemp("photos")
    captions = draw_all(folder / "my images", 40, size=(240, 180))
    (folder / "my images" / "004.png").write_text("404 not found")
    broken = folder / "my images" / "009.png"
    broken.write_bytes(broken.read_bytes()[:5000])
    (folder / "my images" / ".DS_Store").write_bytes(b"\0")
    write_karpathy(
        folder / "dataset.json", captions, lambda i: {0: "val", 1: "test"}.get(i % 10, "train")
    )
    write_tsv(folder / "captions.tsv", captions)
    return folder


def flags(photos, output, *more):
    return [
        f"--images={photos / 'my images'}",
        f"--captions={photos / 'dataset.json'}",
        f"--output={output}",
        "--name=tiny",
        "--batch_size=2",
        "--min_count=2",
        "--pca=4",
        *more,
    ]


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The data set of an undisturbed run, and what it printed."""
    output = tmp_path_factory.mktemp("prepared") / "data"
    code, out, err = call("prepare", *flags(photos, output))
    assert code == 0, err
    return output, out, err


def test_it_says_what_it_does_and_what_it_leaves_out(whole, photos):
    output, out, err = whole
    assert "80 of 40 images" in out and "splits by the caption file" in out
    assert "left out: 4 images of the split test" in out
    assert "passed over: 1 files" in out
    assert "train: 32 images, 64 captions; val: 4 images, 8 captions" in out
    assert "train: 30 images, 60 captions; val: 4 images, 8 captions" in out
    assert "<UNK> in val: 0.0% of 28 words" in out
    assert "encoded 36 images in" in out and "images/s" in out
    assert "PCA: 4 directions keep" in out
    assert f"wrote {output}" in out
    assert "not readable: " in err and "004.png: not an image" in err and "009.png: " in err
    assert "warning: 2 images are not readable and left out with their captions" in err
    assert len(err.splitlines()) == 3
    assert sorted(json.loads((output / "report.json").read_text())["unreadable"]) == [
        "004.png",
        "009.png",
    ]
    data = load_coco(output)
    assert data.encoder["name"] == "efficientnet-lite0"
    assert (data.feature_dim, load_coco(output, pca_features=False).feature_dim) == (4, 1280)


def test_killed_and_run_again_equals_undisturbed(whole, photos, tmp_path):
    output = tmp_path / "data"
    log = tmp_path / ".data.partial" / "features" / "done.jsonl"
    with start("prepare", *flags(photos, output)) as process:
        while not log.exists() or log.read_bytes().count(b"\n") < 4:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.002)
        process.kill()
        process.communicate()
    assert not output.exists()
    code, out, err = call("prepare", *flags(photos, output))
    assert code == 0, err
    assert "resumed: " in out and "of 36 images are encoded already" in out
    files = {path.name: path.read_bytes() for path in whole[0].iterdir()}
    assert {"references_train.json", "references_val.json"} < set(files)
    assert {path.name: path.read_bytes() for path in output.iterdir()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_bad_input_is_one_sentence(whole, photos, tmp_path):
    output = whole[0]
    before = output.stat().st_mtime_ns
    assert_fails(call("prepare", *flags(photos, output)), str(output), "--overwrite")
    assert output.stat().st_mtime_ns == before
    new = tmp_path / "data"
    (tmp_path / "empty").mkdir()
    assert_fails(
        call("prepare", *flags(photos, new, f"--images={tmp_path / 'empty'}")),
        f"no images in {tmp_path / 'empty'}",
    )
    assert_fails(call("prepare", *flags(photos, new, "--strict")), "004.png: not an image")
    assert_fails(
        call("prepare", *flags(photos, new, "--encoder=vgg16")), "vgg16 needs a weights file"
    )
    assert not new.exists()


@pytest.mark.slow
def test_other_splits_words_and_no_pca(photos, tmp_path):
    output = tmp_path / "data"
    code, out, err = call(
        "prepare",
        f"--images={photos / 'my images'}",
        f"--captions={photos / 'captions.tsv'}",
        f"--output={output}",
        "--val_share=0.2",
        "--seed=3",
        "--tokenizer=space",
        "--min_count=1",
        "--max_length=2",
        "--batch_size=2",
    )
    assert code == 0, err
    assert "drawn with seed 3" in out and "80 captions cut to 2 words" in out
    data = load_coco(output)
    assert not data.pca_features
    assert data.name == "data"
    assert sum(counts["images"] for counts in data.counts.values()) == 38
    assert data.caption_length == 4
    assert "picture," in data.vocabulary.word_to_idx
