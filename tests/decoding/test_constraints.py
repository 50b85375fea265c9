"""Constraints under every strategy, against the rules written down once more in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import END, START, every_caption, log_probs, permitted, said, score, tables, write

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.rules import Constraints, constrain, vocabulary_constraints
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy
from jaxcap.text.vocabulary import Vocabulary

WORDS, LENGTH = 6, 7
RULES = {
    "forbidden": Constraints(forbidden=(0, 1, 3)),
    "no word twice": Constraints(no_repeat_ngram=1),
    "no two words twice": Constraints(no_repeat_ngram=2),
    "no three words twice": Constraints(no_repeat_ngram=3),
    "min_length": Constraints(min_length=4),
    "bad_last": Constraints(bad_last=(3, 4, 5)),
    "prefix": Constraints(prefix=(5, 3), forbidden=(3,), min_length=4),
    "all": Constraints((0, 1), 2, 3, (4,), (3, 3)),
}
each_rule = pytest.mark.parametrize("rules", RULES.values(), ids=RULES)


def keys(num):
    return jax.random.split(jax.random.key(0), num)


def plain_greedy(table, rules):
    words = []
    while len(words) < LENGTH and END not in words:
        row = log_probs(table, words[-1] if words else START, len(words))
        possible = [w for w in np.argsort(-row).tolist() if permitted(rules, [*words, w])]
        if not possible:
            break
        words.append(possible[0])
    return words


@each_rule
def test_greedy(rules):
    table = tables(8, WORDS)
    table[..., END] += 2
    found = write(table, Greedy(), LENGTH, None, rules)
    for n in range(8):
        words = said(found, n, 0)
        assert words == plain_greedy(table[n], rules)
        np.testing.assert_allclose(found.log_probs[n, 0], score(table[n], words), atol=1e-5)
    assert (found.ids != write(table, Greedy(), LENGTH).ids).any()


@pytest.mark.parametrize(
    ("rules", "strategy"),
    [
        *((rules, strategy) for rules in RULES.values() for strategy in (Sampling(4), Beam(4))),
        (RULES["all"], Beam(4, groups=2)),
    ],
)
def test_every_caption_keeps_the_rules(rules, strategy):
    table = tables(8, WORDS)
    found = write(table, strategy, LENGTH, keys(8), rules)
    for n in range(8):
        for k in range(4):
            words = said(found, n, k)
            for end in range(len(words)):
                assert permitted(rules, words[: end + 1]), words
            if not found.finished[n, k] and len(words) < LENGTH:
                assert not any(permitted(rules, [*words, w]) for w in range(WORDS)), words


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        Constraints((0,), 1, 1, (4,)),
        Constraints((), 2, 2, (0, 3), (1,)),
    ],
)
def test_a_wide_beam_equals_exhaustive_search(rules):
    """Captions that rules leave without an end take places that nothing else needs."""
    words, length = 5, 4
    table = tables(2, words, 7)
    found = write(table, Beam(words**length), length, None, rules)
    for n in range(2):
        captions = every_caption(words, length, lambda c: permitted(rules, c))
        ended = [c for c in captions if c[-1] == END]
        ended.sort(key=lambda c, n=n: -score(table[n], c))
        assert [said(found, n, k) for k in range(len(ended))] == ended
        assert int(found.finished[n].sum()) == len(ended)


def test_a_beam_that_can_say_nothing_yields_its_place():
    """The likelier word leads nowhere; the other one ends."""
    table = np.full((1, 5, 5), -9, np.float32)
    table[0, START, [3, 4]] = 2, 1
    table[0, [3, 4], END] = 9
    rules = Constraints((0, 1), no_repeat_ngram=1, bad_last=(3,))
    table[0, 3, 4] = -np.inf
    found = write(table, Beam(2), 4, None, rules)
    assert [said(found, 0, k) for k in range(2)] == [[4, END], [4, 3]]
    assert found.finished.tolist() == [[True, False]]


def test_draws_follow_the_words_that_are_left():
    table = np.log(np.array([[[0.1, 0.2, 0.3, 0.3, 0.1]] * 5], np.float32))
    rules = Constraints(forbidden=(0, 1))
    drawn = [write(table, Sampling(32), 1, key[None], rules).ids for key in keys(100)]
    share = np.bincount(np.ravel(drawn), minlength=5) / 3200
    np.testing.assert_allclose(share, [0, 0, 3 / 7, 3 / 7, 1 / 7], atol=0.03)


def test_n_grams_by_hand():
    words = jnp.array([[3, 4, 5, 3, 4, 0, 0], [3, 3, 3, 3, 3, 0, 0], [3, 4, 3, 5, 3, 0, 0]])
    for n, banned in (
        (1, [{3, 4, 5}, {3}, {3, 4, 5}]),
        (2, [{5}, {3}, {4, 5}]),
        (3, [{5}, {3}, set()]),
        (5, [set(), {3}, set()]),
        (6, [set(), set(), set()]),
    ):
        rules = Constraints(no_repeat_ngram=n)
        logits = constrain(rules, jnp.zeros((3, 7)), words.astype(jnp.int32), jnp.array(5), END)
        assert [set(np.flatnonzero(row)) for row in np.asarray(logits)] == banned


VOCABULARY = Vocabulary.build(["a", "cat", "of", "grass"])


def test_words_become_ids():
    assert vocabulary_constraints(VOCABULARY) == Constraints(forbidden=(0, 1, 3))
    assert vocabulary_constraints(
        VOCABULARY,
        forbidden=["grass", "dog"],
        bad_last=["of", "a", "with"],
        prefix=["a", "cat"],
        min_length=3,
        no_repeat_ngram=2,
    ) == Constraints((0, 1, 7), 2, 3, (4, 6), (4, 5))
    with pytest.raises(ValueError, match="lacks: dog bird"):
        vocabulary_constraints(VOCABULARY, prefix=["a", "dog", "bird"])


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_length": -1}, "min_length must not be negative"),
        ({"forbidden": (3, -1)}, "forbidden must not be negative"),
        ({"forbidden": (6,)}, "forbidden has id 6, but there are 6 words"),
        ({"prefix": (9,)}, "prefix has id 9"),
        ({"forbidden": (END,)}, "the id of <END>"),
        ({"prefix": (3, END)}, "the id of <END>"),
        ({"prefix": (3,) * 8}, "a prefix of 8 words exceeds max_length=7"),
        ({"min_length": 7}, "no room for <END>: max_length=7"),
    ],
)
@pytest.mark.parametrize("strategy", [Greedy(), Beam(2)])
def test_rules_that_cannot_be_kept_are_refused(rules, message, strategy):
    with pytest.raises(ValueError, match=message):
        write(tables(1, WORDS), strategy, LENGTH, None, Constraints(**rules))
