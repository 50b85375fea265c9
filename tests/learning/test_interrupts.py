"""Signals as requests: the first is noted, the second acts as if nobody had caught it."""

import os
import signal
import subprocess
import sys

import pytest
from command_calls import ROOT

from jaxcap.learning.interrupts import catch_interrupts

BOTH = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a program in the foreground, however the tests were started."""
    before = [signal.getsignal(number) for number in BOTH]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    for number, handler in zip(BOTH, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_is_noted_and_handlers_are_put_back(number, code):
    before = [signal.getsignal(number) for number in BOTH]
    with catch_interrupts() as interrupt:
        assert (bool(interrupt), interrupt.exit_code) == (False, 0)
        os.kill(os.getpid(), number)
        assert (bool(interrupt), interrupt.received, interrupt.exit_code) == (True, number, code)
    assert [signal.getsignal(number) for number in BOTH] == before


def test_the_second_acts_as_before():
    with pytest.raises(KeyboardInterrupt), catch_interrupts() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt
        os.kill(os.getpid(), signal.SIGINT)


IGNORES = """
import os, signal
from jaxcap.learning.interrupts import catch_interrupts
with catch_interrupts() as interrupt:
    os.kill(os.getpid(), signal.{name})
    print(bool(interrupt), signal.getsignal(signal.{name}) == signal.SIG_IGN)
    {other}
    print(interrupt.exit_code)
"""


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("SIGINT", "os.kill(os.getpid(), signal.SIGTERM)", "False True\n143\n"),
        ("SIGTERM", "", "False True\n0\n"),
    ],
)
def test_one_that_is_ignored_at_the_start_stays_ignored(name, other, said):
    """As SIGINT is in what a script starts in the background: Ctrl-C there is meant for another."""
    code = IGNORES.format(name=name, other=other)
    shell = f"trap '' {name[3:]}; exec \"$@\""
    result = subprocess.run(
        ["sh", "-c", shell, "sh", sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, said), result.stderr
