"""A clock that was set back between two starts and within one changes nothing."""

import os
import time

from tiny_runs import opened, outcome, train, train_until

from jaxcap.learning.checkpoints import Checkpoints

DAY = 86_400


def test_a_clock_set_back_changes_nothing(tiny, info, tmp_path, monkeypatch):
    whole, cut, now, now_ns = tmp_path / "whole", tmp_path / "cut", time.time, time.time_ns

    def set_clock(days):
        monkeypatch.setattr(time, "time", lambda: now() + days * DAY)
        monkeypatch.setattr(time, "time_ns", lambda: now_ns() + days * DAY * 10**9)

    train(whole, info, tiny)
    set_clock(2)
    train_until(5, cut, info, tiny)
    for path in [cut, *cut.rglob("*")]:
        changed = path.stat().st_mtime + 2 * DAY
        os.utime(path, (changed, changed))
    saved = Checkpoints(cut).steps
    set_clock(0)
    assert Checkpoints(cut).steps == saved
    with opened(cut, info, tiny, resume=True) as run:
        assert run.iteration == saved[-1]
        for progress, _ in run.steps(tensorboard=False):
            set_clock(-1 - progress.iteration)
            if progress.iteration >= 12:
                break
    # Written by an earlier clock than those before it.
    assert Checkpoints(cut).steps[-1] > saved[-1]
    train(cut, info, tiny, resume=True)
    assert outcome(cut) == outcome(whole)
