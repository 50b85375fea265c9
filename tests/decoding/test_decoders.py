"""Every strategy against its plain form, alone and in a batch, under rules, and at the edges."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import (
    END,
    START,
    _write,
    every_caption,
    normalised,
    plain_search,
    said,
    score,
    tables,
    write,
)

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Rules, constrain
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.top_words import top_words
from jaxcap.decoding.word_by_word import Greedy
from jaxcap.text.vocabulary import Vocabulary

WORDS, LENGTH = 6, 7
# So few images that most programs have one loop, and so many that rows are packed as captions end.
FEW, MANY = 6, 36
PLAIN = Rules(max_length=LENGTH)
RULES = {
    "none": PLAIN,
    "one step": Rules(max_length=1),
    "words": replace(PLAIN, forbidden=(0, 1, 3), bad_endings=(4, 5), min_length=2),
    # Three words may be said once each, and more are needed to end.
    "dead end": replace(PLAIN, forbidden=(0, 1), no_repeat_ngram=1, min_length=4),
    "prefix": replace(PLAIN, prefix=(5, 3), forbidden=(3,), min_length=4),
    "all": replace(
        PLAIN, forbidden=(0, 1), no_repeat_ngram=2, min_length=3, bad_endings=(4,), prefix=(3, 3)
    ),
}


def keys(num, seed=0):
    return jax.random.split(jax.random.key(seed), num)


@pytest.mark.parametrize(
    ("strategy", "rules"),
    [
        *((Beam(3, "average"), name) for name in RULES),
        *((Greedy(), name) for name in ("none", "words", "all")),
        (Beam(1), "none"),
        # Wider than the vocabulary.
        (Beam(8), "dead end"),
        (Beam(4, "gnmt", 0.7, groups=2), "all"),
        (Beam(4, groups=2, diversity=0.3), "none"),
        (Beam(5, groups=5, diversity=2.0), "none"),
    ],
)
def test_equals_a_search_over_lists(strategy, rules):
    """Captions, their order, log-probabilities and scores; one beam is greedy decoding."""
    rules, num = RULES[rules], 4 if strategy == Beam(8) else FEW
    table = tables(num, WORDS, scale=1.5)
    table[: num // 2, :, END] += 2
    beam = strategy if isinstance(strategy, Beam) else Beam(1)
    found = write(table, strategy, rules)
    for n in range(num):
        expected = plain_search(table[n], beam, rules)
        assert [said(found, n, k) for k in range(len(expected))] == expected
        log_probs = [score(table[n], words) for words in expected]
        np.testing.assert_allclose(found.log_probs[n, : len(expected)], log_probs, atol=1e-5)
        scores = [normalised(table[n], words, beam) for words in expected]
        np.testing.assert_allclose(found.scores[n, : len(expected)], scores, atol=1e-5)
        # There may be fewer captions than beams.
        assert np.isneginf(found.log_probs[n, len(expected) :]).all()
        assert not found.finished[n, len(expected) :].any()


def test_wide_enough_beam_search_is_exhaustive():
    table, length = tables(1, 3), 4
    captions = [tuple(caption) for caption in every_caption(3, length)]
    beam = Beam(len(captions), "gnmt", alpha=0.7)
    found = write(table, beam, Rules(max_length=length))
    scores = {caption: normalised(table[0], caption, beam) for caption in captions}
    order = sorted(captions, key=lambda caption: (caption[-1] != END, -scores[caption]))
    assert [tuple(said(found, 0, k)) for k in range(len(order))] == order
    np.testing.assert_allclose(found.scores[0], [scores[caption] for caption in order], 1e-5)


@pytest.mark.parametrize(
    "strategy", [Greedy(), Sampling(3), Beam(3, "average"), Beam(4, "gnmt", groups=2)]
)
def test_a_batch_of_edges_and_each_alone(strategy):
    """Of models that end at once, never end, or are NaN, and of the usual kind."""
    table = tables(MANY, WORDS)
    table[0, :, END], table[1, :, END], table[2] = 90, -np.inf, np.nan
    found = write(table, strategy, PLAIN, keys(MANY))
    assert found.ids.shape == (MANY, strategy.captions_each, LENGTH)
    # Nobody goes empty-handed.
    assert (np.delete(found.log_probs[:, 0], 2) > -np.inf).all()
    assert found.finished[0, 0] and found.lengths[0, 0] == 0
    real = np.isfinite(found.log_probs[1])
    assert real[0] and not found.finished[1].any() and (found.lengths[1][real] == LENGTH).all()
    assert not found.finished[2].any() and not found.lengths[2].any()
    assert len(set(found.lengths[3:, 0].tolist())) > 3
    for n in (0, 1, 3, 10, MANY - 1):
        alone = write(table[n : n + 1], strategy, PLAIN, keys(MANY)[n : n + 1])
        for one, many in zip(alone, found, strict=True):
            np.testing.assert_allclose(one[0], many[n], rtol=1e-5)


@pytest.mark.parametrize("strategy", [Sampling(3), Beam(4, groups=2)])
def test_nothing_left_to_say_ends_the_caption_unfinished(strategy):
    table = tables(FEW, WORDS)
    table[..., 5] = -np.inf
    found = write(table, strategy, RULES["dead end"], keys(FEW))
    assert (found.lengths[:, 0] == 2).all() and not found.finished.any()
    expected = [score(table[n], said(found, n, 0)) for n in range(FEW)]
    np.testing.assert_allclose(found.log_probs[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("normalisation", ["average", "gnmt"])
def test_stopping_at_the_best_changes_nothing_about_it(normalisation):
    table, beam = tables(FEW, WORDS, scale=1.5), Beam(4, normalisation)
    every, best = (write(table, b, PLAIN) for b in (beam, replace(beam, best_only=True)))
    np.testing.assert_array_equal(every.ids[:, 0], best.ids[:, 0])
    np.testing.assert_allclose(every.scores[:, 0], best.scores[:, 0], rtol=1e-5)
    assert (best.lengths.sum(), best.finished.sum()) < (every.lengths.sum(), every.finished.sum())


def test_memory_does_not_grow_with_the_length():
    def temporary(length):
        lowered = _write.lower(tables(8, WORDS), Beam(4), Rules(max_length=length))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    ids = 8 * 4 * 4
    assert temporary(400) - temporary(100) <= 4 * 300 * ids


@pytest.mark.parametrize("strategy", [Greedy(), Beam(1), Sampling()])
def test_reads_the_word_that_it_wrote_and_stops_when_all_have_ended(strategy):
    """The model answers with the word after the one it read; the carry is the first word."""
    steps = []

    def after(first, read):
        jax.debug.callback(lambda _: steps.append(1), first[0])
        word = jnp.where(read == START, first, jnp.where(read == 5, END, read + 1))
        return first, 99 * jax.nn.one_hot(word, WORDS)

    @jax.jit
    def write(first, keys):
        return strategy.write(after, first, Rules(max_length=20), 2, keys)

    found = write(jnp.array([3, 5]), keys(2))
    assert [said(found, n, 0) for n in range(2)] == [[3, 4, 5, END], [5, END]]
    jax.effects_barrier()
    assert len(steps) == 4


@pytest.mark.parametrize(
    ("strategy", "dtype"), [(Sampling(2, top_p=0.9), jnp.float64), (Beam(2), jnp.bfloat16)]
)
def test_other_widths_of_numbers(strategy, dtype, x64):
    found = _write(jnp.asarray(tables(FEW, WORDS), dtype), strategy, PLAIN, keys(FEW))
    assert found.log_probs.dtype == (jnp.float64 if dtype == jnp.float64 else jnp.float32)
    assert found.ids.dtype == found.lengths.dtype == jnp.int32


def test_n_grams_by_hand():
    words = jnp.array([[3, 4, 5, 3, 4, 0, 0], [3, 3, 3, 3, 3, 0, 0], [3, 4, 3, 5, 3, 0, 0]])
    for n, banned in (
        (2, [{5}, {3}, {4, 5}]),
        (3, [{5}, {3}, set()]),
        (6, [set(), set(), set()]),
    ):
        rules = Rules(no_repeat_ngram=n)
        logits = constrain(rules, jnp.zeros((3, 7)), words.astype(jnp.int32), jnp.array(5))
        assert [set(np.flatnonzero(row)) for row in np.asarray(logits)] == banned


def test_words_become_ids():
    vocabulary = Vocabulary.build(["a", "cat", "of", "grass"])
    assert Rules.of(vocabulary) == Rules(forbidden=(0, 1, 3))
    assert Rules.of(
        vocabulary,
        forbidden=["grass", "dog"],
        bad_endings=["of", "a", "with"],
        prefix=["a", "cat"],
        max_length=9,
        min_length=3,
        no_repeat_ngram=2,
    ) == Rules(1, 2, 0, 9, (0, 1, 7), 2, 3, (4, 6), (4, 5))
    with pytest.raises(ValueError, match="lacks, dog bird: leave them out"):
        Rules.of(vocabulary, prefix=["a", "dog", "bird"])


IMPOSSIBLE = {
    Rules: {
        **{"max_length": [0], "min_length": [-1, 30], "forbidden": [(3, -1), (END,)]},
        "prefix": [(3, END), (3,) * 31],
    },
    Beam: {
        **{"width": [0], "normalisation": ["mean"], "alpha": [-1.0], "groups": [0, 2]},
        "diversity": [float("inf")],
    },
    Sampling: {
        **{"num_samples": [0], "temperature": [0.0, float("nan")], "top_k": [0]},
        "top_p": [0.0, 1.1],
    },
}


@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_impossible_numbers_are_refused(kind):
    for name, values in IMPOSSIBLE[kind].items():
        for value in values:
            with pytest.raises(ValueError, match=f"`{name}(=.*)?`"):
                kind(**{name: value})


@pytest.mark.parametrize("strategy", [Greedy(), Beam(2)])
def test_rules_on_words_that_there_are_not_are_refused(strategy):
    with pytest.raises(ValueError, match="`bad_endings` has id 6, expected 0 to 5"):
        write(tables(1, WORDS), strategy, Rules(bad_endings=(5, 6)))


@pytest.mark.parametrize("num_words", [7, 2053, 5000])
@pytest.mark.parametrize(("k", "equal"), [(1, False), (5, True), (200, False)])
def test_top_words_are_those_of_a_stable_sort(num_words, k, equal):
    logits = np.random.default_rng(0).standard_normal((20, num_words)).astype(np.float32)
    if equal:
        # Many equal logits, in one chunk and in several.
        logits = np.round(logits) + 0.0
    logits[:, -1] += 9
    values, ids = jax.jit(top_words, static_argnums=1)(logits, min(k, num_words))
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, 1))
