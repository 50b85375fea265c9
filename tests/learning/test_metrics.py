"""The metrics file: its rows, what a resumed run keeps of it, and TensorBoard's events."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from jaxcap.learning.loop import Progress, TrainingConfig, init_state
from jaxcap.learning.metrics import METRICS_FILE, MetricsWriter, read_metrics
from jaxcap.nn.captioner import CaptionerConfig
from jaxcap.nn.loss import CaptionLoss

STATE = init_state(
    jax.random.key(0), CaptionerConfig(vocab_size=4, feature_dim=1), TrainingConfig()
)


def progress(iteration, losses, epoch=None, val=None):
    return Progress(
        state=STATE,
        iteration=iteration,
        num_iterations=10,
        losses=np.array(losses, np.float32),
        captions_per_second=123.456,
        epoch=epoch,
        val=val,
    )


def val(per_caption, per_word=1.0):
    return CaptionLoss(np.float32(per_caption), np.float32(per_word))


def test_one_row_an_iteration(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(progress(2, [5.0, 4.5]))
    writer.write(progress(4, [4.0, 3.5], epoch=1, val=val(4.25)))
    writer.close()
    rows = read_metrics(tmp_path)
    assert [(row["iteration"], row["loss"]) for row in rows] == [(1, 5), (2, 4.5), (3, 4), (4, 3.5)]
    assert rows[3] == {
        "iteration": 4,
        "loss": 3.5,
        "captions_per_second": 123.5,
        "epoch": 1,
        "val_loss": 4.25,
        "val_loss_per_word": 1.0,
    }


def test_cider_is_in_the_row_of_an_epoch(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    ended = progress(2, [5.0, 4.5], epoch=1, val=val(4.25))
    writer.write(dataclasses.replace(ended, cider=0.5))
    writer.close()
    assert [row.get("val_cider") for row in read_metrics(tmp_path)] == [None, 0.5]


def test_resuming_drops_what_lies_behind_the_checkpoint(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(progress(4, [5.0, 4.0, 3.0, 2.0]))
    writer.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"iteration": 5, "lo')  # A crash in the middle of a line.
    assert len(read_metrics(tmp_path)) == 4
    writer = MetricsWriter(tmp_path, after=2, tensorboard=False)
    writer.write(progress(3, [3.5]))
    writer.close()
    assert [row["loss"] for row in read_metrics(tmp_path)] == [5.0, 4.0, 3.5]


def test_loss_survives_as_written(tmp_path):
    """A float32 comes back bit for bit, so that histories can be compared."""
    writer = MetricsWriter(tmp_path, tensorboard=False)
    loss = np.float32(1) / np.float32(3)
    writer.write(progress(1, [loss]))
    writer.close()
    assert np.float32(read_metrics(tmp_path)[0]["loss"]) == loss


def test_nan_is_null_in_json(tmp_path):
    writer = MetricsWriter(tmp_path, tensorboard=False)
    writer.write(progress(1, [1.0], epoch=1, val=val(float("nan"), float("inf"))))
    writer.close()
    line = (tmp_path / METRICS_FILE).read_text()
    assert "NaN" not in line and "Infinity" not in line
    assert json.loads(line)["val_loss"] is None


def test_tensorboard_events_hold_the_same_numbers(tmp_path):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    writer = MetricsWriter(tmp_path)
    writer.write(progress(2, [5.0, 4.5], epoch=1, val=val(4.25)))
    writer.close()
    events = accumulators.EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(1, 5.0), (2, 4.5)]
    assert [(e.step, e.value) for e in events.Scalars("val_loss")] == [(2, 4.25)]


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path) == []
