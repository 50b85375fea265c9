"""`python -m jaxcap.prepare` as a user runs it; killed it is in `tests/faults`."""

import json

import pytest
from command_calls import assert_fails, call
from photo_files import draw_all, write_karpathy, write_tsv

from jaxcap.data.coco import load_coco


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twenty pictures, two of them broken, and their captions with and without splits."""
    folder = tmp_path_factory.mktemp("photos")
    images = folder / "my images"
    captions = draw_all(images, 20, size=(240, 180))
    (images / "004.png").write_text("404 not found")
    (images / "009.png").write_bytes((images / "009.png").read_bytes()[:5000])
    (images / ".DS_Store").write_bytes(b"\0")
    split_of = lambda i: {0: "val", 1: "test"}.get(i % 10, "train")  # noqa: E731
    write_karpathy(folder / "dataset.json", captions, split_of)
    write_tsv(folder / "captions.tsv", captions)
    return folder


def test_it_says_what_it_does_and_what_it_leaves_out(photos, tmp_path):
    output, images = tmp_path / "data", photos / "my images"
    flags = [f"--images={images}", f"--captions={photos / 'dataset.json'}", f"--output={output}"]
    flags += ["--name=tiny", "--batch_size=2", "--min_count=2", "--pca=4"]
    result = call("prepare", *flags, "--strict")
    assert_fails(result, "004.png: not an image", "2 images are done and kept", "without --strict")
    code, out, err = call("prepare", *flags)
    assert code == 0, err
    for line in (
        "captions: 40 of 20 images in ",
        "splits by the caption file",
        "left out: 2 images of the split test",
        "resumed: 2 of 18 images are already encoded",
        "train: 16 images, 32 captions; val: 2 images, 4 captions",
        "train: 14 images, 28 captions; val: 2 images, 4 captions",
        "<UNK> in val: ",
        "encoded 16 images in ",
        "PCA: 4 directions keep ",
        f"wrote {output}\n",
    ):
        assert line in out
    broken, cut, warning = err.splitlines()
    assert broken.startswith(f"not readable: {images / '004.png'}: not an image")
    assert cut.startswith(f"not readable: {images / '009.png'}: broken")
    assert warning == (
        "warning: 2 images are not readable and left out with their captions; report.json in the "
        "output lists them"
    )
    report = json.loads((output / "report.json").read_text())
    assert sorted(report["unreadable"]) == ["004.png", "009.png"]
    data = load_coco(output)
    assert (data.name, data.encoder["name"]) == ("tiny", "efficientnet-lite0")
    assert (data.feature_dim, load_coco(output, pca_features=False).feature_dim) == (4, 1280)
    before = output.stat().st_mtime_ns
    result = call("prepare", *flags)
    assert_fails(result, f"{output}: already holds a data set; replace it with --overwrite, or")
    assert output.stat().st_mtime_ns == before
    (tmp_path / "empty").mkdir()
    new = [*flags, f"--output={tmp_path / 'new'}"]
    result = call("prepare", *new, f"--images={tmp_path / 'empty'}")
    assert_fails(result, f"no images in {tmp_path / 'empty'}")
    assert_fails(call("prepare", *new, "--encoder=vgg16"), "vgg16 needs a weights file")
    assert not (tmp_path / "new").exists()


def test_other_splits_words_and_no_pca(photos, tmp_path):
    flags = [f"--images={photos / 'my images'}", f"--captions={photos / 'captions.tsv'}"]
    flags += ["--val_share=0.2", "--seed=3", "--tokenizer=space", "--min_count=1", "--max_length=2"]
    code, out, err = call("prepare", *flags, "--batch_size=2", f"--output={tmp_path / 'data'}")
    assert code == 0, err
    assert "drawn with seed 3" in out and "40 captions cut to 2 words" in out
    data = load_coco(tmp_path / "data")
    assert (data.name, data.caption_length, data.pca_features) == ("data", 4, False)
    assert sum(counts.images for counts in data.counts.values()) == 18
    assert "picture," in data.vocabulary.word_to_idx
