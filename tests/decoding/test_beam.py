"""Beam search against enumeration, greedy decoding and itself one image at a time."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import END, _write, every_caption, said, score, tables, write

from jaxcap.decoding.beam import NORMALISATIONS, Beam, beam_search
from jaxcap.decoding.strategies import Greedy


def normalised(log_prob, words, beam):
    divisors = {"none": 1, "average": words, "gnmt": ((5 + words) / 6) ** beam.alpha}
    return log_prob / divisors[beam.normalisation]


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("seed", [0, 1])
def test_wide_enough_it_equals_exhaustive_search(normalisation, seed):
    table, length = tables(2, 4, seed), 4
    beam = Beam(4**length, normalisation, alpha=0.7)
    found = write(table, beam, length)
    for n in range(2):
        captions = list(every_caption(4, length))
        scores = {tuple(c): normalised(score(table[n], c), len(c), beam) for c in captions}
        order = sorted(scores, key=lambda c: (c[-1] != END, -scores[c]))
        assert [tuple(said(found, n, k)) for k in range(len(order))] == order
        np.testing.assert_allclose(found.scores[n, : len(order)], [scores[c] for c in order], 1e-5)
        # There are fewer captions than beams.
        assert np.isneginf(found.log_probs[n, len(order) :]).all()
        assert not found.finished[n, len(order) :].any()
        assert not found.lengths[n, len(order) :].any()


@pytest.mark.parametrize("normalisation", ["none", "average"])
def test_one_beam_is_greedy(normalisation):
    table = tables(32, 9, scale=1.0)
    found = write(table, Beam(1, normalisation), 12)
    greedy = write(table, Greedy(), 12)
    assert 0 < greedy.finished.mean() < 1
    for name in ("ids", "lengths", "finished"):
        np.testing.assert_array_equal(getattr(found, name), getattr(greedy, name))
    np.testing.assert_allclose(found.log_probs, greedy.log_probs, rtol=1e-5)


@pytest.mark.parametrize("beam", [Beam(3), Beam(3, "average"), Beam(4, "gnmt", groups=2)])
def test_log_probabilities_scores_and_order(beam):
    table = tables(6, 9)
    found = write(table, beam, 8)
    for n in range(6):
        rows = [said(found, n, k) for k in range(beam.width)]
        log_probs = [score(table[n], row) for row in rows]
        np.testing.assert_allclose(found.log_probs[n], log_probs, atol=1e-5)
        scores = [normalised(p, len(row), beam) for p, row in zip(log_probs, rows, strict=True)]
        np.testing.assert_allclose(found.scores[n], scores, atol=1e-5)
        keys = [(not end, -s) for end, s in zip(found.finished[n], found.scores[n], strict=True)]
        assert keys == sorted(keys)
        if beam.groups == 1:
            assert len({tuple(row) for row in rows}) == beam.width


def test_equals_a_plain_search_over_lists():
    """The search as one would write it for one image, with lists of captions."""
    table, width, length = tables(6, 9, 3), 3, 8
    found = write(table, Beam(width, "average"), length)
    for n in range(6):
        ended, going = [], [[]]
        for _ in range(length):
            longer = [[*words, w] for words in going for w in range(9)]
            longer.sort(key=lambda words: -score(table[n], words))
            best = longer[: width - len(ended)]
            ended += [words for words in best if words[-1] == END]
            going = [words for words in best if words[-1] != END]
        beam = Beam(width, "average")

        def rank(words, n=n, beam=beam):
            return words[-1] != END, -normalised(score(table[n], words), len(words), beam)

        assert [said(found, n, k) for k in range(width)] == sorted(ended + going, key=rank)


@pytest.mark.parametrize("beam", [Beam(3), Beam(4, groups=2)])
def test_images_do_not_disturb_each_other(beam):
    """70 images are so many rows that the loop packs them as they end."""
    table = tables(70, 9, scale=1.5)
    together = write(table, beam, 12)
    assert len(set(np.asarray(together.lengths[:, 0]).tolist())) > 5
    for n in range(0, 70, 7):
        alone = write(table[n : n + 1], beam, 12)
        np.testing.assert_array_equal(alone.ids[0], together.ids[n])
        np.testing.assert_array_equal(alone.finished[0], together.finished[n])
        np.testing.assert_allclose(alone.log_probs[0], together.log_probs[n], rtol=1e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_stopping_at_the_best_changes_nothing_about_it(normalisation):
    table = tables(8, 9, scale=1.5)
    beam = Beam(4, normalisation)
    every, best = write(table, beam, 12), write(table, replace(beam, best_only=True), 12)
    np.testing.assert_array_equal(every.ids[:, 0], best.ids[:, 0])
    np.testing.assert_allclose(every.scores[:, 0], best.scores[:, 0], rtol=1e-5)
    assert (best.lengths.sum(), best.finished.sum()) < (every.lengths.sum(), every.finished.sum())


def test_memory_does_not_grow_with_the_length():
    table = tables(8, 9)

    def temporary(length):
        lowered = _write.lower(table, Beam(5), length)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    ids = 8 * 5 * 4
    assert temporary(400) - temporary(100) <= 4 * 300 * ids


@pytest.mark.slow
def test_stops_as_soon_as_all_beams_have_ended():
    steps = []

    def counting(carry, words):
        jax.debug.callback(lambda _: steps.append(1), words[0])
        return carry, jax.nn.one_hot(jnp.full_like(words, END), 5)

    found = beam_search(counting, jnp.zeros(2), Beam(1), num=2, start=1, end=END, max_length=30)
    found.ids.block_until_ready()
    jax.effects_barrier()
    assert len(steps) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"normalisation": "mean"},
        {"alpha": -1.0},
        {"width": 4, "groups": 3},
        {"groups": 0},
        {"diversity": float("inf")},
    ],
)
def test_impossible_shapes_are_refused(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        Beam(**wrong)


def test_a_length_of_zero_is_refused():
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        write(tables(1, 5), Beam(2), 0)
