"""Greedy decoding on models whose every step is known, and on a captioner."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal

from jaxcap.decoding.captions import caption_images, sample
from jaxcap.decoding.greedy import greedy
from jaxcap.nn.captioner import CaptionerConfig, init_params, start, step
from jaxcap.text.vocabulary import Vocabulary

START, END = 1, 2
V = 8


def scripted(scripts):
    """A model whose carry counts steps and which says what its script says, then `<END>`."""
    words = jnp.array(scripts)

    def step(t, read):
        del read
        word = jnp.take(words, t, axis=1, mode="fill", fill_value=END)
        return t + 1, jax.nn.one_hot(word, V)

    return partial(greedy, step, jnp.zeros((), jnp.int32), num=len(scripts), start=START, end=END)


def test_ids_lengths_and_padding():
    decoded = scripted([[4, 5, 2, 6], [7, 2, 7, 7], [2, 4, 4, 4]])(max_length=5)
    np.testing.assert_array_equal(decoded.ids, [[4, 5, 2, 0, 0], [7, 2, 0, 0, 0], [2, 0, 0, 0, 0]])
    np.testing.assert_array_equal(decoded.lengths, [2, 1, 0])
    assert decoded.finished.all()


def test_end_that_never_comes_stops_at_the_limit():
    decoded = scripted([[4] * 9, [5, 2] + [4] * 7])(max_length=4)
    np.testing.assert_array_equal(decoded.ids, [[4, 4, 4, 4], [5, 2, 0, 0]])
    np.testing.assert_array_equal(decoded.lengths, [4, 1])
    np.testing.assert_array_equal(decoded.finished, [False, True])


def test_one_step_at_most():
    decoded = scripted([[4, 2], [2, 2]])(max_length=1)
    np.testing.assert_array_equal(decoded.ids, [[4], [2]])
    np.testing.assert_array_equal(decoded.lengths, [1, 0])
    np.testing.assert_array_equal(decoded.finished, [False, True])


def test_stops_early_when_all_have_ended():
    steps = []

    def counting(t, read):
        jax.debug.callback(lambda _: steps.append(1), t)
        return t + 1, jax.nn.one_hot(jnp.where(t < 2, 5, END) + 0 * read, V)

    decoded = greedy(counting, jnp.zeros((), jnp.int32), num=2, start=START, end=END, max_length=20)
    decoded.ids.block_until_ready()
    jax.effects_barrier()
    assert len(steps) == 3


def test_reads_the_word_that_it_wrote():
    """The model answers with the word after the one it read: 1 -> 3 -> 4 -> ... -> 7 -> <END>."""

    def after(carry, read):
        word = jnp.where(read == START, 3, jnp.where(read == 7, END, read + 1))
        return carry, jax.nn.one_hot(word, V)

    decoded = greedy(after, jnp.zeros(()), num=1, start=START, end=END, max_length=10)
    np.testing.assert_array_equal(decoded.ids[0], [3, 4, 5, 6, 7, 2, 0, 0, 0, 0])


@pytest.fixture(scope="module")
def captioner():
    model = CaptionerConfig(vocab_size=V, feature_dim=6, wordvec_dim=16, hidden_dim=32)
    params = init_params(jax.random.key(0), model)
    # Large weights make an untrained captioner say different things of different images.
    return {name: 4 * p for name, p in params.items()}, model


@pytest.mark.parametrize("cell", ["lstm", "rnn"])
def test_equals_a_python_loop_over_steps(cell):
    model = CaptionerConfig(vocab_size=V, feature_dim=6, wordvec_dim=5, hidden_dim=9, cell=cell)
    params = {k: 4 * p for k, p in init_params(jax.random.key(1), model).items()}
    features = normal(2, (5, 6))
    decoded = sample(params, model, features, max_length=12)
    for n in range(5):
        carry, word, said = start(params, model, features[n : n + 1]), START, []
        while word != END and len(said) < 12:
            carry, scores = step(params, model, carry, jnp.array([word]))
            word = int(scores.argmax())
            said.append(word)
        np.testing.assert_array_equal(decoded.ids[n], said + [0] * (12 - len(said)))


def test_one_alone_equals_one_in_a_batch(captioner):
    params, model = captioner
    features = normal(2, (7, 6))
    together = sample(params, model, features)
    assert len({tuple(row) for row in np.asarray(together.ids).tolist()}) > 1
    for n in range(7):
        alone = sample(params, model, features[n : n + 1])
        np.testing.assert_array_equal(alone.ids[0], together.ids[n])
        assert int(alone.lengths[0]) == int(together.lengths[n])


def test_sentences_do_not_depend_on_the_batch_size(captioner):
    params, model = captioner
    vocabulary = Vocabulary.build(["a", "cat", "on", "grass"])
    features = normal(2, (7, 6))
    whole = caption_images(params, model, vocabulary, features)
    assert len(whole) == 7
    assert whole == caption_images(params, model, vocabulary, features, batch_size=3)
    assert not any("<START>" in s or "<END>" in s or "<NULL>" in s for s in whole)
