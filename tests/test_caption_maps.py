"""Where a captioner looks on photos: by the command and from Python, and where a map lies."""

import jax
import numpy as np
import pytest
from command_calls import assert_fails, call
from photo_files import draw
from PIL import Image

from jaxcap.data.dataset import DataIdentity, DataSource
from jaxcap.learning.checkpoint_info import RunInfo, Validation
from jaxcap.learning.checkpoints import Checkpoints
from jaxcap.learning.config import TrainingConfig
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params
from jaxcap.text.vocabulary import Vocabulary
from jaxcap.trained import load_captioner
from jaxcap.vision.encoder import load_encoder
from jaxcap.vision.vgg16 import TORCHVISION

WORDS = Vocabulary.build(["a", "red", "picture", "$1"])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a captioner that attends, with parameters that no one trained."""
    width, folder = 1280, tmp_path_factory.mktemp("runs") / "attending"
    model = CaptionerConfig(len(WORDS), width, 4, 8, attention="soft", grid_dim=width)
    data = DataIdentity(
        *("photos", {}, 9, width, False),
        encoder=load_encoder().describe(),
        vocabulary_size=len(WORDS),
        grid={"places": 49, "width": width, "pca": None},
    )
    source = DataSource("coco", "/data", folder="/data")
    info = RunInfo(model, TrainingConfig(), WORDS, data, source, seed=0)
    params = jax.tree.map(lambda x: 4 * x, init_params(jax.random.key(0), model))
    params["b_vocab"] = params["b_vocab"].at[WORDS.end].set(-3.0)
    checkpoints = Checkpoints(folder, create=True)
    checkpoints.save_captioner(1, params, info, Validation(1.0))
    checkpoints.close()
    return folder


def test_each_photo_has_its_maps_and_the_captions_stay_the_same(run, tmp_path):
    photos, maps = tmp_path / "photos", tmp_path / "maps.png"
    draw(photos / "a.png", "red", (60, 40))
    draw(photos / "b.jpg", "white", (30, 40))
    (photos / "aa.png").write_text("404 not found")
    flags = [f"--checkpoint={run}", "--batch_size=2", "--max_length=4"]
    plain = call("caption", photos, *flags)
    code, out, err = call("caption", photos, *flags, f"--attention={maps}")
    assert (code, out) == plain[:2] and code == 1 and len(out.splitlines()) == 2
    drawn = [maps, tmp_path / "maps_2.png"]
    assert [f"drew {path}" in err.splitlines() for path in drawn] == [True, True]
    assert sorted(tmp_path.glob("*.png")) == drawn
    for path in drawn:
        with Image.open(path) as picture:
            assert picture.width > 600
    found = list(load_captioner(run).caption_with_maps(photos, batch_size=2))
    assert [photo.maps is None for photo in found] == [False, True, False]
    words, shares = found[0].maps
    assert " ".join(words) == found[0].sentence and shares.shape == (len(words), 49)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    assert all(photo.maps is None for photo in load_captioner(run).caption_photos(photos))


def test_a_captioner_that_does_not_attend_is_refused_before_any_photo(tmp_path):
    failed = call("caption", "http://127.0.0.1:9/1.jpg", f"--attention={tmp_path / 'maps.png'}")
    assert_fails(failed, "does not attend, so it has no maps", "--attention=soft", "--checkpoint")
    assert "127.0.0.1" not in failed[2]


def test_what_the_network_sees_of_a_picture_is_its_middle_or_the_whole():
    assert TORCHVISION.box(40, 80) == (22.5, 2.5, 57.5, 37.5)
    assert load_encoder().eyes[0].preprocessing.box(40, 80) == (0, 0, 80, 40)
