"""Models at the edges, alone and in a batch, under every strategy: nobody goes empty-handed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal
from markov import END, log_softmax, said, score, tables, write

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import decode
from jaxcap.decoding.hypotheses import Hypotheses
from jaxcap.decoding.rules import Constraints
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy, captions_each, write_captions
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits

WORDS, LENGTH = 6, 6
STRATEGIES = {
    "greedy": Greedy(),
    "sampling": Sampling(3),
    "beam": Beam(3, "average"),
    "diverse": Beam(4, groups=2),
    "wider than the vocabulary": Beam(12),
}
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


def edge_models():
    """A model that ends at once, one that never ends, and three of the usual kind."""
    table = tables(5, WORDS)
    table[0, :, END] = 90
    table[1, :, END] = -np.inf
    return table


def keys(num):
    return jax.random.split(jax.random.key(0), num)


def check(table, found, strategy, length):
    assert found.ids.shape == (len(table), captions_each(strategy), length)
    assert (found.log_probs[:, 0] > -np.inf).all()
    for n in range(len(table)):
        for k in range(captions_each(strategy)):
            ids = said(found, n, k)
            if found.log_probs[n, k] > -np.inf:
                np.testing.assert_allclose(
                    found.log_probs[n, k], score(table[n], ids), rtol=1e-5, atol=1e-5
                )


@each_strategy
def test_a_batch_of_edges_and_each_alone(strategy):
    table = edge_models()
    found = write(table, strategy, LENGTH, keys(5))
    check(table, found, strategy, LENGTH)
    assert found.finished[0, 0] and found.lengths[0, 0] == 0
    real = np.isfinite(found.log_probs[1])
    assert real[0] and not found.finished[1].any()
    assert (found.lengths[1][real] == LENGTH).all()
    for n in range(5):
        alone = write(table[n : n + 1], strategy, LENGTH, keys(5)[n : n + 1])
        for one, many in zip(alone, found, strict=True):
            np.testing.assert_allclose(one[0], many[n], rtol=1e-6)


@each_strategy
def test_one_step_at_most(strategy):
    table = edge_models()
    found = write(table, strategy, 1, keys(5))
    check(table, found, strategy, 1)
    assert found.finished[0, 0] and not found.finished[1].any()
    assert found.lengths[1, 0] == 1


@each_strategy
@pytest.mark.parametrize("num", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_an_untrained_captioner(strategy, num):
    config = CaptionerConfig(vocab_size=WORDS, feature_dim=4, wordvec_dim=6, hidden_dim=8)
    params = init_params(jax.random.key(0), config)
    features = normal(1, (num, 4))
    found = decode(params, config, features, strategy, keys=keys(num), max_length=LENGTH)
    found = Hypotheses(*map(np.asarray, found))
    forced = jax.jit(partial(logits, config=config))
    for n, k in np.argwhere(np.isfinite(found.log_probs)):
        ids = said(found, n, k)
        read = jnp.array([[1, *ids, *[0] * (LENGTH - len(ids))]], jnp.int32)
        rows = log_softmax(forced(params, features=features[n : n + 1], words=read)[0])
        expected = rows[np.arange(len(ids)), ids].sum()
        np.testing.assert_allclose(found.log_probs[n, k], expected, atol=1e-5)
    assert np.isfinite(found.log_probs[:, 0]).all()


@pytest.mark.slow
@each_strategy
def test_nothing_left_to_say_ends_the_caption_unfinished(strategy):
    rules = Constraints(forbidden=(0, 1, 3, 4, 5), min_length=2)
    found = write(edge_models(), strategy, LENGTH, keys(5), rules)
    assert not found.ids.any() and not found.lengths.any() and not found.finished.any()
    assert (found.log_probs[:, 0] == 0).all()


@each_strategy
def test_nothing_left_to_say_after_some_words(strategy):
    """Two words may be said once each, and more would be needed to end."""
    rules = Constraints(forbidden=(0, 1), no_repeat_ngram=1, min_length=4)
    table = tables(5, WORDS)
    table[..., 5] = -np.inf
    found = write(table, strategy, 6, keys(5), rules)
    assert (found.lengths[:, 0] == 2).all() and not found.finished.any()
    check(table, found, strategy, 6)


@each_strategy
def test_a_model_of_nan_stops(strategy):
    table = tables(5, WORDS)
    sane = write(table, strategy, LENGTH, keys(5))
    table[0] = np.nan
    found = write(table, strategy, LENGTH, keys(5))
    assert not found.finished[0].any() and not found.lengths[0].any()
    np.testing.assert_array_equal(sane.ids[1:], found.ids[1:])


def test_unscored_greedy_says_the_same():
    table = edge_models()
    scored = write(table, Greedy(), LENGTH, keys(5))
    unscored = write(table, Greedy(scored=False), LENGTH)
    np.testing.assert_array_equal(scored.ids, unscored.ids)
    assert np.isnan(unscored.log_probs).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [
        (Greedy(), jnp.bfloat16),
        (Sampling(2, top_p=0.9), jnp.float64),
        (Beam(2), jnp.bfloat16),
        (Beam(2), jnp.float64),
    ],
)
def test_other_widths_of_numbers(strategy, dtype, x64):
    table = jnp.asarray(tables(3, WORDS), dtype)

    def step(carry, words):
        return carry, jnp.take_along_axis(carry, words[:, None, None], axis=1)[:, 0]

    found = write_captions(
        step, table, strategy, num=3, keys=keys(3), start=1, end=END, max_length=4
    )
    assert found.log_probs.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32)
    assert found.ids.dtype == found.lengths.dtype == jnp.int32
