"""Signals as requests: the first is noted, the second acts as if nobody had caught it."""

import os
import signal

import pytest

from jaxcap.learning.interrupts import catch_interrupts


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_the_first_signal_is_noted(number, code):
    with catch_interrupts() as interrupt:
        assert not interrupt
        assert interrupt.exit_code == 0
        os.kill(os.getpid(), number)
        assert interrupt
        assert interrupt.received == number
        assert interrupt.exit_code == code


def test_the_second_acts_as_before():
    with pytest.raises(KeyboardInterrupt), catch_interrupts() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with catch_interrupts():
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
