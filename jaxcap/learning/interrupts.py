"""Ctrl-C and SIGTERM as requests, so that a call in progress is finished and saved."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jaxcap.learning import processes


@dataclass
class Interrupt:
    """Whether a signal came.

    Attributes:
        received: the signal, or None so far.
    """

    received: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.received is not None

    def anywhere(self) -> bool:
        """Tell whether a signal came to any of several processes; each must ask as often."""
        number = processes.largest(self.received or 0)
        if number and self.received is None:
            self.received = signal.Signals(number)
        return bool(number)

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program ended by the signal: 130 or 143; 0 without one."""
        return 0 if self.received is None else 128 + self.received


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Note the first SIGINT or SIGTERM; a second one acts as if it had not been caught.

    One that the process ignores stays ignored: a shell starts background jobs of a script so, lest
    a Ctrl-C that is meant for another ends them.
    """
    interrupt = Interrupt()
    before = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: object) -> None:
        del frame
        interrupt.received = signal.Signals(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        restore()
