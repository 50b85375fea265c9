"""Extreme inputs give finite losses and gradients; narrow numbers stay near wide ones."""

from functools import partial

import draws
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_calls import call

from jaxcap.data.batches import Batch
from jaxcap.data.image import Image
from jaxcap.learning.metrics import read_metrics
from jaxcap.nn.captioner import caption_loss
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.plan import ComputePlan
from jaxcap.nn.products import matmul_precision
from jaxcap.nn.regularisation import Regularisation

D, V, N, L = 6, 9, 3, 7
CELLS = {
    "rnn": {"cell": "rnn"},
    "lstm, all": {"cell": "lstm", "init_cell": True, "feed_features": True},
}
NO_RATES = Regularisation()
PLAIN = {}
EVERY_OPTION = {
    "precision": "bfloat16",
    "plan": ComputePlan(block=2, remat=True),
    "rates": Regularisation(dropout=0.5, label_smoothing=0.1),
}


def captions_of(num, length, words, seed=0):
    rng = np.random.default_rng(seed)
    captions = rng.integers(3, words, (num, length), dtype=np.int32)
    captions[:, 0], captions[:, -1] = 1, 2
    return jnp.asarray(captions)


def normal(num, scale=1.0):
    return scale * draws.normal(1, (num, D))


# Features, captions, words in the vocabulary.
EXTREMES = {
    "features of 1e6": (normal(N, 1e6), captions_of(N, L, V), V),
    "features of one million each": (jnp.full((N, D), 1e6, jnp.float32), captions_of(N, L, V), V),
    "features of 1e-6": (normal(N, 1e-6), captions_of(N, L, V), V),
    "features of zero": (jnp.zeros((N, D)), captions_of(N, L, V), V),
    "captions without a word": (normal(N), jnp.zeros((N, L), jnp.int32), V),
    "padding alone behind <START>": (normal(N), jnp.zeros((N, L), jnp.int32).at[:, 0].set(1), V),
    "one of each, four words": (jnp.full((1, D), -1e6, jnp.float32), jnp.array([[1, 2]]), 4),
    "200 words": (normal(N), captions_of(N, 202, V), V),
}


@partial(jax.jit, static_argnames=("config", "precision", "plan", "rates"))
def gradients(config, params, batch, *, precision="float32", plan=ComputePlan(), rates=NO_RATES):
    def loss(params):
        key = jax.random.key(2)
        found = caption_loss(params, config, batch, key, regularisation=rates, plan=plan)
        return found.per_caption, found

    with matmul_precision(precision):
        (_, losses), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return losses, grads


def make(cell, words=V, dtype=jnp.float32):
    config = CaptionerConfig(words, D, wordvec_dim=5, hidden_dim=4, **CELLS[cell])
    return config, draws.parameters(config, dtype)


def assert_finite(losses, grads):
    assert all(np.isfinite(loss) and loss >= 0 for loss in losses)
    for name, grad in grads.items():
        assert np.isfinite(grad).all(), name


@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("cell", CELLS)
def test_losses_and_gradients_are_finite(cell, extreme):
    features, captions, words = EXTREMES[extreme]
    config, params = make(cell, words)
    batch = Batch(Image(features), captions)
    # Other shapes are programs of their own, and compiling takes most of the time.
    common = captions.shape == (N, L)
    for options in (PLAIN, EVERY_OPTION) if common else (EVERY_OPTION,):
        assert_finite(*gradients(config, params, batch, **options))
        if common:
            saturated = {name: 1e3 * value for name, value in params.items()}
            assert_finite(*gradients(config, saturated, batch, **options))


def test_every_width_of_numbers_is_finite_and_near(x64):
    captions = captions_of(N, 30, V)

    def found(dtype, scale, **options):
        config, params = make("lstm, all", dtype=dtype)
        batch = Batch(Image(normal(N, scale).astype(dtype)), captions)
        return gradients(config, params, batch, **options)

    for dtype in ("float64", "bfloat16"):
        for scale in (0.0, 1e6):
            assert_finite(*found(dtype, scale))
    losses, grads = found("float64", 1.0)
    for precision, near in (("float32", 1e-6), ("bfloat16", 1e-2)):
        narrow, narrow_grads = found("float32", 1.0, precision=precision)
        np.testing.assert_allclose(narrow, losses, rtol=near)
        for name, grad in jax.tree.map(np.asarray, grads).items():
            drift = np.abs(np.asarray(narrow_grads[name]) - grad).max() / np.abs(grad).max()
            assert drift < 10 * near, name


@pytest.mark.nightly
@pytest.mark.parametrize("run", ["small", "mid"])
def test_bfloat16_reaches_the_loss_of_float32(run, tmp_path):
    """The lowest on validation, and that of the first half of training.

    Later it is near zero, and differs by half from seed to seed.
    """
    found = {}
    for precision in ("float32", "bfloat16"):
        flags = [f"--checkpoint_dir={tmp_path / precision}", f"--matmul_precision={precision}"]
        code, _, err = call("train", f"--flagfile=launch/{run}.flags", *flags)
        assert code == 0, err
        rows = read_metrics(tmp_path / precision)
        training = np.mean([row["loss"] for row in rows[: len(rows) // 2]])
        validation = min(row["val_loss"] for row in rows if "val_loss" in row)
        found[precision] = training, validation
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.05)
