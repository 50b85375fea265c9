"""The course's captioner over images with a grid: gradients, captions, and its solver."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.random import randn

from jaxcap.cs231n.captioning_solver import CaptioningSolver
from jaxcap.cs231n.classifiers.rnn import CaptioningRNN
from jaxcap.cs231n.coco_utils import sample_coco_minibatch
from jaxcap.cs231n.gradient_check import eval_numerical_gradient
from jaxcap.data.image import Image
from jaxcap.decoding.captions import Captioner
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.gradcheck import rel_error
from jaxcap.text.vocabulary import Vocabulary

WORDS = Vocabulary.build(["cat", "dog"])
CAPTIONS = np.array([[1, 4, 5, 2], [1, 5, 2, 0]])


@pytest.fixture
def image():
    np.random.seed(5)
    return Image(randn(2, 3), randn(2, 4, 6), np.array([[True] * 4, [True, True, False, False]]))


def attending(dtype=np.float64):
    sizes = {"input_dim": 3, "wordvec_dim": 4, "hidden_dim": 5}
    words = WORDS.word_to_idx
    return CaptioningRNN(
        words, **sizes, cell_type="lstm", dtype=dtype, attention="soft", grid_dim=6
    )


def test_gradients_are_those_of_differences(image):
    model = attending()
    _, grads = model.loss(image, CAPTIONS)
    assert set(grads) == set(model.params) and "W_grid" in grads
    for name in ("W_grid", "W_query", "W_score", "b_gate", "W_context", "Wh"):
        found = eval_numerical_gradient(
            lambda _: model.loss(image, CAPTIONS)[0], model.params[name], verbose=False, h=1e-5
        )
        assert rel_error(found, grads[name]) < 1e-4, name


def test_the_solver_trains_it_and_it_says_what_the_library_does(image):
    """With the first parameters those of the course for the same seed."""
    np.random.seed(1)
    model = attending(np.float32)
    np.random.seed(1)
    plain = CaptioningRNN(WORDS.word_to_idx, 3, 4, 5, "lstm")
    for name, value in plain.params.items():
        np.testing.assert_array_equal(value, model.params[name])
    data = {"train_captions": CAPTIONS, "train_image_idxs": np.arange(2), "train_features": image}
    data["train_urls"] = np.array(["", ""])
    _, drawn, _ = sample_coco_minibatch(data, 3)
    assert isinstance(drawn, Image) and drawn.grid.shape == (3, 4, 6)
    options = {"update_rule": "adam", "optim_config": {"learning_rate": 3e-2}, "verbose": False}
    with jax.numpy_dtype_promotion("standard"):
        solver = CaptioningSolver(model, data, num_epochs=60, batch_size=2, **options)
        solver.train()
    assert solver.loss_history[-1] < 0.3 < solver.loss_history[0]
    said = [WORDS.decode(row) for row in model.sample(image)]
    assert said == ["cat dog", "dog"]
    params = {name: jnp.asarray(value) for name, value in model.params.items()}
    captioner = Captioner(params, model.config, WORDS)
    image = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype != bool else x, image)
    assert [caption.sentence for caption in captioner.decode(image, Greedy())] == said


def test_what_is_no_grid_is_refused(image):
    model = attending()
    for features, message in (
        (image.pooled, "`features` has no grid, to which the captioner attends: give `jaxcap.Ima"),
        (image._replace(grid=image.grid[:1]), r"shape \(1, 4, 6\), expected \(2, L, 6\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.loss(features, CAPTIONS)
        with pytest.raises(ValueError, match=message):
            model.sample(features)
