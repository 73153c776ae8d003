"""Tests of how far a study is, as `normbench status` shows it."""

import os
import socket
from pathlib import Path

import pytest

from normbench.commands.status import lines
from normbench.engine import standing as module
from normbench.engine.interrupt import OutOfTime
from normbench.record.jobs import JobFile, QueuedJob
from normbench.record.leases import Leases

from .sessions import plan, run
from .test_workers import Listener


def test_ended_runs_are_counted() -> None:
    """Failed ones are named with their error and, if a job trained them, its log."""
    (Path("broken.py")).write_text(
        "from torch.nn import BatchNorm1d\n\nclass Broken(BatchNorm1d):\n    def forward(self, x):\n"
        "        if self.training and len(x) == 16:\n            raise RuntimeError('broken')\n"
        "        return super().forward(x)\n"
    )
    own = ("norm._target_=broken.Broken", "norm.name=own", "batch_size=16,32")
    folder = run(*own).study.folder
    (failed,) = (line for line in lines(folder) if "RuntimeError" in line)
    run_id = failed.split()[0].rstrip(":")
    JobFile(folder).add(
        [QueuedJob("Slurm job 5", 1, 0, None, "jobs/5.err"), QueuedJob("Slurm job 6", 1, 0, run_id, "jobs/6.err")]
    )
    found = list(lines(folder))
    assert found[1:3] == ["done      1 run", "failed    1 run; the same command retries them"]
    assert found[-1] == f"          {run_id}: log {folder / 'jobs' / '6.err'}"


def test_what_is_not_done_is_running_queued_or_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases say who trains it; of a job its cluster says whether it waits."""
    session = plan("seed=range(4)", "study=mine")
    session.study.create()
    with pytest.raises(OutOfTime):
        session.execute(Listener(), until=0.0)
    folder = session.study.folder
    assert list(lines(folder))[1:] == [
        "done      0 runs",
        "left      4 runs: the command that planned them trains them",
    ]
    states = {"Slurm job 7_0": "running", "Slurm job 7_1": "queued"}
    monkeypatch.setattr(module, "job_state", states.get)
    monkeypatch.setattr(module, "job_runs", lambda name: name in states)
    JobFile(folder).add(QueuedJob(name, 1, index, None, f"jobs/7_{index}.err") for index, name in enumerate(states))
    for index, name in enumerate(states):
        Leases(folder, job=name).take(1, index)
    with Leases(folder) as ours:
        ours.take(1, 2)
        assert list(lines(folder))[1:] == [
            "done      0 runs",
            f"running   2 runs: Slurm job 7_0, process {os.getpid()} on {socket.gethostname()}",
            "queued    1 run: Slurm job 7_1",
            "left      1 run: the command that planned them trains them",
            f"log       Slurm job 7_0: {folder / 'jobs' / '7_0.err'}",
        ]
