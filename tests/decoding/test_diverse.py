"""Diverse beam search against a search over lists, and where it must equal plain beam search."""

import numpy as np
import pytest
from markov import END, said, score, tables, write

from jaxcap.decoding.beam import Beam

WORDS = 9


def plain_diverse(table, groups, width, length, diversity):
    """Groups over lists of captions, as the paper's algorithm 1."""
    state = [([], [[]]) for _ in range(groups)]
    for _ in range(length):
        spoken = np.zeros(WORDS)
        for g, (ended, going) in enumerate(state):
            longer = [[*words, w] for words in going for w in range(WORDS)]
            lost = {w: diversity * times for w, times in enumerate(spoken)}
            longer.sort(key=lambda words, lost=lost: lost[words[-1]] - score(table, words))
            best = longer[: width - len(ended)]
            for words in best:
                spoken[words[-1]] += 1
            state[g] = (
                ended + [words for words in best if words[-1] == END],
                [words for words in best if words[-1] != END],
            )
    return [tuple(words) for ended, going in state for words in ended + going]


@pytest.mark.parametrize(("groups", "width", "diversity"), [(2, 3, 0.3), (3, 2, 2.0), (5, 1, 0.7)])
def test_equals_a_search_over_lists(groups, width, diversity):
    table = tables(4, WORDS, seed=5)
    found = write(table, Beam(groups * width, groups=groups, diversity=diversity), 6)
    for n in range(4):
        ours = sorted(tuple(said(found, n, k)) for k in range(groups * width))
        assert ours == sorted(plain_diverse(table[n], groups, width, 6, diversity))


def test_without_diversity_each_group_is_a_plain_search():
    table = tables(5, WORDS)
    plain, grouped = write(table, Beam(2)), write(table, Beam(6, groups=3, diversity=0.0))
    np.testing.assert_array_equal(grouped.ids, np.repeat(plain.ids, 3, axis=1))


def test_diversity_makes_captions_differ():
    table = tables(5, WORDS)

    def distinct(diversity):
        found = write(table, Beam(6, groups=6, diversity=diversity))
        return sum(len({tuple(row) for row in rows}) for rows in np.asarray(found.ids).tolist())

    assert distinct(0.0) == 5
    assert distinct(1.0) > 15
