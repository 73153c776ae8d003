"""The worker process: it carries out assignments one by one, and saves the records of whole packs."""

import gc
from collections.abc import Sequence
from multiprocessing.connection import Connection

import torch

from normbench.engine.device import keep_freed_memory, make_deterministic
from normbench.engine.places.place import Duty, carry_out
from normbench.engine.processes import end_with


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
    end_with(duty.command)
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
