"""The worker process: it carries out assignments one by one, and saves the records of whole packs."""

import ctypes
import gc
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from normbench.engine.attempt import Attempt, Checkpoints, Observers, attempt, attempt_alone
from normbench.engine.device import keep_freed_memory, make_deterministic
from normbench.engine.prepare import Work
from normbench.engine.schedule import Assignment
from normbench.errors import StudyError
from normbench.record.store import Study

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Duty:
    """Instructions that every worker of a command gets at its start.

    Attributes:
        work: All packs.
        folder: Folder of the study.
        observers: Makes the observers of a run.
        command: Process id of the command.
        checkpoint_every: Steps between checkpoints of a run that trains solo; None saves none.
    """

    work: Sequence[Work]
    folder: Path
    observers: Observers
    command: int
    checkpoint_every: int | None = None


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
    study = Study(duty.folder)
    try:
        while (assignment := assignments.recv()) is not None:
            assignments.send(_carry_out(assignment, duty, study, device))
    except (EOFError, ConnectionError):
        return


def _carry_out(assignment: Assignment, duty: Duty, study: Study, device: torch.device) -> Attempt | StudyError:
    work = duty.work[assignment.place]
    checkpoints = Checkpoints(study, duty.checkpoint_every)
    try:
        if assignment.run_id is not None:
            return attempt_alone(work, assignment.run_id, device, duty.observers, checkpoints)
        done = attempt(work, device, duty.observers, checkpoints)
        study.write_shard(work.block, work.index, [trained.record for trained in done.trained])
    except StudyError as error:
        return error
    return done


def _follow(command: int) -> None:
    """Leave Ctrl-C to the command, and end when it ends: a half-written file is not a shard."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != command:
        os._exit(1)
