"""Ctrl-C: once to stop after the packs in flight, twice to stop now; SIGTERM is like twice."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NOTICE = b"stopping as soon as the runs in flight have ended; Ctrl-C again stops now.\n"


class Interrupts:
    """What the user has asked for so far."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C and say so; at the second, or at SIGTERM, raise KeyboardInterrupt."""
        if self.asked or number != signal.SIGINT:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
        # print is not safe in a signal handler; the first bytes take the place of a progress line.
        os.write(2, (b"\r\x1b[2K" if os.isatty(2) else b"") + _NOTICE)

    def check(self) -> None:
        """Raise KeyboardInterrupt where the user has asked to stop: nothing is in flight here."""
        if self.asked:
            raise KeyboardInterrupt


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """Take signals while packs are trained; outside the main thread Python hands out none, and nothing changes."""
    asked = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, asked.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
        # It may have come after the last look: nobody else will hear of it.
        asked.check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
