"""The worker process: it carries out assignments one by one, and saves the records of whole packs."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection

import torch

from normbench.engine.device import keep_freed_memory, make_deterministic
from normbench.engine.places.place import Duty, carry_out

_PR_SET_PDEATHSIG = 1


def serve(duty: Duty, device: torch.device, assignments: Connection, inherited: Sequence[Connection]) -> None:
    """Carry out assignments until the command has no more, or has ended.

    Args:
        duty: The instructions.
        device: Where to train.
        assignments: The pipe for assignments and their results.
        inherited: Copies of the command's pipe ends in a fork: while one is open, no process sees the pipe close.
    """
    for pipe in inherited:
        pipe.close()
    _follow(duty.command)
    # Inherited objects are never garbage: collecting them would copy every memory page.
    gc.freeze()
    torch.set_num_threads(1)
    keep_freed_memory()
    make_deterministic(device)
    try:
        while (assignment := assignments.recv()) is not None:
            assignments.send(carry_out(assignment, duty, device))
    except (EOFError, ConnectionError):
        return


def _follow(command: int) -> None:
    """Leave Ctrl-C to the command, and end when it ends: a half-written file is not a shard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != command:
        os._exit(1)
