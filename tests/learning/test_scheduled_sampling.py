"""Scheduled sampling: its rates over a run, and the words that a captioner reads."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draws import normal, parameters
from own_cells import gru

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.learning.config import SAMPLING_SCHEDULES
from jaxcap.learning.objective import CutToFit, Likelihood
from jaxcap.learning.scheduled_sampling import mixed_words, sampling_schedule
from jaxcap.nn.captioner import caption_loss, logits
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.parameters import word_table
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.regularisation import Regularisation

KEY = jax.random.key(3)
# Captions of 4, 1, 5 and 0 words; the last is what fills up a batch.
CAPTIONS = jnp.array(
    [[1, 4, 5, 6, 2, 0, 0], [1, 2, 0, 0, 0, 0, 0], [1, 7, 7, 7, 7, 2, 0], [0] * 7], jnp.int32
)
PREDICTS = np.asarray(CAPTIONS)[:, 1:] != 0


@pytest.mark.parametrize("kind", SAMPLING_SCHEDULES)
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
def test_a_rate_grows_as_its_equation_says(kind, rate):
    n = 1000
    schedule, i = sampling_schedule(kind, rate, n), jnp.arange(n + 1)
    found = jax.jit(jax.vmap(schedule))(i)
    if kind == "inverse_sigmoid":
        k = schedule.args[1]
        expected = 1 - k / (k + np.exp(np.asarray(i) / k)) if rate else 0 * i
        assert found[0] < 0.02
    else:
        expected = rate * i / n if kind == "linear" else 1 - (1 - rate) ** (i / n)
        assert found[0] == 0
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert float(found[-1]) == pytest.approx(rate, abs=1e-6)
    assert (jnp.diff(found) >= 0).all()
    np.testing.assert_array_equal(schedule(jnp.int32(2 * n)), schedule(jnp.int32(n)))


def captioner(**changes):
    settings = dict(vocab_size=9, feature_dim=3, wordvec_dim=4, hidden_dim=5)
    config = CaptionerConfig(**{**settings, **changes})
    grid = normal(2, (3, 4, 6)) if config.attention else None
    image, rows = Image(normal(1, (3, 3)), grid), jnp.array([2, 0, 0, 1])
    batch = Batch(image, CAPTIONS, rows=rows)
    return parameters(config), config, batch


CONFIGS = {
    "lstm": {"init_cell": True},
    "rnn": {"cell": "rnn", "feed_features": True},
    "own": {"cell": gru},
    "linen": {"cell": "flax.linen.GRUCell"},
    "soft": {"attention": "soft", "grid_dim": 6},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_captioner_that_is_certain_reads_what_it_would_say(name):
    params, config, batch = captioner(**CONFIGS[name])
    params = {**params, "W_vocab": 1e6 * params["W_vocab"]}
    # <NULL> and <START> would be its first choice, and are never drawn.
    params["b_vocab"] = params["b_vocab"].at[:2].set(1e9)

    @jax.jit
    def read_and_said(params):
        table = word_table(params) if config.has_word_table else None
        words = mixed_words(params, config, batch, 1.0, KEY, table)
        image = batch.image.at(batch.rows)
        return words, logits(params, config, image, words)[..., 2:].argmax(2) + 2

    read, said = map(np.asarray, read_and_said(params))
    of_people = np.asarray(CAPTIONS)[:, :-1]
    expected = np.where(PREDICTS[:, 1:], said[:, :-1], of_people[:, 1:])
    np.testing.assert_array_equal(read[:, 1:], expected)
    np.testing.assert_array_equal(read[:, 0], of_people[:, 0])
    assert (read != of_people).any()


def test_words_are_drawn_by_their_probability_and_the_rate():
    params, config, batch = captioner()
    num, rate = 20_000, 0.4
    image, captions = Image(batch.image.pooled[:1].repeat(num, 0)), CAPTIONS[:1].repeat(num, 0)
    words = mixed_words(params, config, Batch(image, captions), rate, KEY)
    own = logits(params, config, Image(image.pooled[:1]), CAPTIONS[:1, :1])[0, 0]
    share = rate * jax.nn.softmax(own.at[:2].set(-jnp.inf)).at[4].add((1 - rate) / rate)
    found = np.bincount(words[:, 1], minlength=9) / num
    np.testing.assert_allclose(found, share, atol=0.01)
    # A coin for each word, not one a caption.
    kept = np.asarray(words)[:, 1:4] == np.asarray(CAPTIONS)[0, 1:4]
    expected = np.corrcoef(kept.T)
    assert (kept.mean(0) > 1 - rate).all() and np.abs(expected - np.eye(3)).max() < 0.1


def measured(loss, params, batch, key=KEY):
    return jax.jit(jax.value_and_grad(loss))(params, batch, key)


same = partial(jax.tree.map, partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5))


@pytest.mark.parametrize("name", ["lstm", "soft"])
def test_own_words_are_read_as_if_they_were_given_and_targets_stay(name):
    """With the dropout of a loss without them: a rate of 0 changes nothing."""
    params, config, batch = captioner(**CONFIGS[name])
    regularisation = Regularisation(dropout=0.3, label_smoothing=0.1)
    make = partial(Likelihood, config, regularisation)
    inputs = mixed_words(params, config, batch, 0.8, jax.random.fold_in(KEY, 1 << 20))
    assert (inputs != CAPTIONS[:, :-1]).any()

    def given(params, batch, key):
        batch = batch._replace(inputs=inputs)
        return caption_loss(params, config, batch, key, regularisation=regularisation).per_caption

    plain, expected = measured(make(), params, batch), measured(given, params, batch)
    assert abs(plain[0] - expected[0]) > 1e-3
    same(measured(make(sampling=0.0), params, batch), plain)
    same(measured(make(sampling=0.8), params, batch), expected)
    plan = ComputePlan(block=8, remat=True, table=False)
    same(measured(make(plan=plan, sampling=0.8), params, batch), expected)
    assert make(sampling=0.8)(params, batch, None) == make()(params, batch, None)


def test_own_words_do_not_depend_on_how_captions_are_cut():
    """Without dropout, whose draws depend on it."""
    params, config, batch = captioner()
    step, batch = jnp.int32(2), batch._replace(captions=CAPTIONS.at[2].set(CAPTIONS[1]))
    loss = Likelihood(config, sampling=sampling_schedule("linear", 0.8, 2))
    expected = measured(loss.at(step), params, batch)
    assert abs(expected[0] - Likelihood(config)(params, batch, KEY)) > 1e-3
    same(measured(CutToFit(loss, (4, 6)).at(step), params, batch), expected)
    inputs = mixed_words(params, config, batch, 0.8, jax.random.fold_in(KEY, 1 << 20))
    batch = batch._replace(inputs=inputs)
    same(measured(CutToFit(Likelihood(config), (4, 6)), params, batch), expected)


def test_a_schedule_needs_a_step():
    params, config, batch = captioner()
    loss = Likelihood(config, sampling=sampling_schedule("linear", 0.5, 10))
    assert loss.at(jnp.int32(5)).sampling == 0.25
    with pytest.raises(ValueError, match="`sampling` is a function of the step"):
        loss(params, batch, KEY)
