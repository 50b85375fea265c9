"""A clock that was set back between two starts and within one changes nothing."""

import os
import time

import pytest
from runs import assert_goes_on_to, start, train, train_until

from jaxcap.learning.checkpoints import Checkpoints

DAY = 86_400


@pytest.fixture
def clock(monkeypatch):
    """Sets the process's clock, as it stands for `time.time` and `time.time_ns`."""
    now, now_ns = time.time, time.time_ns

    def set_to(days):
        monkeypatch.setattr(time, "time", lambda: now() + days * DAY)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + days * DAY * 10**9)

    return set_to


def dated(folder, days):
    """As if the files had been written then."""
    for path in [folder, *folder.rglob("*")]:
        changed = path.stat().st_mtime + days * DAY
        os.utime(path, (changed, changed))


@pytest.mark.slow
def test_a_clock_set_back_changes_nothing(tiny, info, tmp_path, clock):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(start(whole, info), tiny)

    clock(days=2)
    train_until(5, start(cut, info), tiny)
    dated(cut, days=2)
    saved = Checkpoints(cut).steps
    clock(days=0)
    assert Checkpoints(cut).steps == saved
    run = start(cut, info, resume=True)
    assert int(run.state.step) == saved[-1]
    clock(days=-1)
    for progress, _ in (steps := run.train(tiny)):
        clock(days=-1 - progress.iteration)
        if progress.iteration >= 12:
            break
    steps.close()
    # Written by an earlier clock than those before it.
    assert Checkpoints(cut).steps[-1] > saved[-1]
    assert_goes_on_to(whole, cut, info, tiny)
    assert Checkpoints(cut).best() == Checkpoints(whole).best()
