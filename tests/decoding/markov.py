"""Models small enough to list every caption, and the decoders written down once more for one image.

Each image has its own table of logits of the word after each word. They grow with the steps, so
that no two captions with the same pairs of words are equally likely.
"""

from functools import lru_cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from jaxcap.decoding.strategy import Hypotheses

NULL, START, END = 0, 1, 2


def tables(num, num_words, seed=0, scale=2.0):
    """Logits (N, V, V) of the word after each word."""
    shape = (num, num_words, num_words)
    return scale * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def step(carry, words):
    table, t = carry
    logits = jnp.take_along_axis(table, words[:, None, None], axis=1)[:, 0]
    return (table, t + 1), logits * (1 + t / 8)[:, None]


def write(table, strategy, rules, keys=None):
    """Captions of the images of `table`, on the host."""
    return Hypotheses(*map(np.asarray, _write(jnp.asarray(table), strategy, rules, keys)))


@partial(jax.jit, static_argnames=("strategy", "rules"))
def _write(table, strategy, rules, keys=None):
    return strategy.write(
        step, (table, jnp.zeros(len(table), table.dtype)), rules, len(table), keys
    )


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    top = logits.max(-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))


@lru_cache(None)
def _log_probs(row, t):
    return log_softmax(np.array(row) * (1 + t / 8))


def log_probs(table, before, t):
    """Log-probabilities of the words after `before`, at step `t` of one image's caption."""
    return _log_probs(tuple(table[before].tolist()), t)


def score(table, ids):
    """Log-probability of one image's caption under teacher forcing, `<END>` counted if it is in."""
    befores = zip([START, *ids], ids, strict=False)
    return sum(log_probs(table, before, t)[word] for t, (before, word) in enumerate(befores))


def said(found, n, k):
    """The ids of one caption, with `<END>` if it came, after checks of their form."""
    row = np.asarray(found.ids[n, k])
    words = int(found.lengths[n, k]) + int(found.finished[n, k])
    assert (row[words:] == NULL).all()
    assert (row[:words] == END).sum() == int(found.finished[n, k])
    assert not found.finished[n, k] or row[words - 1] == END
    return row[:words].tolist()


def every_caption(num_words, max_length):
    """All captions: those that end, and those that are cut off at `max_length`."""
    others = [w for w in range(num_words) if w != END]
    for length in range(max_length + 1):
        for words in product(others, repeat=length):
            yield [*words] if length == max_length else [*words, END]


def permitted(rules, words):
    """Whether the last of `words` may follow the others: the rules once more, one by one."""
    *so_far, word = words
    if len(so_far) < len(rules.prefix):
        return word == rules.prefix[len(so_far)]
    if word in rules.forbidden:
        return False
    if word == END:
        badly = so_far and so_far[-1] in rules.bad_endings
        return len(so_far) >= rules.min_length and not badly
    n = rules.no_repeat_ngram
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return n == 0 or not grams or grams[-1] not in grams[:-1]


def normalised(table, ids, beam):
    """What beams are ranked by in the end."""
    m = len(ids)
    divisors = {"none": 1, "average": max(m, 1), "gnmt": ((5 + max(m, 1)) / 6) ** beam.alpha}
    return score(table, ids) / divisors[beam.normalisation]


def plain_search(table, beam, rules):
    """Beam search of one image over lists of words, in groups as the paper's algorithm 1.

    One beam is greedy decoding.
    """
    width = beam.width // beam.groups
    groups = [([], [[]], []) for _ in range(beam.groups)]
    for _ in range(rules.max_length):
        spoken = dict.fromkeys(range(len(table)), 0)
        for g, (ended, going, stuck) in enumerate(groups):
            longer, leading = [], set()
            for words in going:
                for w in range(len(table)):
                    new = [*words, w]
                    if permitted(rules, new) and score(table, new) > -np.inf:
                        longer.append(new)
                        leading.add(tuple(words))
            stuck = stuck + [words for words in going if tuple(words) not in leading]
            ranks = {tuple(c): score(table, c) - beam.diversity * spoken[c[-1]] for c in longer}
            longer.sort(key=lambda c, ranks=ranks: -ranks[tuple(c)])
            best = longer[: width - len(ended)]
            for words in best:
                spoken[words[-1]] += beam.groups > 1
            ended = ended + [words for words in best if words[-1] == END]
            going = [words for words in best if words[-1] != END]
            groups[g] = ended, going, stuck[: width - len(ended) - len(going)]
    every = [words for parts in groups for part in parts for words in part]
    return sorted(every, key=lambda c: (c[-1:] != [END], -normalised(table, c, beam)))
