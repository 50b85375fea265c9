"""What `test_layout.py` runs in a process of its own, for JAX to start with eight devices."""

import re
import shutil
from dataclasses import replace

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_data import tiny_splits
from tiny_runs import changed, opened

from jaxcap.data.batches import Batch, CaptionSet, count_images
from jaxcap.data.coco import load_coco, write_coco
from jaxcap.data.grid_writing import write_grids
from jaxcap.data.grids import Grids
from jaxcap.data.image import Image, as_image
from jaxcap.data.sharded import read_sharded
from jaxcap.datasets import Placement, load_data
from jaxcap.learning import loop
from jaxcap.learning.checkpoint_info import RunInfo
from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.learner import make_learner
from jaxcap.learning.loop import Call, compile_steps, fit
from jaxcap.learning.metrics import read_metrics
from jaxcap.learning.sharding import Layout, make_layout, put
from jaxcap.learning.step import step_key
from jaxcap.learning.validation import Validator
from jaxcap.nn.config import CaptionerConfig

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


def load(folder, layout, **options):
    return load_coco(folder, sharding=layout and layout.rows, **options)


def placed(layout, data, model=MODEL):
    """State, loss and optimiser."""
    learner = make_learner(model, TRAINING, data, KEY)
    return learner if layout is None else learner._replace(state=layout.place(learner.state))


def test_grids_are_split_as_features_are(folder, tmp_path):
    """Those of ten images, and rows of padding."""
    folder, layout = shutil.copytree(folder, tmp_path / "data"), make_layout(TRAINING)
    grid = np.random.default_rng(0).standard_normal((10, 3, 2)).astype(np.float16)
    for split in ("train", "val"):
        write_grids(folder / f"{split}2014_grid.h5", grid.shape, [grid])
    data = load_data(folder, placement=Placement(sharding=layout.rows, grids=True))
    held = data.train.images.grid
    assert held.shape == (16, 3, 2) and len(held.sharding.device_set) == 8
    assert held.sharding.spec[0] == data.train.features.sharding.spec[0]
    np.testing.assert_array_equal(held[:10], grid)
    assert not np.asarray(held[10:]).any() and data.val.images.grid.shape == grid.shape


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
    assert jax.device_count() == 8
    training, found = replace(TRAINING, order=order), []
    for layout in (None, make_layout(training, batch_shards=batch, vocab_shards=vocab)):
        data = load(folder, layout)
        validate = Validator(MODEL, data, training)
        calls = list(fit(*placed(layout, data), data.train, training, validate))
        params = calls[-1].state.params
        params = params if layout is None else layout.whole(params)
        losses = [[*call.losses, call.val.per_caption, call.val.per_word] for call in calls]
        found.append((np.array(losses), params))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-6)
    for name, param in found[1][1].items():
        np.testing.assert_allclose(param, found[0][1][name], atol=1e-4, err_msg=name)


@pytest.mark.parametrize(
    ("batch", "vocab", "order"),
    [(4, 2, "images"), pytest.param(1, 4, "images", marks=pytest.mark.nightly)],
)
def test_each_device_is_given_the_grids_of_its_part(folder, tmp_path, batch, vocab, order):
    """And the losses are those of one device with the same captions."""
    model = replace(MODEL, attention="soft", grid_dim=3)
    training = replace(TRAINING, order=order, val_images=4)
    grid = np.random.default_rng(0).standard_normal((10, 5, 3)).astype(np.float16)
    with h5py.File(tmp_path / "grid.h5", "w") as file:
        file.create_dataset("grid", data=grid, chunks=(1, 5, 3))
    found, reads = [], []
    for layout in (None, make_layout(training, batch_shards=batch, vocab_shards=vocab)):
        data = load(folder, layout)
        with Grids(tmp_path / "grid.h5") as grids:
            read_all = grids.read
            grids.read = lambda rows, read=read_all: reads.append(len(rows)) or read(rows)
            splits = {name: replace(split, grids=grids) for name, split in data.splits.items()}
            data = replace(data, splits=splits)
            validate = Validator(model, data, training)
            reads.clear()
            calls = list(fit(*placed(layout, data, model), data.train, training, validate))
        found.append([[*c.losses, c.val.per_caption, c.val.per_word, c.cider] for c in calls])
    np.testing.assert_allclose(found[1], found[0], rtol=2e-5)
    # A part is read once for all devices that hold it; images that are shared, once.
    size = 8 // batch if batch > 1 else count_images(np.asarray(data.train.image_idxs)[:42], 8)
    assert reads.count(size) == 2 * (CAPTIONS // 8) * batch


def collectives(layout, data):
    """The exchanges that the compiled program names, as (operation, bytes on a device)."""
    state, *learner = placed(layout, data)
    call = Call(3, CAPTIONS, batch_size=8, order="shuffle", layout=layout)
    captions = CaptionSet.of(data.train)
    lowered = loop._train_steps.lower(state, captions, *learner, call=call)
    pattern = r"= (\(.*?\)|\S+) (all-gather|all-reduce|all-to-all|reduce-scatter|collective-\w+)\("
    found = []
    for shapes, operation in re.findall(pattern, lowered.compile().as_text()):
        sizes = re.findall(r"[fsu]32\[([\d,]*)\]", shapes)
        counts = [np.prod([int(n) for n in size.split(",") if n]) for size in sizes]
        found.append((operation, 4 * int(sum(counts))))
    return sorted(found), captions.captions.shape[1]


def gradient_bytes(**shapes):
    """With the loss."""
    shapes = {**MODEL.parameter_shapes(), **shapes}
    return 4 * (sum(int(np.prod(shape)) for shape in shapes.values()) + 1)


def test_a_step_exchanges_its_minibatch_and_one_gradient(folder):
    layout = make_layout(TRAINING)
    found, columns = collectives(layout, load(folder, layout))
    assert found == [
        ("all-reduce", 4 * 8),  # image indices of the minibatch
        ("all-reduce", gradient_bytes()),
        ("reduce-scatter", 4 * 6),  # one device's features
        ("reduce-scatter", 4 * columns),  # and its captions
    ]


def test_a_sharded_vocabulary_is_never_gathered(folder):
    """Words and their losses travel, neither logits nor parameters."""
    layout = make_layout(TRAINING, vocab_shards=2)
    found, columns = collectives(layout, load(folder, layout))
    assert {name for name, _ in found} == {"all-reduce", "reduce-scatter"}
    words = 4 * 2 * (columns - 1)
    # The largest logit and the sum of all; word vectors; the hidden states' gradient and the
    # chosen logits.
    allowed = {0, 4 * 8, words, words * 8, words * (16 + 1)}
    allowed.add(gradient_bytes(W_vocab=(16, 6), b_vocab=(6,), W_embed=(6, 8)))
    assert {size for operation, size in found if operation == "all-reduce"} <= allowed


def test_state_and_data_lie_as_said(folder):
    layout = make_layout(TRAINING, vocab_shards=2)
    data = load(folder, layout)
    state, captions = placed(layout, data).state, CaptionSet.of(data.train)
    for params in (state.params, state.opt_state[0].mu):
        shapes = {name: param.addressable_data(0).shape for name, param in params.items()}
        assert shapes["W_vocab"] == (16, 6) and shapes["b_vocab"] == (6,)
        assert shapes["W_embed"] == (6, 8) and shapes["Wh"] == (16, 64)
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
    assert (parts.padding, parts.num_captions, parts.num_images) == ((6, 6), CAPTIONS, 10)
    for name in ("captions", "image_idxs", "features"):
        one, several = np.asarray(getattr(whole, name)), np.asarray(getattr(parts, name))
        np.testing.assert_array_equal(several[: len(one)], one)
        assert not several[len(one) :].any()
    drawn, split = (load(folder, one, max_train=5, key=KEY).train for one in (None, layout))
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

    def losses(name, layout, epochs, **start):
        data = load(folder, layout)
        info = changed(RunInfo.of(data, MODEL, TRAINING, 0), num_epochs=epochs)
        with opened(tmp_path / name, info, data, **start) as run:
            assert run.params["W_vocab"].shape == (16, 12)
            run.train(tensorboard=False)
        return [row["loss"] for row in read_metrics(tmp_path / name)]

    losses("run", make_layout(TRAINING, batch_shards=4, vocab_shards=2), 1)
    losses("run", make_layout(TRAINING), 2, resume=True)
    found = losses("run", None, 3, resume=True)
    np.testing.assert_allclose(found, losses("alone", None, 3), rtol=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize(("vocab", "dropout", "sampling"), [(1, 0.5, None), (2, 0.0, 0.9)])
def test_each_part_draws_its_own_dropout_or_words(folder, vocab, dropout, sampling):
    """Eight times the same caption: the loss is the mean over the draws of all parts."""
    layout = make_layout(TRAINING, vocab_shards=vocab)
    captions, features = np.array([[1, 5, 6, 7, 2]], np.int32), np.ones((1, 6), np.float32)
    data = CaptionSet(captions, np.zeros(1, np.int32), Image(features))
    data = jax.tree.map(lambda x: put(np.repeat(x, 8, axis=0), layout.rows), data)
    state, loss, optimiser = placed(None, load(folder, None), replace(MODEL, dropout=dropout))
    loss, parts = replace(loss, sampling=sampling), layout.batch_shards
    batch = Batch(as_image(features), jnp.asarray(captions)[np.zeros(8 // parts, int)])
    batch = batch._replace(image=batch.image.at(np.zeros(8 // parts, int)))
    keys = [jax.random.fold_in(step_key(state), part) for part in range(parts)]
    expected = [float(loss(state.params, batch, key)) for key in keys]
    assert len(set(expected)) == parts
    state, call = layout.place(state), Call(1, 8, batch_size=8, layout=layout)
    _, result = compile_steps(state, data, loss, optimiser, call)(state, data)
    np.testing.assert_allclose(result.losses, [np.mean(expected)], rtol=1e-6)


@pytest.mark.parametrize(
    ("batch_size", "options", "said"),
    [
        (25, {}, ["`batch_size=25`", "8 devices", "`batch_size=32`", "`batch_shards=5`"]),
        (8, {"batch_shards": 3}, ["`batch_size=8`", "`batch_shards=3`"]),
        (8, {"vocab_shards": 3}, ["`vocab_shards=3`", "8 devices"]),
        (8, {"batch_shards": 8, "vocab_shards": 2}, ["`batch_shards=8`", "is 16", "8 devices"]),
        (8, {"vocab_shards": 8}, ["`vocab_shards=8`", "vocabulary of 12 words"]),
    ],
)
def test_what_does_not_divide_names_both_numbers(batch_size, options, said):
    with pytest.raises(ValueError) as raised:
        make_layout(TrainingConfig(batch_size=batch_size), **options).check_vocabulary(12)
    assert all(text in str(raised.value) for text in said)
