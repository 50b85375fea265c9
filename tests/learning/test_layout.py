"""Training over eight simulated devices, in a process of its own, and what one device needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcap.learning.sharding import make_layout

FILE = Path(__file__).with_name("eight_devices.py")


def run_on_eight(marks, timeout):
    """Run the tests of `eight_devices.py` that are of these marks."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", marks]
        + [str(FILE)],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.mark.slow
@pytest.mark.parametrize("marks", ["not slow", "slow"], ids=["fast", "slow"])
def test_eight_devices(marks):
    result = run_on_eight(marks, timeout=1200)
    assert result.returncode == 0, result.stdout[-8000:] + result.stderr[-2000:]


def test_one_device_needs_no_layout():
    assert make_layout(25) is None
    assert make_layout(25, batch_shards=1) is None


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"batch_shards": 2}, ["--batch_shards=2", "1 device"]),
        ({"vocab_shards": 2}, ["--vocab_shards=2", "1 device"]),
    ],
)
def test_more_shards_than_devices_are_refused(options, texts):
    with pytest.raises(ValueError) as raised:
        make_layout(8, **options)
    for text in texts:
        assert text in str(raised.value)
