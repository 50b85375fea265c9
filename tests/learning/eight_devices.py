"""What `test_layout.py` runs in a process of its own, for JAX to start with eight devices."""

import re
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_data import tiny_splits
from tiny_runs import changed, opened

from jaxcap.data.batches import Batch, CaptionSet
from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.image import Image, as_image
from jaxcap.data.sharded import read_sharded
from jaxcap.learning import loop
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import Call, compile_steps, fit
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.sharding import Layout, make_layout, put
from jaxcap.learning.step import step_key
from jaxcap.learning.validation import Validator
from jaxcap.nn.captioner import CaptionerConfig, caption_loss

KEY = jax.random.key(0)
MODEL = CaptionerConfig(vocab_size=12, feature_dim=6, wordvec_dim=8, hidden_dim=16)
TRAINING = TrainingConfig(batch_size=8, num_epochs=2, log_every=5, order="shuffle")
CAPTIONS = 42
"""Not a multiple of any number of devices."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    vocabulary, splits = tiny_splits(num_train=CAPTIONS, num_val=13)
    write_coco(folder, vocabulary, splits, name="tiny")
    return folder


def load(folder, layout):
    return load_coco(folder, sharding=layout and layout.rows)


def placed(layout, data, training=TRAINING, model=MODEL):
    """State, loss and optimiser."""
    learner = make_learner(model, training, data, KEY)
    return learner if layout is None else learner._replace(state=layout.place(learner.state))


def train(folder, training=TRAINING, layout=None):
    """Losses, validation losses and the last parameters."""
    data = load(folder, layout)
    validate = Validator(MODEL, data, training)
    calls = list(fit(*placed(layout, data, training), data.train, training, validate))
    params = calls[-1].state.params
    losses = np.concatenate([call.losses for call in calls])
    vals = [float(call.val.per_caption) for call in calls]
    return losses, vals, params if layout is None else layout.whole(params)


def test_there_are_eight_devices():
    assert jax.device_count() == 8


@pytest.mark.parametrize(
    ("batch", "vocab", "order"),
    [
        (4, 2, "shuffle"),
        pytest.param(8, 1, "replacement", marks=pytest.mark.nightly),
        pytest.param(2, 4, "replacement", marks=pytest.mark.nightly),
        pytest.param(1, 4, "replacement", marks=pytest.mark.nightly),
        pytest.param(2, 2, "buckets", marks=pytest.mark.nightly),
    ],
)
def test_losses_are_those_of_one_device(folder, batch, vocab, order):
    training = replace(TRAINING, order=order)
    layout = make_layout(training, batch_shards=batch, vocab_shards=vocab)
    alone, alone_vals, alone_params = train(folder, training)
    losses, vals, params = train(folder, training, layout)
    np.testing.assert_allclose(losses, alone, rtol=1e-6)
    np.testing.assert_allclose(vals, alone_vals, rtol=1e-6)
    for name, param in params.items():
        np.testing.assert_allclose(param, alone_params[name], atol=1e-4, err_msg=name)


def collectives(layout, data):
    """The exchanges that the compiled program names, as (operation, bytes on a device)."""
    state, *learner = placed(layout, data)
    captions = CaptionSet.of(data.train)
    call = Call(3, CAPTIONS, batch_size=8, order="shuffle", layout=layout)
    lowered = loop._train_steps.lower(state, captions, *learner, call=call)
    pattern = r"= (\(.*?\)|\S+) (all-gather|all-reduce|all-to-all|reduce-scatter|collective-\w+)\("
    found = []
    for shapes, operation in re.findall(pattern, lowered.compile().as_text()):
        sizes = re.findall(r"[fsu]32\[([\d,]*)\]", shapes)
        counts = [np.prod([int(n) for n in size.split(",") if n]) for size in sizes]
        found.append((operation, 4 * int(sum(counts))))
    return sorted(found)


def test_a_step_exchanges_its_minibatch_and_one_gradient(folder):
    layout = make_layout(TRAINING)
    data = load(folder, layout)
    shapes = MODEL.parameter_shapes()
    gradient = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    assert collectives(layout, data) == [
        ("all-reduce", 4 * 8),  # image indices of the minibatch
        ("all-reduce", gradient + 4),  # and the loss
        ("reduce-scatter", 4 * 6),  # one device's features
        ("reduce-scatter", 4 * CaptionSet.of(data.train).captions.shape[1]),  # and its captions
    ]


def test_a_sharded_vocabulary_is_never_gathered(folder):
    """Words and their losses travel, neither logits nor parameters."""
    layout = make_layout(TRAINING, vocab_shards=2)
    data = load(folder, layout)
    found = collectives(layout, data)
    assert {name for name, _ in found} == {"all-reduce", "reduce-scatter"}
    words = 2 * (CaptionSet.of(data.train).captions.shape[1] - 1)
    shapes = {**MODEL.parameter_shapes(), "W_vocab": (16, 6), "b_vocab": (6,), "W_embed": (6, 8)}
    gradient = 4 * (sum(int(np.prod(shape)) for shape in shapes.values()) + 1)
    allowed = [
        4 * words,  # the largest logit, and the sum of all
        4 * words * 8,  # word vectors
        4 * words * (16 + 1),  # the hidden states' gradient, and the chosen logits
    ]
    for operation, size in found:
        if operation == "all-reduce" and size not in (0, 4 * 8, gradient):
            assert size in allowed


def test_state_and_data_lie_as_said(folder):
    layout = make_layout(TRAINING, vocab_shards=2)
    data = load(folder, layout)
    state = placed(layout, data).state
    for params in (state.params, state.opt_state[0].mu):
        assert params["W_vocab"].addressable_data(0).shape == (16, 6)
        assert params["b_vocab"].addressable_data(0).shape == (6,)
        assert params["W_embed"].addressable_data(0).shape == (6, 8)
        assert params["Wh"].addressable_data(0).shape == (16, 64)
    captions = CaptionSet.of(data.train)
    assert Layout.of(data.train.captions) == Layout.of(captions.captions) == layout
    assert captions.captions.shape[0] == 44
    assert captions.captions.addressable_data(0).shape[0] == 11
    assert captions.images.pooled.addressable_data(0).shape == (3, 6)
    whole = layout.whole(state.params)
    assert all(len(param.devices()) == 1 for param in whole.values())
    np.testing.assert_array_equal(whole["W_vocab"], np.asarray(state.params["W_vocab"]))


def test_sharded_rows_are_those_of_the_files_each_read_once(folder):
    layout = make_layout(TRAINING)
    whole, parts = load(folder, None).train, load(folder, layout).train
    assert parts.padding == (6, 6)
    assert (parts.num_captions, parts.num_images) == (CAPTIONS, 10)
    for name in ("captions", "image_idxs", "features"):
        one, several = np.asarray(getattr(whole, name)), np.asarray(getattr(parts, name))
        np.testing.assert_array_equal(several[: len(one)], one)
        assert not several[len(one) :].any()
    drawn, split = (
        load_coco(folder, max_train=5, key=KEY, sharding=s).train for s in (None, layout.rows)
    )
    np.testing.assert_array_equal(split.captions[:5], drawn.captions)
    asked = []

    def read(first, last):
        asked.append((first, last))
        return np.arange(first, last, dtype=np.int32)

    layout = make_layout(TRAINING, vocab_shards=2)
    rows = read_sharded((7,), np.dtype(np.int32), layout.rows, read)
    assert sorted(asked) == [(0, 2), (2, 4), (4, 6), (6, 7)]
    np.testing.assert_array_equal(rows, [0, 1, 2, 3, 4, 5, 6, 0])


def test_a_fault_names_the_row_of_the_file(tmp_path):
    vocabulary, splits = tiny_splits(num_train=CAPTIONS, num_val=13)
    write_coco(tmp_path, vocabulary, splits, name="tiny")
    (path,) = tmp_path.glob("train*.h5")
    with h5py.File(path, "r+") as file:
        file["features"][7, 2] = np.nan
    with pytest.raises(ValueError, match=r"train.*row 7 .* holds nan in column 2"):
        load(tmp_path, make_layout(TRAINING))


@pytest.mark.nightly
def test_checkpoints_are_restored_under_another_device_count(folder, tmp_path):
    """Four by two devices, then eight, then one: the losses of one device all the way."""

    def run(layout, epochs, resume):
        data = load(folder, layout)
        info = changed(RunInfo.of(data, MODEL, TRAINING, 0), num_epochs=epochs)
        with opened(tmp_path / "run", info, data, resume=resume) as run:
            before = run.params["W_vocab"].shape
            run.train(tensorboard=False)
        return before

    run(make_layout(TRAINING, batch_shards=4, vocab_shards=2), 1, False)
    assert run(make_layout(TRAINING), 2, True) == (16, 12)
    run(None, 3, True)
    data = load(folder, None)
    info = changed(RunInfo.of(data, MODEL, TRAINING, 0), num_epochs=3)
    with opened(tmp_path / "alone", info, data) as alone:
        alone.train(tensorboard=False)
    found, expected = (
        [row["loss"] for row in read_metrics(tmp_path / name)] for name in ("run", "alone")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.nightly
def test_each_part_draws_its_own_dropout(folder):
    """Eight times the same caption: the loss is the mean over eight masks."""
    model, layout = replace(MODEL, dropout=0.5), make_layout(TRAINING)
    captions, features = np.array([[1, 5, 6, 2]], np.int32), np.ones((1, 6), np.float32)
    data = CaptionSet(captions, np.zeros(1, np.int32), Image(features))
    data = jax.tree.map(lambda x: put(np.repeat(x, 8, axis=0), layout.rows), data)
    batch = Batch(as_image(features), jnp.asarray(captions))
    state, *learner = placed(None, load(folder, None), model=model)
    keys = [jax.random.fold_in(step_key(state), part) for part in range(8)]
    expected = [caption_loss(state.params, model, batch, key) for key in keys]
    assert len({float(loss.per_caption) for loss in expected}) == 8
    call = Call(1, 8, batch_size=8, layout=layout)
    state = layout.place(state)
    _, result = compile_steps(state, data, *learner, call)(state, data)
    mean = np.mean([loss.per_caption for loss in expected])
    np.testing.assert_allclose(result.losses, [mean], rtol=1e-6)


@pytest.mark.parametrize(
    ("batch_size", "options", "texts"),
    [
        (25, {}, ["`batch_size=25`", "8 devices", "`batch_size=32`", "`batch_shards=5`"]),
        (8, {"batch_shards": 3}, ["`batch_size=8`", "`batch_shards=3`"]),
        (8, {"vocab_shards": 3}, ["`vocab_shards=3`", "8 devices"]),
        (8, {"batch_shards": 8, "vocab_shards": 2}, ["`batch_shards=8`", "is 16", "8 devices"]),
    ],
)
def test_what_does_not_divide_names_both_numbers(batch_size, options, texts):
    with pytest.raises(ValueError) as raised:
        make_layout(TrainingConfig(batch_size=batch_size), **options)
    for text in texts:
        assert text in str(raised.value)
    with pytest.raises(ValueError, match="`vocab_shards=8` .* vocabulary of 12 words"):
        make_layout(TRAINING, vocab_shards=8).check_vocabulary(12)
