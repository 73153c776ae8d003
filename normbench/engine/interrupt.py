"""Ctrl-C: once stops after the packs in progress, twice stops now. SIGTERM acts like twice, a time limit like once."""

import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTime(Exception):
    """The time limit has passed; nothing new is started, and finished runs are kept."""


class Detached(Exception):
    """The command ends, and its place trains on; the text says what there is."""


class Interrupts:
    """The interrupts so far, and the time limit."""

    def __init__(self, until: float, again: str) -> None:
        self.asked = False
        self._until = until
        self._notice = f"stopping after the runs in progress; Ctrl-C again {again}.\n".encode()

    @property
    def stopping(self) -> bool:
        """Whether nothing new may be started."""
        return self.asked or time.monotonic() >= self._until

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Note the first Ctrl-C and print a notice; at the second, or at SIGTERM, raise KeyboardInterrupt."""
        if self.asked or number != signal.SIGINT:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
        # print is not safe in a signal handler; the first bytes erase a progress line.
        os.write(2, (b"\r\x1b[2K" if os.isatty(2) else b"") + self._notice)

    def check(self) -> None:
        """Raise KeyboardInterrupt or OutOfTime if nothing new may be started; call only with nothing in progress."""
        if self.asked:
            raise KeyboardInterrupt
        if self.stopping:
            raise OutOfTime


@contextmanager
def interrupts(until: float = math.inf, again: str = "stops now") -> Iterator[Interrupts]:
    """Handle signals while packs train; outside the main thread Python delivers none, and nothing changes.

    Args:
        until: The time limit, in seconds of time.monotonic.
        again: What a second Ctrl-C does, in words.
    """
    asked = Interrupts(until, again)
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    # A handler that was not set from Python, as in a program that embeds it, could not be restored.
    ours = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) is not None]
    before = {number: signal.signal(number, asked.handle) for number in ours}
    try:
        yield asked
        # Ctrl-C may have come after the last check: handle it here.
        asked.check()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_held(*more: signal.Signals) -> Iterator[None]:
    """Delay signals: a process that starts meanwhile must not run the handlers of its parent, nor end by Ctrl-C.

    Args:
        more: Further signals, besides those that ask to stop.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, *more})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
