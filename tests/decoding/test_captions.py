"""Sentences of any number of images from a captioner."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import caption_images, decode, decode_images, sample
from jaxcap.decoding.rules import Constraints, vocabulary_constraints
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits, start, step, word_table
from jaxcap.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a", "cat", "on", "grass", "dog", "of"])
V = len(VOCABULARY)
KEY = jax.random.key(7)
STRATEGIES = [Greedy(), Sampling(2), Beam(3)]


def make(cell="lstm", vocab_size=V, feed_features=False):
    config = CaptionerConfig(
        vocab_size=vocab_size,
        feature_dim=6,
        wordvec_dim=16,
        hidden_dim=32,
        cell=cell,
        feed_features=feed_features,
    )
    return {k: 4 * p for k, p in init_params(jax.random.key(0), config).items()}, config


def features(num):
    return np.random.default_rng(2).standard_normal((num, 6)).astype(np.float32)


@pytest.mark.parametrize("feed", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batches_of_other_sizes_give_the_same(strategy, feed):
    params, config = make(feed_features=feed)
    whole, parts = (
        decode_images(
            params, config, VOCABULARY, features(11), strategy=strategy, key=KEY, batch_size=size
        )
        for size in (128, 4)
    )
    assert all(isinstance(x, np.ndarray) and len(x) == 11 for x in whole)
    assert len({row.tobytes() for row in whole.ids[:, 0]}) > 3
    for name in ("ids", "lengths", "finished"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.log_probs, parts.log_probs, atol=1e-5)


def test_no_images_give_no_captions():
    params, config = make()
    decoded = decode_images(params, config, VOCABULARY, features(0), strategy=Sampling(2), key=KEY)
    assert decoded.ids.shape[0] == len(decoded.log_probs) == 0
    assert caption_images(params, config, VOCABULARY, features(0)) == []


def test_other_numbers_of_images_seldom_compile():
    params, config = make()
    before = decode._cache_size()
    for num in (5, 6, 7, 8, 9, 19, 16, 12):
        caption_images(params, config, VOCABULARY, features(num), strategy=Beam(2), batch_size=16)
    # Of 8 and of 16 images.
    assert decode._cache_size() - before == 2


@pytest.mark.parametrize("strategy", [None, *STRATEGIES])
def test_no_special_words_are_shown(strategy):
    params, config = make()
    # A captioner that would say nothing else.
    params["b_vocab"] = params["b_vocab"].at[jnp.array([0, 1, 3])].set(20.0)
    plain = sample(params, config, jnp.asarray(features(9)))
    assert set(np.unique(plain.ids).tolist()) <= {0, 1, 3}
    captions = caption_images(
        params, config, VOCABULARY, features(9), strategy=strategy, key=KEY, max_length=8
    )
    assert len(captions) == 9 and any(captions)
    assert not any("<" in caption for caption in captions)
    shown = caption_images(
        params, config, VOCABULARY, features(9), constraints=Constraints((0, 1)), max_length=8
    )
    assert all("<UNK>" in caption for caption in shown)


@pytest.mark.slow
def test_the_best_beam_is_the_caption():
    params, config = make()
    rules = vocabulary_constraints(
        VOCABULARY, no_repeat_ngram=2, bad_last=["a", "of"], min_length=2
    )
    options = {"strategy": Beam(4, "average"), "constraints": rules, "max_length": 9}
    captions = caption_images(params, config, VOCABULARY, features(9), **options)
    decoded = decode_images(params, config, VOCABULARY, features(9), **options)
    assert captions == [VOCABULARY.decode(row) for row in decoded.ids[:, 0]]


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_looking_up_equals_multiplying(cell):
    params, config = make(cell)
    table, carry = word_table(params), start(params, config, jnp.asarray(features(5)))
    looked_up = carry
    for words in ([1] * 5, [3, 4, 5, 6, 7], [2, 0, 9, 8, 7]):
        words = jnp.array(words)
        carry, scores = step(params, config, carry, words)
        looked_up, same = step(params, config, looked_up, words, table)
        np.testing.assert_allclose(same, scores, atol=2e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), carry, looked_up)


@pytest.mark.slow
def test_fed_features_stay_with_their_captions():
    """However rows are reordered, each caption is as likely as teacher forcing says."""
    params, config = make(feed_features=True)
    params["W_feed"] *= 20
    found = decode_images(params, config, VOCABULARY, features(9), strategy=Beam(3), max_length=8)
    for k in range(3):
        words = jnp.pad(jnp.asarray(found.ids[:, k]), ((0, 0), (1, 0)), constant_values=1)
        each = jax.nn.log_softmax(logits(params, config, jnp.asarray(features(9)), words[:, :-1]))
        chosen = jnp.take_along_axis(each, words[:, 1:, None], axis=2)[..., 0]
        expected = jnp.where(words[:, 1:] != 0, chosen, 0).sum(axis=1)
        np.testing.assert_allclose(found.log_probs[:, k], expected, atol=1e-4)


def test_large_vocabularies_are_not_looked_up_for_few_images():
    params, config = make(vocab_size=300)
    few = decode(params, config, jnp.asarray(features(3)), Beam(2), max_length=5)
    tables = [word_table(params)]
    same = decode(params, config, jnp.asarray(features(3)), Beam(2), tables=tables, max_length=5)
    np.testing.assert_array_equal(few.ids, same.ids)
    text = str(jax.make_jaxpr(lambda p, x: sample(p, config, x).ids)(params, features(3)))
    assert "f32[300,128]" not in text


def test_what_does_not_fit_is_refused():
    params, config = make(vocab_size=V + 1)
    with pytest.raises(ValueError, match=f"the model has {V + 1} words and the vocabulary {V}"):
        caption_images(params, config, VOCABULARY, features(2))
    params, config = make()
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        caption_images(params, config, VOCABULARY, features(2), batch_size=0)
    with pytest.raises(ValueError, match="needs a key for each image"):
        caption_images(params, config, VOCABULARY, features(2), strategy=Sampling())
