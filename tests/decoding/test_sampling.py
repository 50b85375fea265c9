"""Sampled captions against the probabilities that they should have."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import END, START, every_caption, log_probs, log_softmax, said, score, tables, write

from jaxcap.decoding.sampling import Sampling, draw, word_weights

WORDS, LENGTH, DRAWS = 5, 3, 3200


def keys(num, seed=0):
    return jax.random.split(jax.random.key(seed), num)


def part(logits, strategy):
    """The distribution that `strategy` draws from, by sorting: one row at a time."""
    p = np.exp(log_softmax(logits / strategy.temperature))
    order = np.argsort(-p)
    if strategy.top_k is not None:
        p[order[strategy.top_k :]] = 0
        p /= p.sum()
    if strategy.top_p is not None:
        p[order[(np.cumsum(p[order]) - p[order]) >= strategy.top_p]] = 0
    return p / p.sum()


def assert_likely(counts, probabilities):
    """Pearson's chi-squared, at four standard deviations."""
    assert counts[probabilities == 0].sum() == 0
    counts, p = counts[probabilities > 0], probabilities[probabilities > 0]
    expected = counts.sum() * p
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1e-9))
    freedom = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5, (counts, expected)


STRATEGIES = {
    "all": {},
    "cold": {"temperature": 0.6},
    "top_k": {"top_k": 3},
    "top_p": {"top_p": 0.8},
    "all three": {"temperature": 1.7, "top_k": 4, "top_p": 0.7},
}


@pytest.mark.parametrize("name", STRATEGIES)
def test_captions_come_as_often_as_they_should(name):
    strategy = Sampling(32, **STRATEGIES[name])
    table = tables(1, WORDS, 4, scale=1.0)
    steps = product(range(WORDS), range(LENGTH))
    rows = {(b, t): part(log_probs(table[0], b, t), strategy) for b, t in steps}
    p = {
        (*c,): np.prod(
            [rows[b, t][w] for t, (b, w) in enumerate(zip((START, *c), c, strict=False))]
        )
        for c in every_caption(WORDS, LENGTH)
    }
    counts = dict.fromkeys(p, 0)
    for key in keys(DRAWS // 32):
        found = write(table, strategy, LENGTH, key[None])
        for k in range(32):
            counts[tuple(said(found, 0, k))] += 1
    assert_likely(np.array([*counts.values()]), np.array([*p.values()]))


@pytest.mark.parametrize("strategy", [Sampling(4), Sampling(4, 0.5, top_k=3, top_p=0.9)])
def test_log_probabilities_are_the_models_own(strategy):
    table = tables(3, 9)
    found = write(table, strategy, 7, keys(3))
    for n, k in product(range(3), range(4)):
        expected = score(table[n], said(found, n, k))
        np.testing.assert_allclose(found.log_probs[n, k], expected, atol=1e-5)
    np.testing.assert_array_equal(found.scores, found.log_probs)


@pytest.mark.slow
def test_what_is_drawn_depends_on_the_images_own_key_alone():
    table, own = tables(40, 9, scale=1.0), keys(40)
    together = write(table, Sampling(2), 12, own)
    for n in range(0, 40, 8):
        alone = write(table[n : n + 1], Sampling(2), 12, own[n : n + 1])
        np.testing.assert_array_equal(alone.ids[0], together.ids[n])
    shorter = write(table[:8], Sampling(2), 5, own[:8])
    np.testing.assert_array_equal(shorter.ids, together.ids[:8, :, :5])
    other = write(table, Sampling(2), 12, keys(40, seed=1))
    assert (other.ids != together.ids).any()
    assert (together.ids[:, 0] != together.ids[:, 1]).any()


def test_old_style_keys_do_as_well():
    table = tables(3, 9)
    new = write(table, Sampling(2), 6, keys(3))
    old = write(table, Sampling(2), 6, jax.random.key_data(keys(3)))
    np.testing.assert_array_equal(new.ids, old.ids)


@pytest.mark.parametrize("num_words", [5, 64, 1000])
def test_a_draw_inverts_the_distribution(num_words):
    rng = np.random.default_rng(0)
    weights = rng.random(num_words).astype(np.float32) * (rng.random(num_words) < 0.6)
    uniform = (np.arange(2000, dtype=np.float32) + 0.5) / 2000
    words = draw(jnp.tile(weights, (2000, 1)), jnp.asarray(uniform))
    assert (np.diff(words) >= 0).all()
    counts = np.bincount(words, minlength=num_words)
    assert (counts[weights == 0] == 0).all()
    np.testing.assert_allclose(counts / 2000, weights / weights.sum(), atol=1.1 / 2000)


def test_a_draw_never_gives_a_word_of_weight_zero():
    weights = np.zeros((4, 300), np.float32)
    weights[:, [3, 130]] = 1, 1e-8
    words = draw(jnp.asarray(weights), jnp.array([0, 0.5, 1 - 2**-24, 1], jnp.float32))
    assert set(np.asarray(words).tolist()) <= {3, 130}


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.999, 1.0])
def test_the_nucleus_is_that_of_a_sort(top_p):
    logits = tables(1, 200, 1)[0]
    weights = np.asarray(word_weights(jnp.asarray(logits), Sampling(top_p=top_p)))
    for row, kept in zip(logits, weights, strict=True):
        np.testing.assert_allclose(
            kept / kept.sum(), part(row, Sampling(top_p=top_p)), rtol=1e-4, atol=1e-12
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_samples": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.1},
    ],
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_sampling_needs_keys():
    with pytest.raises(ValueError, match="needs a key"):
        write(tables(1, 5), Sampling())


def test_the_end_is_drawn_like_any_word():
    table = tables(1, 5)
    table[..., END] = 50
    found = write(table, Sampling(3), 4, keys(1))
    assert found.finished.all() and not found.lengths.any()
