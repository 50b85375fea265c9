"""From photos to a trained captioner, and all that it does: by the commands and from Python."""

import dataclasses
import json
import re
import shutil

import h5py
import jax
import numpy as np
import pytest
from command_calls import assert_fails, call
from photo_files import draw, draw_all, write_karpathy
from PIL import Image

from jaxcap.data.coco import load_coco
from jaxcap.data.projection import carry_projections
from jaxcap.datasets import Placement, load_data
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.sampling import Sampling
from jaxcap.learning.checkpoint_info import Validation
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params
from jaxcap.scoring.scores import score
from jaxcap.scoring.split_images import SplitImages
from jaxcap.shipped import shipped_checkpoint
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.trained import load_captioner
from jaxcap.vision.encoder import Encoder, load_encoder
from jaxcap.vision.images import open_image

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--learning_rate=0.02"]


def save(folder, captioner, params=None, **changes):
    """Write a captioner as another run's, with changes to what its checkpoint says of itself."""
    info = dataclasses.replace(captioner.info, **changes)
    checkpoints = Checkpoints(folder, create=True)
    checkpoints.save_captioner(7, params or captioner.captioner.params, info, Validation(1.0))
    checkpoints.close()
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with `data` of 24 photos, 8 of val, a run `one` on it, and another, `two`."""
    folder = tmp_path_factory.mktemp("work")
    texts_of = draw_all(folder / "images", 24, size=(60, 40))
    for i, texts in enumerate(texts_of.values()):
        texts += [texts[0], f"Is it a no. {i} picture?"]
    path = write_karpathy(folder / "data.json", texts_of, lambda i: "train" if i % 3 else "val")
    flags = [f"--images={folder / 'images'}", f"--captions={path}", f"--output={folder / 'data'}"]
    flags += ["--name=photos", "--min_count=2", "--max_length=5", "--batch_size=8", "--pca=5"]
    flags += ["--grid", "--grid_pca=7"]
    result = call("prepare", *flags)
    assert result[0] == 0, result[2]
    flags = [f"--data_dir={folder / 'data'}", f"--checkpoint_dir={folder / 'one'}", *SMALL]
    result = call("train", *flags, "--num_epochs=40")
    assert result[0] == 0, result[2]
    one = load_captioner(folder / "one")
    save(folder / "two", one, jax.tree.map(lambda x: 0.9 * x, one.captioner.params))
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


def evaluate(*flags):
    """What the command prints, as lines; it may not fail, nor say a thing on stderr."""
    code, out, err = call("evaluate", "--nojava", *flags)
    assert (code, err) == (0, ""), err
    return out.splitlines()


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def by_image(found):
    return {entry["image_id"]: entry["caption"] for entry in found}


def test_python_and_command_say_the_same_of_photos(work, new, tmp_path):
    """And report the same of what cannot be opened."""
    grid, flags = tmp_path / "grid.png", ["--batch_size=8", f"--checkpoint={work / 'one'}"]
    code, out, err = call("caption", new, f"{new}/*.gif", *flags, f"--grid={grid}")
    captioner, pixels = load_captioner(str(work / "one")), open_image(new / "猫.jpg")
    sources = [new, f"{new}/*.gif", pixels, pixels[:0], new / "猫.jpg"]
    broken, dog, cat, none, same, empty = captioner.caption_photos(sources, batch_size=8)
    assert code == 1 and "Traceback" not in err
    assert out == "".join(f"{photo.source}\t{photo.sentence}\n" for photo in (dog, cat))
    faults = [line for line in err.splitlines() if line.startswith("error: ")]
    assert faults == [f"error: {broken.fault}", f"error: {none.fault}"]
    assert broken.fault.startswith(f"{new / 'broken.png'}: not an image")
    assert none.fault == f"no images in {new}/*.gif"
    assert [dog.source, cat.source] == [str(new / "ein Hund.png"), str(new / "猫.jpg")]
    assert same.source is pixels and (same.sentence, same.fault) == (cat.sentence, None)
    assert empty.sentence is empty.nats is None and "expected" in empty.fault
    with Image.open(grid) as image:
        assert image.size[0] > 500
    code, out, err = call("caption", cat.source, "--json", *flags)
    assert (code, err) == (0, "")
    # One photo goes through the network alone, which may round otherwise.
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert row["path"] == cat.source and isinstance(row["caption"], str)


def test_pictures_of_kinds_that_are_not_read_are_counted(work, new, tmp_path, without_heif):
    flag, remedy = f"--checkpoint={work / 'one'}", "pip install 'jaxcap[heif]'"
    note = f"2 files of a kind that is not read (HEIC): {remedy}, or save as JPEG"
    for name in ("a.HEIC", "b.heic"):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    code, out, err = call("caption", tmp_path, flag)
    assert (code, out, err) == (1, "", f"error: no images in {tmp_path} but {note}\n")
    shutil.copy(new / "猫.jpg", tmp_path)
    code, out, err = call("caption", tmp_path, flag)
    assert (code, err) == (0, f"warning: {note}\n") and out.startswith(f"{tmp_path / '猫.jpg'}\t")
    captioner = load_captioner(work / "one")
    with pytest.warns(UserWarning, match="^2 files of a kind that is not read .HEIC.: pip install"):
        photos = captioner.caption_photos([tmp_path, tmp_path / "a.HEIC"])
    assert photos[0].sentence and remedy in photos[1].fault and len(photos) == 2


def test_images_of_a_list_are_captioned_under_its_ids(work, tmp_path):
    images = [{"id": 2**40 + i, "file_name": f"00{i}.png"} for i in range(3)]
    again = {"id": 2, "file_name": "000"}
    (tmp_path / "info.json").write_text(
        json.dumps({"images": [*images, {"id": 1, "file_name": "x.jpg"}, again]})
    )
    flags = [f"--checkpoint={work / 'one'}", f"--image_list={tmp_path / 'info.json'}"]
    results = tmp_path / "results.json"
    code, out, err = call("caption", str(work / "images"), *flags, f"--results={results}")
    assert code == 0 and "1 of 5 images of" in err and "are missing: x.jpg" in err
    sentences = [line.split("\t")[1] for line in out.splitlines()]
    assert json.loads(results.read_text()) == [
        *({"image_id": 2**40 + i, "caption": sentence} for i, sentence in enumerate(sentences)),
        {"image_id": 2, "caption": sentences[0]},
    ]
    assert len(sentences) == 3
    assert_fails(call("caption", "a.jpg", f"--results={results}"), "--results needs --image_list")
    (tmp_path / "info.json").write_text(json.dumps({"images": images[:0]}))
    assert_fails(call("caption", str(work / "images"), *flags), "info.json: names no image")


def test_what_is_drawn_differs_from_batch_to_batch(work, new):
    captioner, photos = load_captioner(work / "one"), [open_image(new / "猫.jpg")] * 16
    options = {"key": jax.random.key(0), "batch_size": 8}
    drawn = captioner.caption_photos(photos, Sampling(temperature=3.0), **options)
    assert drawn == captioner.caption_photos(photos, Sampling(temperature=3.0), **options)
    sentences = [photo.sentence for photo in drawn]
    assert sentences[:8] != sentences[8:]


def test_the_numbers_are_those_of_the_written_captions(work, tmp_path):
    """And stand in a table, in JSON, and on a sheet with the pictures, as a page or a picture."""
    files = [
        tmp_path / name for name in ("out.json", "ours.json", "theirs.json", "a.html", "a.PNG")
    ]
    flags = [f"--output={files[0]}", f"--json={files[1]}", f"--sheet={files[3]}"]
    lines = evaluate(f"--checkpoint={work / 'one'}", *flags)
    references = work / "data" / "references_val.json"
    flags = [f"--results={files[0]}", f"--references={references}", "--sheet_num=2"]
    again = evaluate(*flags, f"--json={files[2]}", f"--sheet={files[4]}")
    assert files[3].read_text("utf-8").count("src='data:image/jpeg;base64,") == 8
    with Image.open(files[4]) as image:
        assert image.format == "PNG" and image.size[0] > 500
    assert sorted(tmp_path.iterdir()) == sorted(files)
    captioner = load_captioner(work / "one")
    assert lines[:2] == [
        f"captioner: {captioner.path}, on 8 images of val of photos",
        f"references: captions as written, of {references}",
    ]
    found = captioner.evaluate("val", java=False)
    assert found.table() in "\n".join(lines)
    table = [line for line in lines if re.match(r"(BLEU|ROUGE|CIDEr|captions  |words)", line)]
    assert len(table) == 8 and set(table) <= set(again)
    ours, theirs = read(files[1]), read(files[2])
    assert ours["scores"] == theirs["scores"] and ours["images"] == theirs["images"]
    told = by_image(read(files[0]))
    assert list(told) == [f"{i:03}.png" for i in range(0, 24, 3)] and told == found.captions
    assert found.scores == score(told, found.references)
    assert "Is it a no. 0 picture?" in found.references["000.png"]
    assert ours["decoding"]["strategy"] == "Beam" and ours["decoding"]["width"] == 3
    data = load_coco(work / "data")
    seen = {data.vocabulary.decode(row) for row in np.asarray(data.train.captions)}
    novel = np.mean([caption not in seen for caption in told.values()])
    assert ours["diversity"]["novel"] == novel and theirs["diversity"]["novel"] is None


def test_an_ensemble_of_some_images_and_other_references(work, tmp_path):
    old, out = tmp_path / "data", tmp_path / "out.json"
    shutil.copytree(work / "data", old, ignore=shutil.ignore_patterns("references_*"))
    flags = [f"--checkpoint={work / 'one'},{work / 'two'}", f"--data_dir={old}", f"--json={out}"]
    flags += "--split=train --num=5 --length_norm=average --no_repeat_ngram=2 --prefix=a".split()
    lines = evaluate(*flags)
    both = load_captioner([work / "one", work / "two"])
    images = SplitImages.choose(both.load_data("train", old), "train", 5)
    rules = Rules.of(both.vocabulary, no_repeat_ngram=2, prefix=["a"])
    expected = both.caption(images, Beam(3, "average"), rules=rules)
    assert f"{both.runs[0].path}, {both.runs[1].path}, on 5 images of train" in lines[0]
    assert f"word ids of {old}/coco2014_captions.h5, where rare words are <UNK> (in 5" in lines[1]
    found = read(out)
    assert by_image(found["images"]) == expected
    assert all(caption.startswith("a ") for caption in expected.values())
    assert found["scores"]["CIDEr"] == score(expected, images.spelled()).cider
    named = work / "data" / "references_train.json"
    lines = evaluate(*flags, f"--data_dir={work / 'data'}", f"--references={named}")
    assert lines[1] == f"references: captions as written, of {named}"
    assert read(out)["scores"]["CIDEr"] != found["scores"]["CIDEr"]


def test_novel_is_what_training_did_not_draw(work, tmp_path):
    one = load_captioner(work / "one")
    source = dataclasses.replace(one.info.source, max_train=9)
    drew = load_captioner(save(tmp_path / "run", one, source=source))
    data = drew.load_data("train")
    drawn = {data.vocabulary.decode(row) for row in np.asarray(data.train.captions)}
    assert drew.seen(data) == drawn and 2 < len(drawn) <= 9 and len(one.seen(data)) > len(drawn)


def test_one_caption_for_all_is_said_once(work, tmp_path):
    one = load_captioner(work / "one")
    params = {**one.captioner.params, "W_vocab": one.captioner.params["W_vocab"] * 0}
    word = one.vocabulary.word_to_idx["picture"]
    params["b_vocab"] = params["b_vocab"].at[word].set(9.0)
    code, out, err = call(
        "evaluate", f"--checkpoint={save(tmp_path / 'x', one, params)}", "--nojava"
    )
    assert code == 0 and "captions  8, 1 different, 30.00 words long" in out
    (line,) = err.splitlines()
    assert line.startswith("warning: all 8 pictures have the same caption, 'picture picture ")


def test_an_exported_captioner_says_the_same_and_names_no_place(work, tmp_path):
    run, small = work / "one", tmp_path / "small"
    code, out, err = call("export", f"--checkpoint={run}", f"--output={small}")
    assert (code, err) == (0, "") and out.startswith(f"wrote {small}/") and out.endswith(" MB\n")
    whole, exported = load_captioner(run), load_captioner(small)
    for name, value in whole.captioner.params.items():
        np.testing.assert_array_equal(
            exported.captioner.params[name], np.asarray(value, np.float16)
        )
    assert exported.info.model == whole.info.model
    assert exported.info.vocabulary == whole.info.vocabulary
    assert exported.info.source.data_dir is None
    assert (small / "pca.h5").read_bytes() == (work / "data/pca.h5").read_bytes()
    assert Checkpoints(small).best() == Checkpoints(run).best()
    items = {path.name for path in exported.path.iterdir()}
    assert {"params", "info", "validation"} <= items and "training" not in items
    for file in small.rglob("*"):
        assert not file.is_file() or str(tmp_path).encode() not in file.read_bytes(), file
        assert not file.is_file() or str(work).encode() not in file.read_bytes(), file
    where = f"--data_dir={work / 'data'}"
    assert_fails(call("sample", f"--checkpoint={small}"), "--data_dir")
    code, out, err = call("sample", f"--checkpoint={small}", where, "--num=2", "--beam=1")
    assert (code, err) == (0, "")
    assert len(re.findall(r"^val \d+ \(\d+.png\): .*\n    \S", out, re.M)) == 2
    flags = [where, *SMALL, "--num_epochs=1"]
    code, _, err = call(
        "train", f"--checkpoint_dir={tmp_path / 'x'}", f"--init_from={small}", *flags
    )
    assert (code, err) == (0, "")
    resumed = call("train", f"--checkpoint_dir={small}", "--resume", *flags)
    assert_fails(resumed, "cannot be resumed", "--init_from")


@pytest.fixture(scope="module")
def eyes(work, tmp_path_factory):
    """A captioner that attends to the reduced grids, of random weights."""
    one, folder = load_captioner(work / "one"), tmp_path_factory.mktemp("eyes")
    data = load_data(work / "data", placement=Placement(grids=True))
    sizes = {"wordvec_dim": 8, "hidden_dim": 16, "attention": "soft"}
    model = CaptionerConfig.for_data(data, **sizes)
    params = init_params(jax.random.key(0), model)
    params = {**params, **{name: 20 * params[name] for name in ("W_vocab", "W_grid", "W_score")}}
    save(folder / "run", one, params, model=model, data=data.identity)
    carry_projections(work / "data", folder / "run", data.identity)
    return folder / "run"


@pytest.mark.parametrize("strategy", [Beam(2), Sampling(2, temperature=2.0)])
def test_one_that_attends_says_the_same_of_rows_and_photos(work, eyes, strategy):
    """Whether its grids are in memory, in their file, or made of the pictures again."""
    captioner, key, whole = load_captioner(eyes), jax.random.key(3), {}
    key = key if isinstance(strategy, Sampling) else None
    for memory in (0, 4 << 30):
        some = Placement(["val"], grids=True, grid_memory=memory)
        data = load_data(work / "data", placement=some)
        images = SplitImages.choose(data, "val")
        whole[memory] = captioner.caption(images, strategy, key=key)
        parts = captioner.captioner.hypotheses(images.image, strategy, key=key, batch_size=2)
        spell = captioner.vocabulary.sentence
        assert [spell(ids) for ids in parts.ids[:, 0]] == list(whole[memory].values())
    assert whole[0] == whole[4 << 30] and len(set(whole[0].values())) > 4
    if key is None:
        found = captioner.evaluate(strategy=strategy, java=False).captions
        assert list(found.values()) == list(whole[0].values())
        paths = [url.removeprefix("file://") for url in images.urls.values()]
        photos = captioner.caption_photos(paths, strategy, batch_size=8)
        assert [photo.sentence for photo in photos] == list(whole[0].values())
        # An ensemble with one that does not attend needs the grids too.
        both = load_captioner([work / "one", eyes])
        assert both.caption_photos(paths[0], strategy)[0].sentence
        assert both.caption(SplitImages.choose(both.load_data("val"), "val", 3), strategy)


def test_grids_of_another_kind_are_refused(work, eyes, tmp_path):
    captioner, folder = load_captioner(eyes), tmp_path / "small"
    data = load_data(work / "data", placement=Placement(grids=True))
    captioner.export(folder)
    assert (folder / "grid_pca.h5").read_bytes() == (work / "data/grid_pca.h5").read_bytes()
    for grid, message in (
        ({**data.grid, "places": 81}, r"grid \{'places': 49\}, but .* has grid \{'places': 81\}"),
        (None, r"run/7: attends to the grids .* loaded without them: .* `Placement.grids=True"),
    ):
        other = dataclasses.replace(data, grid=grid)
        with pytest.raises(ValueError, match=message):
            captioner.evaluate(data=other)
        # One that does not attend takes both.
        load_captioner(work / "one").info.check_data(other.identity, "", "")
    (folder / "grid_pca.h5").unlink()
    match = "on grids of width 7, and efficientnet-lite0 makes 1280; .* missing from .*grid_pca.h5"
    with pytest.raises(FileNotFoundError, match=match):
        _ = load_captioner(folder).encoder


def test_what_belongs_to_other_photos_is_refused(work, tiny, tmp_path, monkeypatch):
    one = load_captioner(work / "one")
    # As one on the course's files, whose projection nobody has.
    course = save(tmp_path / "a", one, data=tiny.identity)
    match = "data tiny, which does not record the encoder.*`encoder` and `encoder_weights`"
    with pytest.raises(ValueError, match=match):
        load_captioner(course).caption_photos([])
    match = "width 5, and efficientnet-lite0 makes 1280; the projection .* missing from .*pca.h5"
    with pytest.raises(FileNotFoundError, match=match):
        load_captioner(course, encoder="efficientnet-lite0").caption_photos([])
    run = shutil.copytree(work / "one", tmp_path / "run")
    (run / "pca.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing from .*run/pca.h5"):
        _ = load_captioner(run).encoder
    shutil.copy(work / "one/pca.h5", run)
    assert load_captioner(run).encoder.projection is not None
    with h5py.File(run / "pca.h5", "r+") as file:
        file["components"][0, 0] += 1
    with pytest.raises(ValueError, match=r"is the projection .*, but .* was trained with"):
        _ = load_captioner(run).encoder
    (eye,) = load_encoder().eyes
    other = Encoder((dataclasses.replace(eye, version="0123456789ab"),))
    monkeypatch.setattr("jaxcap.photos.load_encoder", lambda name, weights: other)
    with pytest.raises(ValueError, match=r"one/.*made by .* but the encoder in use is .*0123456"):
        _ = load_captioner(work / "one").encoder
    encoder = {**one.info.data.encoder, "version": "2"}
    data = dataclasses.replace(one.info.data, encoder=encoder)
    both = load_captioner([work / "one", save(tmp_path / "b", one, data=data)])
    for refused in (both.evaluate, lambda: both.encoder):
        with pytest.raises(ValueError, match=r"b/7: was trained .* encoder \{'version': '2'\}"):
            refused()


BAD_INPUT = """
evaluate --checkpoint=                         | --checkpoint is empty
evaluate --checkpoint=/nowhere                 | /nowhere: no such folder
evaluate --results=x                           | --results needs references
evaluate --results=/no.json --references=y     | /no.json: no such file
evaluate --results=x --references=y --beam=2   | --beam needs --checkpoint, not --results
evaluate --results={val} --references=y        | did you swap --results and --references
evaluate {one},{other}                         | {other}/7: has another vocabulary than {work}/one
evaluate {one} --references={train}            | json: has no caption for image 000.png and 7 more
evaluate {one} --sheet={new}/none/sheet.html   | there is no folder {new}/none
sample {one} --prefix=no picture            | --prefix has words that .* lacks, no:
caption {new} --checkpoint={new}/none          | none: no such folder
export {one} --output={work}                   | {work}: exists, give another --output
export --checkpoint={new} --output={new}/small | holds no readable checkpoint
evaluate                                       | Exactly one of .checkpoint, results.
evaluate {one} --results=x                     | Exactly one of .checkpoint, results.
caption {one}                                  | give at least one photo
caption {new} --attention={new}                | {new}: is a folder; name a file in it
caption {new} --attention=maps.xyz             | maps.xyz: no figure is written as .xyz; give
caption {new} --attention=a.png --grid=a.png   | a.png: is the file of both --grid and --attention
"""


def test_bad_input_is_one_sentence(work, new, tmp_path):
    captioner = load_captioner(work / "one")
    words = captioner.vocabulary.idx_to_word
    turned = Vocabulary((*words[:4], *words[:3:-1]))
    new = shutil.copytree(new, tmp_path / "new")
    names = {
        "one": f"--checkpoint={work / 'one'}",
        "other": save(tmp_path / "other", captioner, vocabulary=turned),
        **{split: work / f"data/references_{split}.json" for split in ("train", "val")},
        **{"work": work, "new": new},
    }
    for line in BAD_INPUT.strip().splitlines():
        flags, message = (text.strip(" ").format(**names) for text in line.split("|"))
        code, _, err = call(*flags.split(" "))
        assert code == 1 and "Traceback" not in err
        assert re.search(message, err), (flags, err)
        assert sum(row.startswith(("error: ", "FATAL ")) for row in err.splitlines()) <= 1


def test_the_captioner_that_ships_is_whole_and_needs_no_flag(tmp_path, monkeypatch):
    """It captions a lawn under a sky and a snowfield; a word in another place is refused."""
    folder, noise = shipped_checkpoint(), np.random.default_rng(0).integers(-20, 20, (240, 320, 3))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 20e6
    captioner = load_captioner()
    assert captioner.info.data.name == "flickr8k" and captioner.info.source.data_dir is None
    assert captioner.info.data.counts["train"].images == 6000
    assert captioner.encoder.network.name == "efficientnet-lite0-288"
    assert all(np.isfinite(value).all() for value in captioner.captioner.params.values())
    photos = []
    lawn, snow = ((90, 150, 60), (140, 180, 230)), ((235, 235, 235), (120, 160, 220))
    for (ground, sky), horizon in ((lawn, 100), (snow, 60)):
        pixels = np.full((240, 320, 3), ground)
        pixels[:horizon] = sky
        photos.append((pixels + noise).clip(0, 255).astype(np.uint8))
        Image.fromarray(photos[-1]).save(tmp_path / f"{len(photos)}.png")
    code, out, err = call("caption", tmp_path, "--batch_size=2")
    assert (code, err) == (0, "")
    found = [line.split("\t")[1] for line in out.splitlines()]
    assert found == [photo.sentence for photo in captioner.caption_photos(photos, batch_size=2)]
    assert len(set(found)) == 2
    for sentence in found:
        words = sentence.split()
        assert 3 <= len(words) <= 20 and {*words} <= {*captioner.vocabulary.idx_to_word}
    spoilt = shutil.copytree(folder, tmp_path / "captioner")
    (path,) = spoilt.glob("*/info/metadata")
    about = path.read_text(encoding="utf-8")
    assert set(json.loads(about)["checksums"]) == {"params", "info", "validation"}
    path.write_text(about.replace('"dog", "', '"cat", "', 1), encoding="utf-8")
    checkpoints = Checkpoints(spoilt)
    with pytest.raises(ValueError, match="the item info is not what was saved"):
        checkpoints.load_params(checkpoints.steps[-1])
    monkeypatch.setattr("jaxcap.__file__", str(tmp_path / "jaxcap" / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"looked in .*jaxcap/checkpoints/.*`checkpoint`"):
        load_captioner()
