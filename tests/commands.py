"""What a command leaves on the screen, and waiting for what a process does."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Command = Callable[..., Result]


def wait_until(
    happened: Callable[[], bool], by: "subprocess.Popen[str] | None" = None, *, seconds: float = 120.0
) -> None:
    """Wait for something; fail if it takes too long, or if the process that should do it ends first."""
    end = time.monotonic() + seconds
    while not happened():
        if by is not None and by.poll() is not None:
            # It may have been the last thing that the process did.
            assert happened(), f"ended with {by.returncode} before that: {by.communicate()}"
            return
        if time.monotonic() > end:
            if by is not None:
                by.kill()
            said = "" if by is None else f": {by.communicate()}"
            raise AssertionError(f"did not happen in {seconds:g} s{said}")
        time.sleep(0.05)
