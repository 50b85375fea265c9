"""Training on a reward: its gradient is that of the expected reward, and it raises the reward."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.data.batches import CaptionSet
from jaxcap.data.dataset import references_of
from jaxcap.data.image import Image
from jaxcap.learning.loop import TrainingConfig, fit, init_state
from jaxcap.learning.optimiser import OptimiserConfig
from jaxcap.learning.reward import (
    CiderReward,
    RewardSteps,
    advantages,
    draw_samples,
    reward_gradient,
)
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits
from jaxcap.scoring.scores import Scorer
from jaxcap.text.vocabulary import Vocabulary

MODEL = CaptionerConfig(vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16)


def test_advantage_is_over_the_mean_of_the_others():
    rewards = np.random.default_rng(0).random((3, 4))
    others = np.stack([np.delete(rewards, i, axis=1).mean(axis=1) for i in range(4)], axis=1)
    np.testing.assert_allclose(advantages(jnp.asarray(rewards)), rewards - others, atol=1e-6)


def test_reward_is_the_scorers(tiny):
    reward = CiderReward(tiny.train, tiny.vocabulary)
    images = np.array([3, 0, 3])
    captions = np.asarray(tiny.train.captions)
    rows = [int(np.flatnonzero(np.asarray(tiny.train.image_idxs) == i)[0]) for i in images]
    ids = captions[rows, 1:]
    references = references_of(tiny.train, np.arange(10), tiny.vocabulary)
    scorer = Scorer(dict(enumerate(references)))
    expected = scorer.rewards(images.tolist(), [tiny.vocabulary.decode(row) for row in ids])
    np.testing.assert_allclose(reward(images, ids), expected, rtol=1e-6)
    assert (expected > 0).all()


def test_an_unknown_word_counts_as_a_wrong_one(tiny):
    reward = CiderReward(tiny.train, tiny.vocabulary)
    row = int(np.flatnonzero(np.asarray(tiny.train.image_idxs) == 3)[0])
    right = np.asarray(tiny.train.captions)[row, 1:]
    unknown = np.concatenate([[tiny.vocabulary.unk] * 2, right])
    padded = np.concatenate([right, [0, 0]])
    with_it, without = reward(np.array([3, 3]), np.stack([unknown, padded]))
    assert with_it < without


class WordCount:
    """A reward by the words alone, so that its expectation can be enumerated."""

    vocabulary = Vocabulary(("<NULL>", "<START>", "<END>", "<UNK>", "a", "cat"))

    def __call__(self, images, ids):
        ids = np.asarray(ids)
        return ((ids == 5).sum(axis=1) - 0.5 * (ids == 4).sum(axis=1)).astype(np.float32)


@pytest.mark.slow
def test_gradient_is_that_of_the_expected_reward():
    """Over all captions of at most two words."""
    model = CaptionerConfig(vocab_size=6, feature_dim=3, wordvec_dim=4, hidden_dim=5)
    params = jax.tree.map(lambda p: 3 * p, init_params(jax.random.key(0), model))
    # No captioner that was trained on captions draws <NULL> or <START>.
    params["b_vocab"] = jnp.array([-30.0, -30.0, 0.0, 0.0, 0.0, 0.0])
    feature, reward = jnp.array([[0.5, -1.0, 2.0]]), WordCount()
    pairs = [pair for pair in itertools.product([2, 3, 4, 5], repeat=2) if pair[0] != 2]
    captions = jnp.array([(2, 0), *pairs], jnp.int32)

    def expected(params):
        words = jnp.stack([jnp.ones_like(captions[:, 0]), captions[:, 0]], axis=1)
        out = logits(params, model, jnp.repeat(feature, len(captions), axis=0), words)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(out), captions[..., None], axis=2)[..., 0]
        probabilities = jnp.exp(jnp.where(captions != 0, chosen, 0).sum(axis=1))
        return (probabilities * reward(None, captions)).sum(), probabilities.sum()

    (value, total), ascent = jax.value_and_grad(expected, has_aux=True)(params)
    assert float(total) == pytest.approx(1, abs=1e-5)

    training = TrainingConfig(batch_size=5000, objective="cider", num_epochs=1)
    captions = jnp.zeros((3, 3), jnp.int32)
    data = CaptionSet(captions, jnp.zeros(3, jnp.int32), Image(feature))
    state = init_state(jax.random.key(1), model, training, params)
    features = jnp.repeat(feature, 1000, axis=0)
    gradient = jax.jit(lambda ids, rewards: reward_gradient(params, model, features, ids, rewards))
    gradients, means = [], []
    for number in range(40):
        at = state._replace(step=jnp.int32(number))
        drawn = draw_samples(at, data, model=model, training=training, words=reward.vocabulary)
        rewards = jnp.asarray(reward(None, drawn.ids.reshape(-1, 2)).reshape(1000, 5))
        gradients.append(gradient(drawn.ids, rewards))
        means.append(rewards.mean())
    assert np.mean(jnp.stack(means)) == pytest.approx(float(value), abs=0.01)
    for name, up in ascent.items():
        found = np.stack([grads[name] for grads in gradients])
        error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
        assert (np.abs(found.mean(axis=0) + up) <= 5 * error + 1e-6).all(), name
        assert np.abs(found.mean(axis=0)).max() > 10 * error.max(), name


def train(tiny, training):
    steps = RewardSteps(MODEL, training, CiderReward(tiny.train, tiny.vocabulary))
    state = init_state(jax.random.key(0), MODEL, training)
    return list(fit(state, MODEL, training, tiny.train, make_steps=steps))


TRAINING = TrainingConfig(
    batch_size=20, num_epochs=150, objective="cider", optimiser=OptimiserConfig(1e-2)
)


def test_reward_rises(tiny):
    rewards = -np.concatenate([progress.losses for progress in train(tiny, TRAINING)])
    assert len(rewards) == 300
    assert rewards[-20:].mean() > 2 * rewards[:20].mean() > 0


def test_going_on_from_any_state_gives_the_same_bits(tiny):
    model = dataclasses.replace(MODEL, dropout=0.3)
    training = dataclasses.replace(TRAINING, num_epochs=4, log_every=1)
    steps = RewardSteps(model, training, CiderReward(tiny.train, tiny.vocabulary))

    def run(state, stop=99):
        for progress in fit(state, model, training, tiny.train, make_steps=steps):
            if progress.iteration == stop:
                return progress.state
        return progress.state

    whole = run(init_state(jax.random.key(0), model, training))
    rest = run(run(init_state(jax.random.key(0), model, training), stop=3))
    jax.tree.map(np.testing.assert_array_equal, whole.params, rest.params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 12}, "samples that divide batch_size, got 5 and 12"),
        ({"samples": 1}, "2 or more samples"),
        ({"order": "shuffle"}, "draws images with replacement, got the order shuffle"),
        ({"label_smoothing": 0.1}, "leave out label_smoothing"),
        ({"objective": "bleu"}, "objective must be one of likelihood, cider, got bleu"),
    ],
)
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TRAINING, **change)
