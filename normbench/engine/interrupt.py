"""Ctrl-C: once to stop after the packs in flight, twice to stop now; SIGTERM is like twice, a time limit like once."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NOTICE = b"stopping after the runs in progress; Ctrl-C again stops now.\n"


class OutOfTime(Exception):
    """The time is over after which nothing new is begun; what was finished is kept."""


class Interrupts:
    """What the user has asked for so far, and how long there is time."""

    def __init__(self, until: float) -> None:
        self.asked = False
        self._until = until

    @property
    def stopping(self) -> bool:
        """Whether nothing new may be begun."""
        return self.asked or time.monotonic() >= self._until

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C and say so; at the second, or at SIGTERM, raise KeyboardInterrupt."""
        if self.asked or number != signal.SIGINT:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
        # print is not safe in a signal handler; the first bytes take the place of a progress line.
        os.write(2, (b"\r\x1b[2K" if os.isatty(2) else b"") + _NOTICE)

    def check(self) -> None:
        """Raise KeyboardInterrupt or OutOfTime where nothing new may be begun: nothing is in flight here."""
        if self.asked:
            raise KeyboardInterrupt
        if self.stopping:
            raise OutOfTime


@contextmanager
def interrupts(until: float = math.inf) -> Iterator[Interrupts]:
    """Take signals while packs are trained; outside the main thread Python hands out none, and nothing changes.

    Args:
        until: When the time is over, in seconds of time.monotonic.
    """
    asked = Interrupts(until)
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    # A handler that was not set from Python, as in a program that embeds it, could not be put back.
    ours = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not None]
    before = {number: signal.signal(number, asked.handle) for number in ours}
    try:
        yield asked
        # Ctrl-C may have come after the last look: nobody else will hear of it.
        asked.check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
