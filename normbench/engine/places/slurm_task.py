"""What a Slurm job does: it trains an assignment under the lease of its pack."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch

from normbench.engine.attempt import Attempt
from normbench.engine.places.node import Origin, own_versions, stand_there, unlike
from normbench.engine.places.place import Duty, carry_out, recorded
from normbench.engine.places.slurm_queue import job_runs, name_of
from normbench.engine.schedule import Assignment
from normbench.errors import StudyError
from normbench.record.leases import RENEWAL, Leases
from normbench.record.store import Study

BEGUN = "normbench: training begins"
"""The line in the log of a job from which on its death is a matter of its runs, and not of the node's installation."""

_POLL = 2.0
"""Seconds between looks at a lease that another holds."""


@dataclass(frozen=True)
class SlurmTask:
    """A call without arguments, which submitit makes on the node.

    Attributes:
        assignment: A pack, or one run of it.
        duty: The instructions.
        device: Where to train.
        origin: Where the command stands.
    """

    assignment: Assignment
    duty: Duty
    device: torch.device
    origin: Origin

    def __call__(self) -> Attempt | StudyError:
        """Train the assignment; the records of a whole pack are saved here, those of a single run by the command."""
        node = os.environ.get("SLURMD_NODENAME", os.uname().nodename)
        if text := unlike(node, own_versions(), self.origin.versions):
            return StudyError(text)
        stand_there(self.device, self.origin)
        if not self.duty.folder.is_dir():
            return StudyError(f"node {node} does not see {self.duty.folder}: put the study on a shared disk.")
        print(BEGUN, flush=True)
        self._listen()
        if self.assignment.run_id is not None:
            return carry_out(self.assignment, self.duty, self.device)
        study, work = Study(self.duty.folder), self.assignment.work
        with _held(Leases(study.folder, job=name_of(_job()), runs=job_runs), work.block, work.index):
            if study.has_shard(work.block, work.index):
                # Another command has trained it meanwhile, or this job has, before its node was lost.
                return recorded(work, study)
            return carry_out(self.assignment, self.duty, self.device)

    def _listen(self) -> None:
        """Shortly before the time limit Slurm sends a signal: queue again what can go on from a checkpoint."""
        work, study, begun = self.assignment.work, Study(self.duty.folder), time.time()

        def requeue(_number: int, _frame: FrameType | None) -> None:
            saved = [path for run_id in work.runs if (path := study.checkpoint(run_id)).exists()]
            # Without a new checkpoint the next job would come no further than this one.
            if any(path.stat().st_mtime >= begun for path in saved):
                subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=True)

        signal.signal(signal.SIGUSR2, requeue)


def _job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


@contextmanager
def _held(leases: Leases, block: int, index: int) -> Iterator[None]:
    """Hold the lease of a pack, which a thread renews; wait while another process holds it."""
    while (block, index) in leases.holders():
        time.sleep(_POLL)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEWAL):
            leases.renew()

    with leases:
        leases.take(block, index)
        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        yield
        over.set()
        thread.join()
