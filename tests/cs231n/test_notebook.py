"""What the notebook loads, shows and trains with: data, pictures, update rules, the solver."""

import re
import shutil
import tracemalloc
import warnings

import h5py
import jax
import numpy as np
import pytest
from PIL import Image

from jaxcap.cs231n import coco_utils, optim
from jaxcap.cs231n.captioning_solver import CaptioningSolver
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.coco_utils import decode_captions, load_coco_data, sample_coco_minibatch
from jaxcap.cs231n.image_utils import image_from_url
from jaxcap.vision import sources

# As the notebook prints them.
ORDER = (
    "train_captions train_image_idxs val_captions val_image_idxs train_features val_features "
    "idx_to_word word_to_idx train_urls val_urls"
).split()


@pytest.fixture(autouse=True)
def standard_promotion():
    """Optax raises floats to integer powers, which strict promotion forbids."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working folder without data, and no data named elsewhere."""
    monkeypatch.delenv("JAXCAP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_folder_is_the_arguments_the_environments_the_courses_or_that_of_the_scenes(
    tiny_dir, tmp_path, monkeypatch, capsys
):
    def loaded(named_by, **options):
        data = load_coco_data(**options)
        printed = capsys.readouterr().out
        assert re.fullmatch(rf"base dir  /\S+ \({named_by}\)\n", printed)
        return data

    found = [loaded("base_dir", base_dir=tiny_dir)]
    monkeypatch.setattr(coco_utils, "ensure_scenes", lambda: tiny_dir)
    found.append(loaded("the built-in scenes, since JAXCAP_DATA is .* is not here"))
    # PCA did not reduce the scenes' features.
    found.append(loaded("the built-in scenes, .*", pca_features=False))
    monkeypatch.setenv("JAXCAP_DATA", str(tiny_dir))
    found.append(loaded("JAXCAP_DATA"))
    monkeypatch.setenv("JAXCAP_DATA", str(tmp_path / "gone"))
    monkeypatch.setattr(coco_utils, "BASE_DIR", str(tiny_dir))
    found.append(loaded("BASE_DIR"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cs231n/datasets").mkdir(parents=True)
    (tmp_path / "cs231n/datasets/coco_captioning").symlink_to(tiny_dir)
    assert coco_utils.BASE_DIR == "cs231n/datasets/coco_captioning"
    for data in (*found, loaded("the folder of the course")):
        assert list(data) == ORDER
        shapes = {k: (v.shape, v.dtype) for k, v in data.iteritems() if isinstance(v, np.ndarray)}
        assert shapes["train_captions"] == ((40, 9), np.int32)
        assert shapes["train_image_idxs"] == ((40,), np.int32)
        assert shapes["train_features"] == ((10, 6), np.float32)
        assert data["val_urls"].dtype.kind == "U"
        assert data["val_urls"][3] == "http://example.org/val/3.jpg"
        assert [data["word_to_idx"][word] for word in data["idx_to_word"]] == list(range(12))
        data["train_features"] -= 1


def test_reduced_features_and_urls_are_read_where_there_are_any(tiny_dir, tmp_path):
    for file in tiny_dir.iterdir():
        if not file.name.endswith("urls.txt"):
            (tmp_path / file.name.replace("_fc7_pca", "_fc7")).symlink_to(file)
    bare, whole = load_coco_data(tmp_path), load_coco_data(tiny_dir)
    np.testing.assert_array_equal(bare["train_features"], whole["train_features"])
    with pytest.raises(
        FileNotFoundError, match=r"train2014_vgg16_fc7\.h5: no such file.*are there"
    ):
        load_coco_data(tiny_dir, pca_features=False)
    urls = sample_coco_minibatch(bare, 3, "train")[2]
    assert urls.tolist() == ["", "", ""]
    with pytest.warns(UserWarning, match="names no URL"):
        image_from_url(urls[0])


def test_no_second_copy_of_the_features_is_made(tiny_dir, tmp_path):
    folder, width = tmp_path / "wide", 100_000
    shutil.copytree(tiny_dir, folder)
    for path in folder.glob("*fc7_pca.h5"):
        with h5py.File(path, "r+") as file:
            images = len(file["features"])
            del file["features"]
            file["features"] = np.ones((images, width), np.float32)
    tracemalloc.start()
    try:
        data = load_coco_data(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * sum(data[f"{split}_features"].nbytes for split in ("train", "val"))


def test_a_missing_folder_is_named_with_what_names_it(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder; set base_dir to"):
        load_coco_data(tmp_path / "gone")
    monkeypatch.setenv("JAXCAP_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder; set JAXCAP_DATA to"):
        load_coco_data()
    monkeypatch.setattr(coco_utils, "BASE_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder; set BASE_DIR to"):
        load_coco_data()
    with pytest.raises(ValueError, match="`max_train` is 0, expected at least 1"):
        load_coco_data(max_train=0)


def test_draws_follow_numpys_seed_and_go_with_their_images(tiny_dir):
    def draw():
        data = load_coco_data(tiny_dir, max_train=15)
        return data["train_captions"], *sample_coco_minibatch(data, 30, "val")

    np.random.seed(4)
    kept, captions, features, urls = draw()
    np.random.seed(4)
    for ours, again in zip((kept, captions, features, urls), draw(), strict=True):
        np.testing.assert_array_equal(ours, again)
    assert not np.array_equal(kept, draw()[0])
    whole = load_coco_data(tiny_dir)
    np.random.seed(4)
    np.testing.assert_array_equal(kept, whole["train_captions"][np.random.randint(40, size=15)])
    images = [int(url.removeprefix("http://example.org/val/")[:-4]) for url in urls]
    np.testing.assert_array_equal(features, whole["val_features"][images])
    known = zip(whole["val_captions"].tolist(), whole["val_image_idxs"], strict=True)
    assert set(zip(map(str, captions.tolist()), images, strict=True)) <= {
        (str(caption), image) for caption, image in known
    }


def test_pictures_of_scenes_files_and_the_web(tmp_path, monkeypatch):
    assert image_from_url("scenes://val/3").shape == image_from_url(b"scenes://val/3").shape
    Image.new("RGB", (6, 4), "red").save(tmp_path / "a.png")
    picture = image_from_url(np.str_((tmp_path / "a.png").as_uri()))
    np.testing.assert_array_equal(picture, np.full((4, 6, 3), [255, 0, 0]))
    picture[:] = 0
    fetched = np.full((2, 3, 3), 7, np.uint8)
    monkeypatch.setattr(sources, "fetch_image", lambda url, **_: fetched)
    np.testing.assert_array_equal(image_from_url("http://example.org/1.jpg"), fetched)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/größe.jpg", "not a public address"),
        ("ftp://example.org/1.jpg", "only http and https"),
        (b"http://\xff/1.jpg", "http://"),
    ],
)
def test_a_picture_that_cannot_be_fetched_is_none(url, reason, capsys):
    """So that a notebook of 2021 or later leaves it out."""
    assert image_from_url(url) is None
    assert re.fullmatch(f"URL Error: .*{reason}.*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("scenes://val/500", "no scene has the URL"), ("gone.jpg", "no such file")],
)
def test_a_picture_that_cannot_be_had_is_a_placeholder_with_its_reason(url, reason):
    with pytest.warns(UserWarning, match=reason):
        picture = image_from_url(url)
    assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
    # The text is darker than the ground, and no two reasons look the same.
    assert 0 < (picture < 200).any(axis=2).mean() < 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not np.array_equal(picture, image_from_url("nowhere/at/all.png"))


def by_hand(name, w, gradients):
    """Each rule as its papers write it."""
    m = v = 0.0
    for t, dw in enumerate(gradients, start=1):
        if name == "sgd":
            w = w - 0.02 * dw
        elif name == "sgd_momentum":
            m = 0.9 * m - 0.02 * dw
            w = w + m
        elif name == "rmsprop":
            v = 0.99 * v + 0.01 * dw**2
            w = w - 0.02 * dw / (np.sqrt(v) + 1e-8)
        else:
            m, v = 0.9 * m + 0.1 * dw, 0.999 * v + 0.001 * dw**2
            w = w - 0.02 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return w, {"velocity": m, "cache": v, "m": m, "v": v, "t": len(gradients)}


@pytest.mark.parametrize("name", optim.RULES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rules_are_those_of_the_papers(name, dtype):
    rng = np.random.default_rng(0)
    w, *gradients = (rng.standard_normal((3, 4)).astype(dtype) for _ in range(4))
    given = {"learning_rate": 0.02}
    found, config = w, given
    for dw in gradients:
        found, config = optim.RULES[name](found, dw, config)
    expected, state = by_hand(name, w, gradients)
    near = {"rtol": 1e-12 if dtype == np.float64 else 1e-4, "atol": 1e-6 * (dtype == np.float32)}
    np.testing.assert_allclose(found, expected, **near)
    assert found.dtype == dtype
    # A notebook looks at the dictionary that it gave.
    assert given is config
    for key in config.keys() & state.keys():
        np.testing.assert_allclose(config[key], state[key], **near)
        assert key == "t" or (config[key].dtype == dtype and config[key].flags.writeable)


def test_adam_goes_on_from_given_moments():
    """The course's own check of its rule, to its eight digits."""
    grid = [np.linspace(a, b, 20).reshape(4, 5) for a, b in [(-0.4, 0.6), (-0.6, 0.4)]]
    m, v = (np.linspace(a, b, 20).reshape(4, 5) for a, b in [(0.6, 0.9), (0.7, 0.5)])
    found, _ = optim.adam(*grid, {"learning_rate": 1e-2, "m": m, "v": v, "t": 5})
    expected = [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977]
    np.testing.assert_allclose(found[0], expected, atol=1e-7)


@pytest.fixture
def made(tiny_dir):
    """Data, and a model of it."""
    np.random.seed(0)
    data = load_coco_data(tiny_dir)
    return CaptioningRNN(data["word_to_idx"], 6, 4, 16, "lstm"), data


def test_solver_refuses_what_it_does_not_know(made):
    with pytest.raises(ValueError, match="one of sgd, sgd_momentum, rmsprop, adam, or .* got 'np'"):
        CaptioningSolver(*made, update_rule="np")
    with pytest.raises(TypeError, match="learning_rate"):
        CaptioningSolver(*made, learning_rate=1)


@pytest.mark.parametrize("by_name", [True, False])
def test_your_own_rule(made, by_name, monkeypatch):
    """A rule without a learning rate, which the solver need not know."""
    steps = []

    def halve(w, dw, config):
        steps.append(config.setdefault("steps", 0))
        return w / 2, {"steps": config["steps"] + 1}

    monkeypatch.setattr(optim, "halve", halve, raising=False)
    model, data = made
    before = model.params["Wx"].copy()
    rule = "halve" if by_name else halve
    solver = CaptioningSolver(model, data, update_rule=rule, batch_size=20, num_epochs=1)
    assert (solver.best_val_acc, solver.best_params) == (0, {})
    assert solver.train_acc_history == solver.val_acc_history == []
    assert solver.check_accuracy(data["train_features"], data["train_captions"]) == 0
    solver.verbose = False
    solver.train()
    np.testing.assert_array_equal(model.params["Wx"], before / 4)
    assert steps == [0] * len(model.params) + [1] * len(model.params)
    solver._reset()
    assert (solver.epoch, solver.loss_history) == (0, [])
    assert set(solver.optim_configs) == set(model.params) and not any(solver.optim_configs.values())


def test_the_story_of_the_notebook(made, capsys):
    """Train with the printed losses, go on silently, and sample what was learnt."""
    model, data = made
    for name in ("train_captions", "train_image_idxs"):
        data[name] = data[name][:8]
    options = {"update_rule": "adam", "optim_config": {"learning_rate": 4e-2}, "lr_decay": 0.99}
    solver = CaptioningSolver(model, data, num_epochs=60, batch_size=8, print_every=10, **options)
    solver.train()
    lines = capsys.readouterr().out.splitlines()
    printed = [re.fullmatch(r"\(Iteration (\d+) / 60\) loss: (\d+\.\d{6})", line) for line in lines]
    assert [int(line[1]) for line in printed] == list(range(1, 60, 10))
    assert [float(line[2]) for line in printed] == pytest.approx(
        solver.loss_history[::10], abs=1e-6
    )
    # At first every word is as likely as any other.
    words = (data["train_captions"][:, 1:] != 0).sum() / 8
    assert solver.loss_history[0] == pytest.approx(words * np.log(12), rel=0.25)
    solver.verbose = False
    solver.train()
    assert (solver.epoch, len(solver.loss_history)) == (120, 120)
    assert solver.optim_configs["Wx"]["learning_rate"] == pytest.approx(4e-2 * 0.99**120)
    assert capsys.readouterr().out == ""
    assert solver.loss_history[-1] < 0.3
    said = decode_captions(model.sample(data["train_features"]), data["idx_to_word"])
    learnt = decode_captions(data["train_captions"], data["idx_to_word"])
    for image, caption in zip(data["train_image_idxs"], learnt, strict=True):
        assert said[image] == caption.removeprefix("<START> ")
