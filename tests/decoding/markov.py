"""Models small enough to list every caption.

Each image has its own table of logits of the word after each word. They grow with the steps, so
that no two captions with the same pairs of words are equally likely.
"""

from functools import lru_cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from jaxcap.decoding.hypotheses import Hypotheses
from jaxcap.decoding.strategies import write_captions

NULL, START, END = 0, 1, 2


def tables(num, num_words, seed=0, scale=2.0):
    """Logits (N, V, V) of the word after each word."""
    shape = (num, num_words, num_words)
    return scale * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def step(carry, words):
    table, t = carry
    logits = jnp.take_along_axis(table, words[:, None, None], axis=1)[:, 0]
    return (table, t + 1), logits * (1 + t / 8)[:, None]


def write(table, *args):
    """Captions of the images of `table`, on the host: see `_write` for the arguments."""
    return Hypotheses(*map(np.asarray, _write(jnp.asarray(table), *args)))


@partial(jax.jit, static_argnames=("strategy", "max_length", "constraints"))
def _write(table, strategy, max_length=6, keys=None, constraints=None):
    return write_captions(
        step,
        (table, jnp.zeros(len(table))),
        strategy,
        num=len(table),
        keys=keys,
        start=START,
        end=END,
        max_length=max_length,
        constraints=constraints,
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
    befores = [START, *ids]
    return sum(
        log_probs(table, b, t)[w] for t, (b, w) in enumerate(zip(befores, ids, strict=False))
    )


def said(found, n, k):
    """The ids of one caption, with `<END>` if it came, after checks of their form."""
    row = np.asarray(found.ids[n, k])
    words = int(found.lengths[n, k]) + int(found.finished[n, k])
    assert (row[words:] == NULL).all()
    assert (row[:words] == END).sum() == int(found.finished[n, k])
    assert not found.finished[n, k] or row[words - 1] == END
    return row[:words].tolist()


def every_caption(num_words, max_length, allowed=lambda words: True):
    """All captions: those that end, and those that are cut off at `max_length`.

    `allowed(words)` says whether the last of the words may follow the others.
    """
    others = [w for w in range(num_words) if w != END]
    for length in range(max_length + 1):
        for words in product(others, repeat=length):
            caption = [*words] if length == max_length else [*words, END]
            if all(allowed(caption[: i + 1]) for i in range(len(caption))):
                yield caption


def permitted(constraints, words):
    """Whether the last of `words` may follow the others: the rules once more, one by one."""
    c, *so_far, word = [constraints, *words]
    if len(so_far) < len(c.prefix):
        return word == c.prefix[len(so_far)]
    if word in c.forbidden:
        return False
    if word == END:
        return len(so_far) >= c.min_length and not (so_far and so_far[-1] in c.bad_last)
    n = c.no_repeat_ngram
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return n == 0 or not grams or grams[-1] not in grams[:-1]
