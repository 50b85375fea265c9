"""The metrics file: its rows, what a resumed run keeps of it, and TensorBoard's events."""

import json

import jax
import numpy as np
import optax
import pytest

from jaxcap.learning.metrics import METRICS_FILE, MetricsWriter, read_metrics
from jaxcap.learning.progress import Progress
from jaxcap.learning.step import init_state
from jaxcap.nn.config import CaptionerConfig
from jaxcap.nn.loss import CaptionLoss

STATE = init_state(
    jax.random.key(0), CaptionerConfig(vocab_size=4, feature_dim=1), optax.identity()
)


def write(folder, *progress, **options):
    writer = MetricsWriter(folder, **{"tensorboard": False, **options})
    for one in progress:
        writer.write(one)
    writer.close()
    return read_metrics(folder)


def progress(iteration, losses, epoch=None, val=None, cider=None):
    measured = None if val is None else CaptionLoss(*map(np.float32, val))
    losses = np.array(losses, np.float32)
    return Progress(STATE, iteration, 10, losses, 123.456, True, epoch, measured, cider)


def test_one_row_an_iteration(tmp_path):
    third = float(np.float32(1) / np.float32(3))
    rows = write(tmp_path, progress(2, [5, third]), progress(4, [4, 3.5], 1, (4.25, 1), 0.5))
    # A float32 comes back bit for bit, so that histories can be compared.
    assert [(row["iteration"], row["loss"]) for row in rows] == [
        (1, 5),
        (2, third),
        (3, 4),
        (4, 3.5),
    ]
    assert rows[3] == {
        "iteration": 4,
        "loss": 3.5,
        "captions_per_second": 123.5,
        "epoch": 1,
        "val_loss": 4.25,
        "val_loss_per_word": 1.0,
        "val_cider": 0.5,
    }


def test_resuming_drops_what_lies_behind_the_checkpoint(tmp_path):
    assert read_metrics(tmp_path) == []
    write(tmp_path, progress(4, [5, 4, 3, 2]))
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"iteration": 5, "lo')  # A crash in the middle of a line.
    assert len(read_metrics(str(tmp_path))) == 4
    rows = write(tmp_path, progress(3, [3.5]), after=2)
    assert [row["loss"] for row in rows] == [5.0, 4.0, 3.5]


def test_nan_is_null_in_json(tmp_path):
    write(tmp_path, progress(1, [1.0], 1, (float("nan"), float("inf"))))
    line = (tmp_path / METRICS_FILE).read_text()
    assert "NaN" not in line and "Infinity" not in line
    assert json.loads(line)["val_loss"] is None


def test_tensorboard_events_hold_the_same_numbers(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path, progress(2, [5.0, 4.5], 1, (4.25, 1)), tensorboard=True)
    events = accumulators.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 5.0), (2, 4.5)]
    assert [(e.step, e.value) for e in events.Scalars("val_loss")] == [(2, 4.25)]
