"""Signals as requests: the first is noted, the second acts as if nobody had caught it."""

import os
import signal
import subprocess
import sys

import pytest
from command_calls import ROOT

from jaxcap.learning.interrupts import catch_interrupts

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a program in the foreground, however the tests were started."""
    before = [signal.signal(signal.SIGINT, signal.default_int_handler)]
    before += [signal.signal(signal.SIGTERM, signal.SIG_DFL)]
    yield
    for number, handler in zip(CODES, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", CODES)
def test_the_first_signal_is_noted_and_handlers_are_put_back(number):
    before = [signal.getsignal(number) for number in CODES]
    with catch_interrupts() as interrupt:
        assert (bool(interrupt), interrupt.exit_code) == (False, 0)
        os.kill(os.getpid(), number)
        assert (interrupt.received, interrupt.exit_code) == (number, CODES[number])
    assert [signal.getsignal(number) for number in CODES] == before


def test_the_second_acts_as_before():
    with pytest.raises(KeyboardInterrupt), catch_interrupts() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt
        os.kill(os.getpid(), signal.SIGINT)


IGNORES = """
import os, signal, sys
from jaxcap.learning.interrupts import catch_interrupts
with catch_interrupts() as interrupt:
    for name in sys.argv[1:]:
        os.kill(os.getpid(), signal.Signals[name])
        print(interrupt.exit_code)
"""


@pytest.mark.parametrize(("ignored", "said"), [("INT", "0\n143\n"), ("TERM INT", "0\n0\n")])
def test_one_that_is_ignored_at_the_start_stays_ignored(ignored, said):
    """As SIGINT is in what a script starts in the background: Ctrl-C there is meant for another."""
    command = [sys.executable, "-c", IGNORES, "SIGINT", "SIGTERM"]
    shell = ["sh", "-c", f"trap '' {ignored}; exec \"$@\"", "sh", *command]
    result = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, said), result.stderr
