"""Captions of any number of images from a captioner, and from several as one."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import log_softmax

from jaxcap.data.image import Image
from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import (
    Captioner,
    caption_images,
    decode,
    decode_images,
)
from jaxcap.decoding.rules import Rules
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.nn.captioner import logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import init_params
from jaxcap.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(["a", "cat", "on", "grass", "dog", "of"])
V = len(VOCABULARY)
KEY = jax.random.key(7)
# Of five images and three beams, which are so few rows that programs have one loop.
NUM = 5


@cache
def initial(cell, seed, vocab_size):
    config = CaptionerConfig(
        vocab_size, 6, wordvec_dim=16, hidden_dim=32, cell=cell, feed_features=cell == "lstm"
    )
    params = jax.jit(init_params, static_argnums=1)(jax.random.key(seed), config)
    # Large weights make a captioner say different things of different images.
    params = {name: np.array(4 * value) for name, value in params.items()}
    params["b_vocab"][2] = -6
    if cell == "lstm":
        params["W_feed"] *= 20
    return params, config


def make(cell="lstm", seed=0, vocabulary=VOCABULARY):
    params, config = initial(cell, seed, len(vocabulary))
    return Captioner({k: jnp.asarray(p) for k, p in params.items()}, config, vocabulary)


def features(num):
    return np.random.default_rng(2).standard_normal((num, 6)).astype(np.float32)


def probabilities(captioner, ids):
    """Of the words after each of `ids` (N, T) by teacher forcing, (N, T, V)."""
    read = jnp.pad(jnp.asarray(ids), ((0, 0), (1, 0)), constant_values=1)
    forced = jax.jit(partial(logits, config=captioner.config))
    rows = forced(captioner.params, image=jnp.asarray(features(len(ids))), words=read)
    return np.exp(log_softmax(rows))


@pytest.mark.parametrize(
    ("strategy", "cells"),
    [
        (Greedy(), ["lstm"]),
        (Sampling(2), ["lstm"]),
        (Beam(3), ["lstm"]),
        (Beam(3), ["lstm", "flax.linen.GRUCell"]),
    ],
)
def test_log_probabilities_are_those_of_teacher_forcing(strategy, cells):
    """However rows are reordered, features stay with their captions; ensembles average."""
    captioners = [make(cell, seed) for seed, cell in enumerate(cells)]
    found = decode_images(captioners, features(NUM), strategy, key=KEY)
    assert len({row.tobytes() for row in found.ids[:, 0]}) >= 3
    for k in range(strategy.captions_each):
        every = np.mean([probabilities(one, found.ids[:, k]) for one in captioners], axis=0)
        chosen = np.take_along_axis(every[:, :-1], found.ids[:, k, :, None], axis=2)[..., 0]
        expected = np.where(found.ids[:, k] != 0, np.log(chosen), 0).sum(axis=1)
        np.testing.assert_allclose(found.log_probs[:, k], expected, rtol=1e-5, atol=1e-4)


def test_batches_of_other_sizes_give_the_same():
    whole, parts = (
        make().hypotheses(features(NUM), Sampling(2), key=KEY, batch_size=size) for size in (128, 2)
    )
    assert all(isinstance(x, np.ndarray) and len(x) == NUM for x in whole)
    for name in ("ids", "lengths", "finished"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    np.testing.assert_allclose(whole.log_probs, parts.log_probs, rtol=1e-5)


def test_a_caption_is_a_sentence_and_its_log_probability():
    """The best of three beams, which the search looks for alone; an array or an `Image`."""
    captioner = make()
    found = captioner.hypotheses(features(NUM), Beam(3))
    captions = captioner.decode(features(NUM))
    spelled = [VOCABULARY.decode(row) for row in found.ids[:, 0]]
    assert [sentence for sentence, _ in captions] == spelled
    np.testing.assert_allclose([nats for _, nats in captions], found.log_probs[:, 0], rtol=1e-5)
    assert captions == captioner.decode(Image(jnp.asarray(features(NUM))))
    assert captioner.decode(features(0)) == []
    # It is a pytree of its parameters.
    same = jax.tree.map(lambda value: value + 0, captioner)
    assert captions == same.decode(features(NUM))


def test_other_numbers_of_images_seldom_compile():
    captioner, before = make(), decode._cache_size()
    for num in (5, 6, 7, 8, 9, 19, 16, 12):
        captioner.hypotheses(features(num), Greedy(scored=False), batch_size=16)
    # Of 8 and of 16 images.
    assert decode._cache_size() - before == 2


@pytest.mark.parametrize("strategy", [None, Greedy(), Sampling(2)])
def test_no_special_words_are_shown(strategy):
    captioner = make()
    # A captioner that would say nothing else.
    captioner.params["b_vocab"] = captioner.params["b_vocab"].at[jnp.array([0, 1, 3])].set(20.0)
    captions = captioner.decode(features(NUM), strategy, key=KEY)
    assert len(captions) == NUM and any(sentence for sentence, _ in captions)
    assert not any("<" in sentence for sentence, _ in captions)
    if strategy == Greedy():
        shown = captioner.decode(features(NUM), strategy, rules=Rules(forbidden=(0, 1)))
        assert all("<UNK>" in sentence for sentence, _ in shown)


@pytest.mark.parametrize(("num_words", "looked_up"), [(20, True), (300, False)])
def test_large_vocabularies_are_not_looked_up_for_few_images(num_words, looked_up):
    vocabulary = Vocabulary.build([f"w{i}" for i in range(num_words - 4)])
    captioner, image = make("rnn", vocabulary=vocabulary), Image(jnp.asarray(features(3)))
    text = str(jax.make_jaxpr(lambda c: decode((c,), image, Greedy(), Rules()).ids)(captioner))
    # The input product of every word with the bias.
    assert (f"f32[{num_words},32] = add" in text) == looked_up


def test_what_does_not_fit_is_refused():
    captioner = make()
    with pytest.raises(ValueError, match=f"the model has {V + 1} words and the vocabulary {V}"):
        replace(captioner, config=replace(captioner.config, vocab_size=V + 1))
    other = make(vocabulary=Vocabulary.build(["cat", "a", "on", "grass", "dog", "of"]))
    for captioners, message in (([], "at least one"), ([captioner, other], "different vocab")):
        with pytest.raises(ValueError, match=message):
            caption_images(captioners, features(2))
    smaller, image = make("rnn", vocabulary=Vocabulary.build(["a"])), Image(jnp.zeros((1, 6)))
    with pytest.raises(ValueError, match=r"vocabularies of \[10, 5\] words"):
        decode((captioner, smaller), image, Greedy(), Rules())
    with pytest.raises(ValueError, match="`batch_size` must be at least 1, got 0"):
        captioner.hypotheses(features(2), batch_size=0)
    with pytest.raises(ValueError, match="needs a random key: give `key`"):
        captioner.decode(features(2), Sampling())
