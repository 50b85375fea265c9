"""From photos to a trained captioner and its captions of photos it never saw, offline."""

import dataclasses
import json
import shutil

import h5py
import jax
import pytest
from command_calls import assert_fails, call
from photo_files import draw, draw_all, write_tsv
from PIL import Image

from jaxcap.decoding.sampling import Sampling
from jaxcap.learning.checkpoints import Checkpoints, Validation
from jaxcap.learning.loop import init_state
from jaxcap.photos import PhotoCaptioner, caption_photos, shipped_checkpoint
from jaxcap.vision.encoder import load_encoder
from jaxcap.vision.images import open_image

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--num_epochs=2"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with `data`, which prepare wrote with PCA, and `run`, which train wrote."""
    folder = tmp_path_factory.mktemp("work")
    captions = draw_all(folder / "images", 16, size=(60, 40))
    write_tsv(folder / "captions.tsv", captions)
    result = call(
        "prepare",
        f"--images={folder / 'images'}",
        f"--captions={folder / 'captions.tsv'}",
        f"--output={folder / 'data'}",
        "--min_count=1",
        "--batch_size=8",
        "--pca=5",
    )
    assert result[0] == 0, result[2]
    result = call(
        "train", f"--data_dir={folder / 'data'}", f"--checkpoint_dir={folder / 'run'}", *SMALL
    )
    assert result[0] == 0, result[2]
    return folder


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    """Photos that no data set has: two good ones in a folder, and a broken one."""
    folder = tmp_path_factory.mktemp("new photos")
    draw(folder / "ein Hund.png", "orange", (50, 70))
    draw(folder / "猫.jpg", "white", (70, 50))
    (folder / "broken.png").write_text("404 not found")
    (folder / ".DS_Store").write_bytes(b"\0")
    return folder


@pytest.mark.slow
def test_the_run_keeps_encoder_and_projection(work):
    checkpoints = Checkpoints(work / "run")
    _, info = checkpoints.load_newest(checkpoints.load_info)
    assert info.data.encoder["name"] == "efficientnet-lite0"
    assert info.data.pca["components"] == 5
    assert (work / "run/pca.h5").read_bytes() == (work / "data/pca.h5").read_bytes()


def test_new_photos_are_captioned_and_a_broken_one_is_reported(work, new, tmp_path):
    grid = tmp_path / "grid.png"
    code, out, err = call(
        "caption", new, "--batch_size=2", f"--checkpoint={work / 'run'}", f"--grid={grid}"
    )
    assert code == 1
    lines = [line.split("\t") for line in out.splitlines()]
    assert [path for path, _ in lines] == [str(new / "ein Hund.png"), str(new / "猫.jpg")]
    assert "Traceback" not in err
    assert f"error: {new / 'broken.png'}: not an image" in err
    with Image.open(grid) as image:
        assert image.size[0] > 500


def test_json_and_patterns(work, new):
    code, out, err = call(
        "caption",
        f"{new}/*.jpg",
        new / "ein Hund.png",
        "--json",
        "--batch_size=2",
        f"--checkpoint={work / 'run'}",
    )
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["path"] for row in rows] == [str(new / "猫.jpg"), str(new / "ein Hund.png")]
    assert all(isinstance(row["caption"], str) for row in rows)


@pytest.mark.slow
def test_a_captioner_with_a_cell_by_its_path(work, new, tmp_path):
    flags = [f"--data_dir={work / 'data'}", *SMALL, "--cell=flax.linen.GRUCell"]
    result = call("train", f"--checkpoint_dir={tmp_path}", *flags)
    assert result[0] == 0, result[2]
    code, out, err = call("caption", new / "猫.jpg", f"--checkpoint={tmp_path}")
    assert (code, err) == (0, "")
    assert out.startswith(f"{new / '猫.jpg'}\t")


@pytest.mark.slow
def test_decoding_is_chosen_by_flags(work, new):
    flags = [new / "猫.jpg", f"--checkpoint={work / 'run'}"]
    code, out, err = call("caption", *flags, "--top_p=0.9", "--max_length=3", "--prefix=A picture")
    assert (code, err) == (0, "")
    caption = out.rstrip("\n").partition("\t")[2]
    assert caption.startswith("a picture") and len(caption.split()) <= 3
    assert_fails(call("caption", *flags, "--beam=3", "--top_k=2"), "--beam", "--top_k")


@pytest.mark.slow
def test_what_is_drawn_differs_from_batch_to_batch(work, new):
    captioner = PhotoCaptioner.load(work / "run")
    photos = [str(new / "猫.jpg")] * 12
    strategy, key = Sampling(temperature=3.0), jax.random.key(0)
    found = [
        [
            photo.caption
            for photo in caption_photos(
                captioner, photos, open_image, strategy=strategy, key=key, batch_size=size
            )
        ]
        for size in (3, 3)
    ]
    assert found[0] == found[1]
    batches = {tuple(found[0][start : start + 3]) for start in range(0, 12, 3)}
    assert len(batches) == 4


def test_bad_input_is_one_sentence(new, tmp_path):
    result = call("caption", new / "猫.jpg", f"--checkpoint={tmp_path / 'none'}")
    assert_fails(result, "none: no such folder")
    code, _, err = call("caption", f"--checkpoint={tmp_path}")
    assert code == 1 and "name at least one photo" in err


def test_a_run_that_does_not_know_its_encoder(work, tiny, tmp_path):
    """As one on the course's files, whose projection nobody has."""
    checkpoints = Checkpoints(work / "run")
    step, info = checkpoints.load_newest(checkpoints.load_info)
    model = dataclasses.replace(info.model, feature_dim=6)
    info = dataclasses.replace(info, model=model, data=tiny.identity)
    state = init_state(jax.random.key(0), model, info.training)
    Checkpoints(tmp_path, create=True).save(state, info, Validation(1.0))
    match = "data tiny, which does not say which encoder.*--encoder=vgg16 --encoder_weights=FILE"
    with pytest.raises(ValueError, match=match):
        PhotoCaptioner.load(tmp_path)
    match = "width 6, and efficientnet-lite0 makes 1280; the projection .* expected in .*pca.h5"
    with pytest.raises(FileNotFoundError, match=match):
        PhotoCaptioner.load(tmp_path, encoder="efficientnet-lite0")


@pytest.fixture
def run(work, tmp_path):
    """A run to spoil."""
    return shutil.copytree(work / "run", tmp_path / "run")


def test_the_projection_must_be_the_one_that_was_used(run):
    (run / "pca.h5").rename(run / "away.h5")
    with pytest.raises(FileNotFoundError, match=r"expected in .*run/pca.h5"):
        PhotoCaptioner.load(run)
    shutil.copy(run / "away.h5", run / "pca.h5")
    assert PhotoCaptioner.load(run).projection is not None
    with h5py.File(run / "pca.h5", "r+") as file:
        file["components"][0, 0] += 1
    with pytest.raises(ValueError, match=r"is the projection .*, but .* was trained with"):
        PhotoCaptioner.load(run)


def test_another_encoder_is_refused(run, monkeypatch):
    other = dataclasses.replace(load_encoder(), version="0123456789ab")
    monkeypatch.setattr("jaxcap.photos.load_encoder", lambda name, weights: other)
    with pytest.raises(ValueError, match=r"run/.*made by .* but the encoder in use is .*0123456"):
        PhotoCaptioner.load(run)


def test_without_a_shipped_captioner_it_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxcap.__file__", str(tmp_path / "jaxcap" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"looked in .*jaxcap/checkpoints/.*--checkpoint"):
        shipped_checkpoint()
    (tmp_path / "checkpoints" / "flickr8k").mkdir(parents=True)
    assert shipped_checkpoint() == tmp_path / "checkpoints" / "flickr8k"
