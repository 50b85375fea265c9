"""A captioner and the encoder of its pictures learn together."""

from dataclasses import replace
from functools import partial

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxcap.data.batches import Batch, CaptionSet
from jaxcap.data.image import Image
from jaxcap.data.pictures import Pictures
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.finetuning import FineTuning, each_its_own, join, part
from jaxcap.learning.loop import fit
from jaxcap.learning.objective import Likelihood
from jaxcap.learning.step import init_state
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params
from jaxcap.vision.augmentation import mirror_and_crop
from jaxcap.vision.efficientnet import PREPROCESSING, Network, Stage, parameter_shapes
from jaxcap.vision.efficientnet_training import Trainable

TINY = Network(2, (Stage(1, 3, 1, 1, 2), Stage(1, 3, 2, 2, 2)), 1280)
ENCODE = Trainable(PREPROCESSING, TINY, frozen=1)
TRAINING = TrainingConfig(batch_size=8, num_epochs=1, log_every=1, order="shuffle")
VIEWS = partial(mirror_and_crop, size=8)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def run(tiny):
    """A captioner that attends, parameters of both, and captions with pictures."""
    rng = np.random.default_rng(0)
    sizes = {"feature_dim": 1280, "grid_dim": 1280, "wordvec_dim": 4, "hidden_dim": 4}
    config = CaptionerConfig(vocab_size=12, attention="soft", **sizes)
    encoder = {
        name: jnp.asarray(rng.standard_normal(shape), jnp.float32)
        for name, shape in parameter_shapes(TINY).items()
    }
    pictures = jnp.asarray(rng.integers(0, 256, (tiny.train.num_images, 10, 10, 3)), jnp.uint8)
    data = CaptionSet.of(tiny.train)
    data = data._replace(images=Image(data.images.pooled, pictures))
    return config, join(init_params(KEY, config), encoder), data


def progress(config, params, data, state=None):
    loss = FineTuning(Likelihood(config), ENCODE, VIEWS)
    optimiser = each_its_own(optax.adam(1e-2), optax.adam(1e-4), ENCODE.frozen_names)
    if state is None:
        state = init_state(KEY, config, optimiser, jax.tree.map(jnp.copy, params))
    return fit(state, loss, optimiser, data, TRAINING)


def test_both_learn_at_their_rates_frozen_blocks_do_not_and_resuming_changes_nothing(run):
    _, params, _ = run
    _, first, *_, last = (jax.tree.map(jnp.copy, p.state) for p in progress(*run))
    assert (first.step, last.step) == (2, 5)
    for name, before in params.items():
        moved = np.abs(last.params[name] - before).max()
        if name.removeprefix("encoder.") in ENCODE.frozen_names:
            assert moved == 0
        elif name.startswith("encoder."):
            assert 0 < moved < 6 * 1e-4
        else:
            assert moved == 0 or moved > 1e-3
    # Frozen parameters have no moments.
    moments = sum(leaf.size for leaf in jax.tree.leaves(first.opt_state))
    learning = [n for n in params if n.removeprefix("encoder.") not in ENCODE.frozen_names]
    assert moments == 2 + 2 * sum(params[name].size for name in learning)
    *_, resumed = progress(*run, state=first)
    for one, other in zip(jax.tree.leaves(resumed.state), jax.tree.leaves(last), strict=True):
        if not jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            np.testing.assert_array_equal(one, other)


def test_pictures_are_read_from_a_file_as_from_memory(run, tiny, tmp_path):
    config, params, data = run
    with h5py.File(tmp_path / "pictures.h5", "w") as file:
        file["pictures"] = np.asarray(data.images.grid)
    with Pictures(tmp_path / "pictures.h5") as pictures:
        split = replace(tiny.train, grids=pictures)
        for one, other in zip(progress(*run), progress(config, params, split), strict=True):
            np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)


def test_the_loss_is_that_of_features_and_a_shared_picture_counts_for_each_caption(run):
    config, params, data = run
    loss = FineTuning(Likelihood(config), ENCODE, VIEWS)
    pictures, captions = data.images.grid[:2], data.captions[:3]
    rows = jnp.array([0, 1, 0])
    shared = Batch(Image(data.images.pooled[:2], pictures), captions, rows=rows)
    image = Image(*jax.jit(ENCODE)(part(params)[1], pictures))
    expected = jax.jit(loss.loss)(part(params)[0], Batch(image.at(rows), captions), None)
    of_pictures, keys = jax.jit(loss), jax.random.split(KEY)
    np.testing.assert_allclose(of_pictures(params, shared, None), expected, rtol=1e-6)
    drawn = [of_pictures(params, shared, key) for key in (*keys, keys[0])]
    assert drawn[0] != drawn[1] and drawn[0] == drawn[2]


def test_views_are_squares_of_the_picture_or_its_mirror_image_that_the_key_says():
    pictures = jnp.arange(8 * 5 * 5 * 3, dtype=jnp.uint8).reshape(8, 5, 5, 3)
    views = np.asarray(mirror_and_crop(pictures, KEY, 3))
    np.testing.assert_array_equal(views, mirror_and_crop(pictures, KEY, 3))
    assert (views != mirror_and_crop(pictures, jax.random.key(1), 3)).any()
    places, sides = set(), set()
    for picture, view in zip(np.asarray(pictures), views, strict=True):
        found = [
            (row, column, step)
            for row in range(3)
            for column in range(3)
            for step in (1, -1)
            if (picture[row : row + 3, column : column + 3][:, ::step] == view).all()
        ]
        assert len(found) == 1
        places.add(found[0][:2])
        sides.add(found[0][2])
    assert len(places) > 2 and len(sides) == 2
    with pytest.raises(ValueError, match="`size` is 6, above that of the pictures, 5 x 5"):
        mirror_and_crop(pictures, KEY, 6)
