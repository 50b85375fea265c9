"""What a notebook loads, shows and trains with: data, pictures, update rules, the solver."""

import warnings

import jax
import numpy as np
import pytest
from PIL import Image

from jaxcap.cs231n import optim
from jaxcap.cs231n.captioning_solver import CaptioningSolver
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.coco_utils import load_coco_data, sample_coco_minibatch
from jaxcap.cs231n.image_utils import image_from_url
from jaxcap.vision import sources


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


def test_folder_from_the_argument_the_environment_or_the_courses_place(
    tiny_dir, tmp_path, monkeypatch
):
    given = load_coco_data(tiny_dir)
    monkeypatch.setenv("JAXCAP_DATA", str(tiny_dir))
    from_environment = load_coco_data()
    monkeypatch.delenv("JAXCAP_DATA")
    (tmp_path / "cs231n/datasets").mkdir(parents=True)
    (tmp_path / "cs231n/datasets/coco_captioning").symlink_to(tiny_dir)
    for data in (given, from_environment, load_coco_data()):
        assert data["train_captions"].shape == (40, 9)
        assert data["val_urls"][3] == "http://example.org/val/3.jpg"
        data["train_features"] -= 1


def test_reduced_features_are_read_where_there_are_any(tiny_dir, tmp_path):
    for file in tiny_dir.iterdir():
        (tmp_path / file.name.replace("_fc7_pca", "_fc7")).symlink_to(file)
    whole = load_coco_data(tmp_path)["train_features"]
    np.testing.assert_array_equal(whole, load_coco_data(tiny_dir)["train_features"])
    with pytest.raises(
        FileNotFoundError, match=r"train2014_vgg16_fc7\.h5: no such file.*are there"
    ):
        load_coco_data(tiny_dir, pca_features=False)


def test_a_missing_folder_is_named_with_what_names_it(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder; base_dir names"):
        load_coco_data(tmp_path / "gone")
    monkeypatch.setenv("JAXCAP_DATA", str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"gone: no such folder; JAXCAP_DATA names"):
        load_coco_data()
    with pytest.raises(ValueError, match="max_train is 0, expected at least 1"):
        load_coco_data(max_train=0)


def test_draws_follow_numpys_seed(tiny_dir):
    def draw():
        data = load_coco_data(tiny_dir, max_train=15)
        return data["train_captions"], *sample_coco_minibatch(data, 5, "train")

    np.random.seed(4)
    first = draw()
    np.random.seed(4)
    for ours, again in zip(first, draw(), strict=True):
        np.testing.assert_array_equal(ours, again)
    assert not np.array_equal(first[0], draw()[0])
    whole = load_coco_data(tiny_dir)
    np.random.seed(4)
    rows = np.random.randint(40, size=15)
    np.testing.assert_array_equal(first[0], whole["train_captions"][rows])


def test_minibatches_go_with_their_images(tiny_dir):
    data = load_coco_data(tiny_dir)
    captions, features, urls = sample_coco_minibatch(data, 30, "val")
    images = [int(url.removeprefix("http://example.org/val/")[:-4]) for url in urls]
    np.testing.assert_array_equal(features, data["val_features"][images])
    known = zip(data["val_captions"].tolist(), data["val_image_idxs"], strict=True)
    assert set(zip(map(str, captions.tolist()), images, strict=True)) <= {
        (str(caption), image) for caption, image in known
    }


def test_data_without_urls_shows_placeholders(tiny_dir, tmp_path):
    for file in tiny_dir.iterdir():
        if not file.name.endswith("urls.txt"):
            (tmp_path / file.name).symlink_to(file)
    urls = sample_coco_minibatch(load_coco_data(tmp_path), 3, "train")[2]
    assert urls.tolist() == ["", "", ""]
    with pytest.warns(UserWarning, match="names no URL"):
        image_from_url(urls[0])


def test_pictures_of_scenes_and_files(tmp_path):
    assert image_from_url("scenes://val/3").shape == image_from_url(b"scenes://val/3").shape
    Image.new("RGB", (6, 4), "red").save(tmp_path / "a.png")
    picture = image_from_url(np.str_((tmp_path / "a.png").as_uri()))
    np.testing.assert_array_equal(picture, np.full((4, 6, 3), [255, 0, 0]))
    picture[:] = 0


def test_fetched_pictures_come_as_they_are(monkeypatch):
    picture = np.full((2, 3, 3), 7, np.uint8)
    monkeypatch.setattr(sources, "fetch_image", lambda url, **_: picture)
    np.testing.assert_array_equal(image_from_url("http://example.org/1.jpg"), picture)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/größe.jpg", "not a public address"),
        ("scenes://val/500", "no scene has the URL"),
        ("gone.jpg", "no such file"),
        ("ftp://example.org/1.jpg", "only http and https"),
        (b"http://\xff/1.jpg", "http://"),
    ],
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


def arrays(dtype=np.float64):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((3, 4)).astype(dtype) for _ in range(4)]


def steps(rule, config, dtype=np.float64):
    w, *gradients = arrays(dtype)
    for dw in gradients:
        w, config = rule(w, dw, config)
    return w, config


def test_sgd_and_momentum():
    w, *gradients = arrays()
    assert_close(steps(optim.sgd, None)[0], w - 0.01 * sum(gradients))
    velocity = 0
    for dw in gradients:
        velocity = 0.8 * velocity - 0.1 * dw
        w = w + velocity
    found, config = steps(optim.sgd_momentum, {"learning_rate": 0.1, "momentum": 0.8})
    assert_close(found, w)
    assert_close(config["velocity"], velocity)


def test_rmsprop():
    w, *gradients = arrays()
    cache = 0
    for dw in gradients:
        cache = 0.9 * cache + 0.1 * dw**2
        w = w - 0.01 * dw / (np.sqrt(cache) + 1e-8)
    found, config = steps(optim.rmsprop, {"decay_rate": 0.9})
    assert_close(found, w)
    assert_close(config["cache"], cache)


def test_adam():
    w, *gradients = arrays()
    m = v = 0
    for t, dw in enumerate(gradients, start=1):
        m, v = 0.9 * m + 0.1 * dw, 0.999 * v + 0.001 * dw**2
        w = w - 0.02 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    given = {"learning_rate": 0.02}
    found, config = steps(optim.adam, given)
    assert_close(found, w)
    assert_close(config["m"], m)
    assert_close(config["v"], v)
    assert config["t"] == 3
    # A notebook looks at the dictionary that it gave.
    assert given is config


def test_adam_goes_on_from_given_moments():
    """The course's own check of its rule, to its eight digits."""
    grid = [np.linspace(a, b, 20).reshape(4, 5) for a, b in [(-0.4, 0.6), (-0.6, 0.4)]]
    m, v = (np.linspace(a, b, 20).reshape(4, 5) for a, b in [(0.6, 0.9), (0.7, 0.5)])
    found, _ = optim.adam(*grid, {"learning_rate": 1e-2, "m": m, "v": v, "t": 5})
    expected = [-0.40094747, -0.34836187, -0.29577703, -0.24319299, -0.19060977]
    np.testing.assert_allclose(found[0], expected, atol=1e-7)


@pytest.mark.parametrize("name", optim.RULES)
def test_rules_keep_float32_and_leave_their_arguments(name):
    w, config = steps(optim.RULES[name], None, np.float32)
    assert w.dtype == np.float32
    state = [value for value in config.values() if isinstance(value, np.ndarray)]
    assert all(value.dtype == np.float32 and value.flags.writeable for value in state)
    first, *_ = arrays(np.float32)
    assert not np.array_equal(w, first)


def test_solver_refuses_what_it_does_not_know(tiny_dir):
    data = load_coco_data(tiny_dir)
    model = CaptioningRNN(data["word_to_idx"], 6, 4, 5)
    with pytest.raises(ValueError, match="one of sgd, sgd_momentum, rmsprop, adam, got 'np'"):
        CaptioningSolver(model, data, update_rule="np")
    with pytest.raises(TypeError, match="learning_rate"):
        CaptioningSolver(model, data, learning_rate=1)


def test_solver_goes_on_and_prints_only_when_asked(tiny_dir, capsys):
    np.random.seed(0)
    data = load_coco_data(tiny_dir)
    model = CaptioningRNN(data["word_to_idx"], 6, 4, 5)
    solver = CaptioningSolver(model, data, batch_size=16, num_epochs=2, verbose=False, lr_decay=0.5)
    solver.train()
    solver.train()
    assert (solver.epoch, len(solver.loss_history)) == (4, 8)
    assert {config["learning_rate"] for config in solver.optim_configs.values()} == {1e-2 * 0.5**4}
    assert capsys.readouterr().out == ""
    CaptioningSolver(model, data, batch_size=100, num_epochs=3, print_every=2).train()
    assert [line[:17] for line in capsys.readouterr().out.splitlines()] == [
        "(Iteration 1 / 3)",
        "(Iteration 3 / 3)",
    ]


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12)
