"""Sampled captions against the probabilities that they should have."""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import (
    START,
    every_caption,
    log_probs,
    log_softmax,
    permitted,
    said,
    score,
    tables,
    write,
)

from jaxcap.decoding.rules import Rules
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
    """Pearson's chi-squared, at four standard deviations, rare captions counted as one."""
    assert counts[probabilities == 0].sum() == 0
    expected = counts.sum() * probabilities
    rare = expected < 5
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], max(expected[rare].sum(), 1e-9))
    freedom = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5, (counts, expected)


@pytest.mark.parametrize(
    ("strategy", "rules"),
    [
        (Sampling(), Rules(max_length=LENGTH)),
        (Sampling(temperature=0.6), Rules(max_length=LENGTH)),
        (Sampling(temperature=1.7, top_k=4, top_p=0.7), Rules(max_length=LENGTH)),
        # Draws follow the words that are left.
        (Sampling(top_k=2), Rules(max_length=LENGTH, forbidden=(0, 1))),
    ],
)
def test_captions_come_as_often_as_they_should(strategy, rules):
    table = tables(1, WORDS, 4, scale=1.0)

    def row(before, t):
        logits = np.array(log_probs(table[0], before, t))
        logits[list(rules.forbidden)] = -np.inf
        return part(logits, strategy)

    rows = {(b, t): row(b, t) for b, t in product(range(WORDS), range(LENGTH))}
    steps = {(*c,): enumerate(zip((START, *c), c, strict=False)) for c in every_caption(5, 3)}
    p = {c: np.prod([rows[b, t][w] for t, (b, w) in pairs]) for c, pairs in steps.items()}
    counts = dict.fromkeys(p, 0)
    for key in keys(DRAWS // 32):
        found = write(table, replace(strategy, num_samples=32), rules, key[None])
        for k in range(32):
            counts[tuple(said(found, 0, k))] += 1
    assert_likely(np.array([*counts.values()]), np.array([*p.values()]))


def test_captions_keep_the_rules_and_log_probabilities_are_the_models_own():
    table, rules = tables(6, 6), Rules(1, 2, 0, 7, (0, 1), 2, 3, (4,), (3, 3))
    found = write(table, Sampling(4, 0.8, top_k=5), rules, keys(6))
    for n, k in product(range(6), range(4)):
        words = said(found, n, k)
        assert all(permitted(rules, words[: end + 1]) for end in range(len(words))), words
        if not found.finished[n, k] and len(words) < 7:
            assert not any(permitted(rules, [*words, w]) for w in range(6)), words
        np.testing.assert_allclose(found.log_probs[n, k], score(table[n], words), atol=1e-5)
    np.testing.assert_array_equal(found.scores, found.log_probs)


def test_what_is_drawn_depends_on_the_images_own_key_alone():
    """Neither on the batch, as `test_decoders.py` has it, nor on the longest caption."""
    table, rules = tables(6, 9, scale=1.0), Rules(max_length=12)
    long = write(table, Sampling(2), rules, keys(6))
    short = write(table, Sampling(2), Rules(max_length=5), keys(6))
    np.testing.assert_array_equal(short.ids, long.ids[:, :, :5])
    old_style = write(table, Sampling(2), rules, jax.random.key_data(keys(6)))
    np.testing.assert_array_equal(old_style.ids, long.ids)
    assert (write(table, Sampling(2), rules, keys(6, seed=1)).ids != long.ids).any()
    assert (long.ids[:, 0] != long.ids[:, 1]).any()


def test_a_draw_inverts_the_distribution_and_never_gives_a_word_of_weight_zero():
    rng = np.random.default_rng(0)
    weights = rng.random(1000).astype(np.float32) * (rng.random(1000) < 0.6)
    uniform = (np.arange(2000, dtype=np.float32) + 0.5) / 2000
    words = jax.jit(draw)(jnp.tile(weights, (2000, 1)), jnp.asarray(uniform))
    assert (np.diff(words) >= 0).all()
    counts = np.bincount(words, minlength=1000)
    np.testing.assert_allclose(counts / 2000, weights / weights.sum(), atol=1.1 / 2000)
    weights = np.zeros((4, 300), np.float32)
    weights[:, [3, 130]] = 1, 1e-8
    words = jax.jit(draw)(jnp.asarray(weights), jnp.array([0, 0.5, 1 - 2**-24, 1], jnp.float32))
    assert set(np.asarray(words).tolist()) <= {3, 130}


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.999, 1.0])
def test_the_nucleus_is_that_of_a_sort(top_p):
    logits, strategy = tables(1, 200, 1)[0], Sampling(top_p=top_p)
    weights = np.asarray(jax.jit(word_weights, static_argnums=1)(jnp.asarray(logits), strategy))
    for row, kept in zip(logits, weights, strict=True):
        expected = part(row, strategy)
        np.testing.assert_allclose(kept / kept.sum(), expected, rtol=1e-4, atol=1e-12)
