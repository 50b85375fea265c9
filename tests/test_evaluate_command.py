"""`python -m jaxcap.evaluate --checkpoint` as a user runs it, against the library's own numbers."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
from command_calls import assert_fails, call
from photo_files import TinyEncoder, draw_all, write_karpathy
from PIL import Image

from jaxcap.captioners import Captioners
from jaxcap.data.coco import SplitArrays, load_coco, write_coco
from jaxcap.data.dataset import references_of
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import caption_images
from jaxcap.decoding.rules import vocabulary_constraints
from jaxcap.learning.checkpoints import Checkpoints, Validation
from jaxcap.learning.loop import init_state
from jaxcap.preparing.plan import PreparationConfig, plan_preparation
from jaxcap.preparing.preparation import Preparation
from jaxcap.scenes import NAME, captions, sample_scene, scene_of_url, truth_report
from jaxcap.scenes.lexicon import WORDS
from jaxcap.scoring.scores import score
from jaxcap.text.vocabulary import Vocabulary

SMALL = ["--hidden_dim=16", "--wordvec_dim=8", "--batch_size=8", "--learning_rate=0.02"]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with prepared `data` of 24 photos, 8 of val, and runs `one` and `two` on it."""
    folder = tmp_path_factory.mktemp("work")
    texts_of = draw_all(folder / "images", 24, size=(60, 40))
    for i, texts in enumerate(texts_of.values()):
        texts += [texts[0], f"Is it a no. {i} picture?"]
    config = PreparationConfig(
        images=folder / "images",
        captions=write_karpathy(
            folder / "captions.json", texts_of, lambda i: "train" if i % 3 else "val"
        ),
        output=folder / "data",
        name="photos",
        min_count=2,
        max_length=5,
    )
    with Preparation(plan_preparation(config), TinyEncoder()) as preparation:
        list(preparation.encode())
        preparation.finish()
    flags = [f"--data_dir={folder / 'data'}", f"--checkpoint_dir={folder / 'one'}", *SMALL]
    result = call("train", *flags, "--num_epochs=60")
    assert result[0] == 0, result[2]
    state, info = newest(folder / "one")
    params = jax.tree.map(lambda x: 0.9 * x, state.params)
    save(folder / "two", state._replace(params=params), info)
    return folder


def newest(run):
    """State and description of a run, for another to be made of."""
    checkpoints = Checkpoints(run)
    step, info = checkpoints.load_newest(checkpoints.load_info)
    like = init_state(jax.random.key(0), info.model, info.training)
    return checkpoints.load_state(step, like), info


def save(run, state, info):
    Checkpoints(run, create=True).save(state, info, Validation())


def evaluate(*flags):
    """What the command prints, as lines; it may not fail, nor say a thing on stderr."""
    code, out, err = call("evaluate", "--nojava", *flags)
    assert (code, err) == (0, ""), err
    return out.splitlines()


def table(lines):
    return [line for line in lines if re.match(r"(BLEU|ROUGE|CIDEr|captions  |words)", line)]


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_numbers_are_those_of_the_written_captions(work, tmp_path):
    files = [tmp_path / "captions.json", tmp_path / "ours.json", tmp_path / "theirs.json"]
    flags = [f"--checkpoint={work / 'one'}", f"--output={files[0]}", f"--json={files[1]}"]
    lines = evaluate(*flags)
    references = work / "data" / "references_val.json"
    again = evaluate(f"--results={files[0]}", f"--references={references}", f"--json={files[2]}")
    assert len(table(lines)) == 8 and table(lines) == table(again)
    assert f"references: captions as written, of {references}" in lines
    assert f"captioner: {work / 'one' / '360'}, on 8 images of val of photos" in lines
    ours, theirs = read(files[1]), read(files[2])
    assert ours["scores"] == theirs["scores"] and ours["images"] == theirs["images"]
    captions = {entry["image_id"]: entry["caption"] for entry in read(files[0])}
    assert sorted(captions) == list(range(8))
    raw = {i: [] for i in captions}
    for entry in read(references)["annotations"]:
        raw[entry["image_id"]].append(entry["caption"])
    assert ours["scores"]["CIDEr"] == score(captions, raw).cider
    assert ours["decoding"]["strategy"] == "Greedy" and ours["split"] == "val"
    train = load_coco(work / "data").train
    seen = {load_coco(work / "data").vocabulary.decode(row) for row in np.asarray(train.captions)}
    novel = np.mean([caption not in seen for caption in captions.values()])
    assert ours["diversity"]["novel"] == novel and theirs["diversity"]["novel"] is None
    assert any(line.startswith(f"novel     {novel:.1%}") for line in lines)


def test_word_ids_where_no_references_are_kept(work, tmp_path):
    old, out = tmp_path / "data", tmp_path / "out.json"
    shutil.copytree(work / "data", old, ignore=shutil.ignore_patterns("references_*"))
    flags = [f"--checkpoint={work / 'one'}", "--split=train", "--num=5", f"--json={out}"]
    lines = evaluate(*flags, f"--data_dir={old}")
    (line,) = [line for line in lines if line.startswith("references: ")]
    assert (
        f"word ids of {old / 'coco2014_captions.h5'}, where rare words are <UNK> (in 5 of" in line
    )
    found = read(out)
    captions = {entry["image_id"]: entry["caption"] for entry in found["images"]}
    data = load_coco(old)
    images = np.array(list(captions))
    references = references_of(data.train, images, data.vocabulary)
    expected = score(captions, dict(zip(captions, references, strict=True)))
    assert found["scores"]["CIDEr"] == expected.cider
    assert len(captions) == 5

    named = work / "data" / "references_train.json"
    lines = evaluate(*flags, f"--data_dir={old}", f"--references={named}")
    assert f"references: captions as written, of {named}" in lines
    assert read(out)["scores"]["CIDEr"] != expected.cider
    assert {entry["image_id"]: entry["caption"] for entry in read(out)["images"]} == captions


@pytest.mark.slow
def test_an_ensemble_by_beam_search(work, tmp_path):
    out = tmp_path / "captions.json"
    runs = [work / "one", work / "two"]
    flags = ["--beam=3", "--length_norm=average", "--no_repeat_ngram=2", "--prefix=a"]
    lines = evaluate(f"--checkpoint={runs[0]},{runs[1]}", f"--output={out}", *flags)
    assert f"captioner: {runs[0] / '360'}, {runs[1] / '360'}, on 8 images" in lines[0]
    both = Captioners.load(runs)
    data = load_coco(work / "data")
    constraints = vocabulary_constraints(data.vocabulary, no_repeat_ngram=2, prefix=["a"])
    expected = caption_images(
        list(both.params),
        [info.model for info in both.infos],
        data.vocabulary,
        data.val.features,
        strategy=Beam(3, "average"),
        constraints=constraints,
    )
    captions = [entry["caption"] for entry in read(out)]
    assert captions == expected
    assert all(caption.startswith("a ") for caption in captions)


def test_the_sheet_holds_the_pictures(work, tmp_path):
    gone = work / "images" / "003.png"
    kept = gone.read_bytes()
    gone.unlink()
    page, picture = tmp_path / "sheet.html", tmp_path / "sheet.PNG"
    try:
        evaluate(f"--checkpoint={work / 'one'}", f"--sheet={page}")
        evaluate(f"--checkpoint={work / 'one'}", f"--sheet={picture}", "--sheet_num=2")
    finally:
        gone.write_bytes(kept)
    text = page.read_text(encoding="utf-8")
    assert text.count("<article>") == 8
    assert text.count("src='data:image/jpeg;base64,") == 7
    assert f"<i>{gone}: no such file" in text
    assert "Is it a no. 3 picture?" in text
    with Image.open(picture) as image:
        assert image.format == "PNG" and image.size[0] > 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sheet.PNG", "sheet.html"]


@pytest.fixture(scope="module")
def few_scenes(tmp_path_factory):
    """A data set of few scenes, and a run on it that drew its captions."""
    folder = tmp_path_factory.mktemp("scenes")
    vocabulary, splits = Vocabulary.build(WORDS), {}
    for split, count in (("train", 16), ("val", 12)):
        scenes = [sample_scene(split, index) for index in range(count)]
        texts = [(row, text) for row, scene in enumerate(scenes) for text in captions(scene)]
        splits[split] = SplitArrays(
            captions=np.stack([vocabulary.encode(text.split(), 40) for _, text in texts]),
            image_idxs=np.array([row for row, _ in texts], np.int32),
            features=np.random.default_rng(count).random((count, 6), np.float32),
            urls=[f"scenes://{split}/{index}" for index in range(count)],
        )
    write_coco(folder / "data", vocabulary, splits, name=NAME)
    flags = [f"--checkpoint_dir={folder / 'run'}", f"--data_dir={folder / 'data'}", *SMALL]
    result = call("train", *flags, "--num_epochs=30", "--max_train=20")
    assert result[0] == 0, result[2]
    return folder


@pytest.mark.slow
def test_scenes_are_checked_claim_by_claim(few_scenes, tmp_path):
    out, page = tmp_path / "out.json", tmp_path / "sheet.html"
    flags = ["--num=10", "--temperature=0.5", "--seed=3", f"--json={out}", f"--sheet={page}"]
    lines = evaluate(f"--checkpoint={few_scenes / 'run'}", *flags)
    found = read(out)
    urls = [f"scenes://val/{entry['image_id']}" for entry in found["images"]]
    told = [entry["caption"] for entry in found["images"]]
    report = truth_report([scene_of_url(url) for url in urls], told)
    assert "\n".join(lines).count(str(report)) == 1
    assert found["truth"]["share_true"] == report.share_true
    assert found["truth"]["holding"] == report.holding and report.claims["thing"]
    assert len(set(urls)) == 10 and found["decoding"]["temperature"] == 0.5
    assert page.read_text().count("src='data:image/jpeg") == 10
    (line,) = [line for line in lines if line.startswith("references: ")]
    assert line == f"references: word ids of {few_scenes / 'data/coco2014_captions.h5'}"


@pytest.mark.slow
def test_novel_is_what_training_did_not_draw(few_scenes):
    captioners = Captioners.load([few_scenes / "run"])
    data = captioners.load_data("train")
    drawn = {data.vocabulary.decode(row) for row in np.asarray(data.train.captions)}
    assert captioners.seen(data) == drawn
    assert 10 < len(drawn) <= 20


def test_one_caption_for_all_is_said_once(work, tmp_path):
    state, info = newest(work / "one")
    params = {**state.params, "W_vocab": state.params["W_vocab"] * 0}
    words = info.vocabulary.word_to_idx
    params["b_vocab"] = params["b_vocab"].at[words["picture"]].set(9.0)
    save(tmp_path / "same", state._replace(params=params), info)
    code, out, err = call("evaluate", f"--checkpoint={tmp_path / 'same'}", "--nojava")
    assert code == 0
    assert "captions  8, 1 different, 30.00 words long" in out
    (line,) = err.splitlines()
    assert line.startswith("warning: all 8 pictures have the same caption: ")
    assert "another encoder" in line and "hardly trained" in line


def test_bad_input_is_one_sentence(work, tmp_path):
    one, two = work / "one", tmp_path / "two"
    checkpoint = f"--checkpoint={one}"
    state, info = newest(one)
    words = info.vocabulary.idx_to_word
    turned = Vocabulary((*words[:4], *words[:3:-1]))
    save(two, state, dataclasses.replace(info, vocabulary=turned))
    for flags in ([], [checkpoint, "--results=x"]):
        code, _, err = call("evaluate", *flags)
        assert code == 1 and "Exactly one of (checkpoint, results)" in err
        assert "Traceback" not in err
    assert_fails(call("evaluate", "--checkpoint="), "--checkpoint names no run")
    assert_fails(call("evaluate", "--checkpoint=/nowhere"), "/nowhere: no such folder")
    assert_fails(call("evaluate", "--results=x"), "--results needs --references")
    result = call("evaluate", "--results=x", "--references=y", "--beam=2")
    assert_fails(result, "--beam goes with --checkpoint, not with --results")
    result = call("evaluate", f"--checkpoint={one},{two}")
    assert_fails(result, f"{two}/360: has another vocabulary than {one}/360", "ensemble")
    result = call("evaluate", checkpoint, f"--references={work / 'data/references_train.json'}")
    assert_fails(result, "references_train.json: has image 8, expected 0 to 7", "of val in")
    result = call("evaluate", checkpoint, "--references=/nowhere.json")
    assert_fails(result, "/nowhere.json: no such file")
    result = call("evaluate", checkpoint, f"--sheet={tmp_path / 'none' / 'sheet.html'}")
    assert_fails(result, "there is no folder")


def test_an_ensemble_sees_features_of_one_kind(work, tmp_path):
    state, info = newest(work / "two")
    other = dataclasses.replace(info.data, encoder={**info.data.encoder, "version": "2"})
    save(tmp_path / "other", state, dataclasses.replace(info, data=other))
    both = Captioners.load([work / "one", tmp_path / "other"])
    with pytest.raises(ValueError, match=r"other/360: was trained .* encoder \{'version': '2'\}"):
        both.load_data("val")
