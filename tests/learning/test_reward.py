"""Training on a reward: its gradient is that of the expected reward, and it raises the reward."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_runs import changed

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import references_of
from jaxcap.data.image import Image
from jaxcap.learning.config import OptimiserConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import fit
from jaxcap.learning.reward import (
    CiderD,
    CiderReward,
    advantages,
    draw_images,
    draw_samples,
    rewarded_batch,
)
from jaxcap.learning.step import init_state
from jaxcap.learning.validation import Validator
from jaxcap.nn.captioner import logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params
from jaxcap.scoring.scores import Scorer
from jaxcap.text.vocabulary import Vocabulary


def test_reward_is_the_scorers_and_an_unknown_word_counts_as_a_wrong_one(tiny):
    reward = CiderD(tiny)
    captions, images = np.asarray(tiny.train.captions), np.array([3, 0, 3])
    rows = [int(np.flatnonzero(np.asarray(tiny.train.image_idxs) == i)[0]) for i in images]
    ids = captions[rows, 1:]
    scorer = Scorer(dict(enumerate(references_of(tiny.train, np.arange(10), tiny.vocabulary))))
    expected = scorer.rewards(images.tolist(), [tiny.vocabulary.decode(row) for row in ids])
    np.testing.assert_allclose(reward(images, ids), expected, rtol=1e-6)
    assert (expected > 0).all()
    unknown = np.concatenate([[tiny.vocabulary.unk] * 2, ids[0]])
    padded = np.concatenate([ids[0], [0, 0]])
    with_it, without = reward(np.array([3, 3]), np.stack([unknown, padded]))
    assert with_it < without


def test_a_single_image_is_refused(tiny):
    one = dataclasses.replace(tiny.train, image_idxs=tiny.train.image_idxs * 0)
    with pytest.raises(ValueError, match="2 images or more.* got 1"):
        CiderD(dataclasses.replace(tiny, splits={"train": one}))


def test_references_that_all_images_share_teach_and_rank_nothing(tiny, info):
    """CIDEr-D is then 0 whatever the captions, so that the loss alone is measured."""
    same = {
        split: dataclasses.replace(
            found, captions=jnp.tile(found.captions[:1], (len(found.captions), 1))
        )
        for split, found in tiny.splits.items()
    }
    data = dataclasses.replace(tiny, splits=same)
    with pytest.raises(ValueError, match="`objective=cider` .* all 10 images share .* in `train`"):
        CiderD(data)
    with pytest.raises(ValueError, match="`best_by=cider` cannot tell.*; rank them by"):
        Validator(info.model, data, changed(info, val_images=5, best_by="cider").training)
    with pytest.warns(UserWarning, match="for all 5 images share .* in `val`: it is not measured"):
        validate = Validator(info.model, data, changed(info, val_images=5).training)
    assert validate(init_params(jax.random.key(0), info.model)).cider is None


def word_count(images, ids):
    """A reward by the words alone, so that its expectation can be enumerated."""
    del images
    ids = np.asarray(ids)
    return ((ids == 5).sum(axis=1) - 0.5 * (ids == 4).sum(axis=1)).astype(np.float32)


def test_gradient_is_that_of_the_expected_reward():
    """Over all captions of at most two words."""
    words = Vocabulary(("<NULL>", "<START>", "<END>", "<UNK>", "a", "cat"))
    model = CaptionerConfig(vocab_size=6, feature_dim=3, wordvec_dim=4, hidden_dim=5)
    params = jax.tree.map(lambda p: 3 * p, init_params(jax.random.key(0), model))
    # No captioner that was trained on captions draws <NULL> or <START>.
    params["b_vocab"] = jnp.array([-30.0, -30.0, 0.0, 0.0, 0.0, 0.0])
    feature, reward = jnp.array([[0.5, -1.0, 2.0]]), CiderReward(model, words, word_count)
    pairs = [pair for pair in itertools.product([2, 3, 4, 5], repeat=2) if pair[0] != 2]
    captions = jnp.array([(2, 0), *pairs], jnp.int32)

    def expected(params):
        read = jnp.stack([jnp.ones_like(captions[:, 0]), captions[:, 0]], axis=1)
        out = logits(params, model, jnp.repeat(feature, len(captions), axis=0), read)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(out), captions[..., None], axis=2)[..., 0]
        probabilities = jnp.exp(jnp.where(captions != 0, chosen, 0).sum(axis=1))
        return (probabilities * word_count(None, captions)).sum(), probabilities.sum()

    (value, total), ascent = jax.jit(jax.value_and_grad(expected, has_aux=True))(params)
    assert float(total) == pytest.approx(1, abs=1e-5)

    data = CaptionSet(jnp.zeros((3, 3), jnp.int32), jnp.zeros(3, jnp.int32), Image(feature))
    state = init_state(jax.random.key(1), model, optax.identity(), params)

    @jax.jit
    def gradient(image, drawn, rewards):
        return jax.grad(reward)(params, rewarded_batch(image, drawn, rewards), None)

    gradients, means = [], []
    for number in range(20):
        at = state._replace(step=jnp.int32(number))
        (images,) = draw_images(state.key, data, number, num=1000, count=1)
        image = data.images.at(images)
        drawn = draw_samples(at, image, config=model, words=words, columns=3, samples=5)
        rewards = word_count(None, drawn.reshape(-1, 3)).reshape(1000, 5)
        gradients.append(gradient(image, drawn, jnp.asarray(rewards)))
        means.append(rewards.mean())
    others = [np.delete(rewards, i, axis=1).mean(axis=1) for i in range(5)]
    found = advantages(jnp.asarray(rewards))
    np.testing.assert_allclose(found, rewards - np.stack(others, axis=1), atol=1e-6)
    assert np.mean(means) == pytest.approx(float(value), abs=0.02)
    for name, up in ascent.items():
        found = np.stack([grads[name] for grads in gradients])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) + up) <= 5 * error + 1e-6).all(), name
        assert np.abs(found.mean(axis=0)).max() > 10 * error.max(), name


def test_reward_rises(tiny, info):
    training = {"objective": "cider", "order": "replacement", "batch_size": 20, "log_every": 10}
    info = changed(info, **training, num_epochs=60, optimiser=OptimiserConfig(3e-2))
    learner = make_learner(info.model, info.training, tiny, jax.random.key(0))
    progress = list(fit(*learner, tiny.train, info.training))
    rewards = -np.concatenate([p.losses for p in progress])
    assert len(rewards) == 120
    assert rewards[-20:].mean() > 1.5 * rewards[:20].mean() > 0
