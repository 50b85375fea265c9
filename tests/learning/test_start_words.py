"""Word vectors as the start of a run: their width and size, and what keeps its own."""

import jax
import numpy as np
import pytest
from tiny_runs import opened, train_until

from jaxcap.learning.sweep import members, open_sweep
from jaxcap.learning.word_vectors import SPREAD, fit_width
from jaxcap.text.word_vectors import WordVectors

KEY = jax.random.key(0)
VECTORS = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32) + 3


def products(vectors):
    vectors = np.asarray(vectors, np.float64)
    return vectors @ vectors.T


@pytest.mark.parametrize("width", [8, 20, 3])
def test_vectors_are_centred_scaled_and_brought_to_the_width(width):
    fitted = np.asarray(fit_width(VECTORS, width, KEY))
    assert fitted.shape == (30, width) and fitted.dtype == np.float32
    np.testing.assert_allclose(fitted.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.square(fitted).mean()), SPREAD, rtol=1e-5)
    if width >= 8:
        centred = products(VECTORS - VECTORS.mean(0))
        scale = np.trace(products(fitted)) / np.trace(centred)
        np.testing.assert_allclose(products(fitted), scale * centred, atol=1e-4)
    else:
        # The directions of the greatest variance, from the greatest on.
        variances = np.linalg.eigvalsh(np.cov(VECTORS.T))[::-1][:width]
        found = np.cov(fitted.T)
        np.testing.assert_allclose(
            found / found[0, 0], np.diag(variances / variances[0]), atol=1e-5
        )


def test_a_run_starts_with_them_and_resumes_without(tmp_path, info, tiny):
    words, width = len(tiny.vocabulary), info.model.wordvec_dim
    ids = np.arange(4, words, 2, dtype=np.int32)
    found = WordVectors(ids, VECTORS[np.arange(len(ids)) % 30], words - 4)
    with opened(tmp_path / "a", info, tiny) as run:
        plain = run.params
    with opened(tmp_path / "b", info, tiny, word_vectors=found) as run:
        params = run.params
        key = jax.random.fold_in(run.learner.state.key, 2)
        np.testing.assert_array_equal(params["W_embed"][ids], fit_width(found.vectors, width, key))
        others = np.setdiff1d(np.arange(words), ids)
        np.testing.assert_array_equal(params["W_embed"][others], plain["W_embed"][others])
        for name in plain.keys() - {"W_embed"}:
            np.testing.assert_array_equal(params[name], plain[name])
    with pytest.raises(ValueError, match="`init_from` starts with the word vectors of its run"):
        with opened(tmp_path / "c", info, tiny, init_from=tmp_path / "d", word_vectors=found):
            pass
    # A member of a sweep starts as the run does.
    member = members({}, info.seed, 2)
    with open_sweep(
        tmp_path / "s", tiny, info.model, info.training, member, word_vectors=found
    ) as sweep:
        stacked = sweep.learner.state.params["W_embed"]
    np.testing.assert_array_equal(stacked[0], params["W_embed"])
    at = train_until(1, tmp_path / "e", info, tiny, word_vectors=found)
    with opened(tmp_path / "e", info, tiny, resume=True, word_vectors=found) as run:
        assert run.iteration == at
        assert (np.asarray(run.params["W_embed"][ids]) != params["W_embed"][ids]).any()
