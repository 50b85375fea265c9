"""The largest logits, against a stable sort."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcap.decoding.top_words import top_words


@pytest.mark.parametrize("num_words", [7, 2048, 2053, 5000])
@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("equal", [False, True])
def test_equals_a_stable_sort(num_words, k, equal):
    logits = np.random.default_rng(0).standard_normal((20, num_words)).astype(np.float32)
    if equal:
        # Many equal logits, in one chunk and in several.
        logits = np.round(logits) + 0.0
    values, ids = jax.jit(top_words, static_argnums=1)(logits, k)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ids, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, 1))


def test_more_than_there_are_chunks():
    logits = np.random.default_rng(0).standard_normal((3, 2048)).astype(np.float32)
    _, ids = top_words(jnp.asarray(logits), 200)
    np.testing.assert_array_equal(ids, np.argsort(-logits, axis=1)[:, :200])


def test_the_last_words_are_searched_too():
    logits = np.zeros((2, 4099), np.float32)
    logits[:, 4098] = 1
    assert top_words(jnp.asarray(logits), 1)[1].tolist() == [[4098], [4098]]
