"""Training over eight simulated devices, in a process of its own, and what one device needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcap.learning.config import TrainingConfig
from jaxcap.learning.sharding import Layout, make_layout

FILE = Path(__file__).with_name("eight_devices.py")


@pytest.mark.parametrize(
    "marks", ["not nightly", pytest.param("nightly", marks=pytest.mark.nightly)]
)
def test_eight_devices(marks):
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", marks, str(FILE)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


def test_one_device_needs_no_layout(tiny):
    assert make_layout(TrainingConfig()) is None
    assert make_layout(TrainingConfig(), batch_shards=1) is None
    assert Layout.of(tiny.train.captions) is None


@pytest.mark.parametrize("option", ["batch_shards", "vocab_shards"])
def test_more_shards_than_devices_are_refused(option):
    with pytest.raises(ValueError, match=f"`{option}=2`.* 1 device"):
        make_layout(TrainingConfig(batch_size=8), **{option: 2})
