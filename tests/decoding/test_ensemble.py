"""Several models as one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from markov import END, START, log_softmax, tables

from jaxcap.decoding.beam import Beam
from jaxcap.decoding.captions import decode
from jaxcap.decoding.ensemble import average_steps
from jaxcap.decoding.hypotheses import Hypotheses
from jaxcap.decoding.sampling import Sampling
from jaxcap.decoding.strategies import Greedy
from jaxcap.nn.captioner import CaptionerConfig, init_params, logits

CONFIGS = (
    CaptionerConfig(vocab_size=7, feature_dim=4, wordvec_dim=6, hidden_dim=8),
    CaptionerConfig(vocab_size=7, feature_dim=4, wordvec_dim=3, hidden_dim=5, cell="rnn"),
)
FEATURES = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def models():
    pairs = enumerate(CONFIGS)
    return [{k: 5 * p for k, p in init_params(jax.random.key(i), c).items()} for i, c in pairs]


def table_step(carry, words):
    return carry, jnp.take_along_axis(carry, words[:, None, None], axis=1)[:, 0]


def test_probabilities_are_averaged():
    carries = tuple(jnp.asarray(tables(4, 7, seed)) for seed in range(3))
    words = jnp.array([3, 4, 5, 1])
    carry, averaged = average_steps([table_step] * 3)(carries, words)
    assert len(carry) == 3
    each = [np.exp(log_softmax(table_step(c, words)[1])) for c in carries]
    np.testing.assert_allclose(np.exp(averaged), np.mean(each, axis=0), rtol=1e-5)


def test_an_impossible_word_stays_impossible():
    carry = jnp.zeros((1, 4, 4)).at[:, :, 3].set(-jnp.inf)
    _, averaged = average_steps([table_step] * 2)((carry, carry), jnp.array([1]))
    np.testing.assert_allclose(np.exp(averaged), [[1 / 3, 1 / 3, 1 / 3, 0]], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [Greedy(), Sampling(2), Beam(3)])
def test_log_probabilities_are_those_of_the_average(strategy):
    params = models()
    keys = jax.random.split(jax.random.key(3), 3)
    found = decode(params, CONFIGS, jnp.asarray(FEATURES), strategy, keys=keys, max_length=6)
    found = Hypotheses(*map(np.asarray, found))
    for k in range(found.ids.shape[1]):
        read = np.insert(found.ids[:, k], 0, START, axis=1)
        each = [
            np.exp(log_softmax(logits(p, c, jnp.asarray(FEATURES), jnp.asarray(read))))
            for p, c in zip(params, CONFIGS, strict=True)
        ]
        for n in range(3):
            ids = found.ids[n, k][: found.lengths[n, k] + found.finished[n, k]]
            chosen = np.mean(each, axis=0)[n, np.arange(len(ids)), ids]
            np.testing.assert_allclose(found.log_probs[n, k], np.log(chosen).sum(), atol=1e-5)


def test_a_model_with_itself_is_itself():
    params, config = models()[0], CONFIGS[0]
    one = decode(params, config, jnp.asarray(FEATURES), Beam(3), max_length=6)
    two = decode([params, params], config, jnp.asarray(FEATURES), Beam(3), max_length=6)
    np.testing.assert_array_equal(one.ids, two.ids)
    np.testing.assert_allclose(one.log_probs, two.log_probs, atol=1e-5)


def test_models_that_do_not_match_are_refused():
    carries = (jnp.zeros((1, 4, 4)), jnp.zeros((1, 5, 5)))
    with pytest.raises(ValueError, match=r"vocabularies of \[4, 5\] words"):
        average_steps([table_step] * 2)(carries, jnp.array([END]))
    with pytest.raises(ValueError, match="at least one model"):
        average_steps([])
    with pytest.raises(ValueError, match="got 2 models, but the shapes of 1"):
        decode(models(), CONFIGS[:1], jnp.asarray(FEATURES), Greedy())
