"""The jobs of a command in Slurm: queued as arrays, found again by a later command, and what became of them."""

import os
import pickle
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import groupby

import torch

from normbench.engine.interrupt import Detached
from normbench.engine.places.node import Origin
from normbench.engine.places.place import Duty, Report, Seat, Watcher, recorded
from normbench.engine.places.slurm_deaths import death
from normbench.engine.places.slurm_queue import QueueEntry, ask, id_of, job_runs, last_line, look, name_of
from normbench.engine.places.slurm_submission import FOLDER, log_of, result_of, submit
from normbench.engine.places.slurm_task import SlurmTask
from normbench.engine.schedule import Assignment
from normbench.errors import ConfigError, StudyError
from normbench.record.jobs import JobFile, QueuedJob
from normbench.record.leases import Leases
from normbench.record.store import Study
from normbench.spec import Engine

_LOOK = 1.0
"""Seconds between looks for results in the folder."""

_ASK = 5.0
"""Seconds between questions to Slurm's queue."""

_SILENCE = 600.0
"""Seconds without an answer of the queue after which the command gives up; the jobs go on."""

_GRACE = 10.0
"""Seconds that a file system may take to show the result of a job that has ended."""

_MOST_JOBS = 1000
"""Most jobs of an array: Slurm's own default."""

_Key = tuple[int, int, str | None]


class SlurmCrew:
    """A seat for each pack, whose job may outlive the command."""

    def __init__(
        self, duty: Duty, device: torch.device, engine: Engine, watcher: Watcher, *, seats: int, minutes: int
    ) -> None:
        """Make the seats, and find the jobs of earlier commands.

        Args:
            duty: Instructions for the jobs.
            device: Where they train.
            engine: What the user asked for.
            watcher: Receives a note on each array.
            seats: Their number.
            minutes: Time that a job may take.
        """
        self._duty, self._device, self._engine, self._minutes = duty, device, engine, minutes
        self._note = watcher.note
        self._study = Study(duty.folder)
        self._file = JobFile(duty.folder)
        # A command on a machine without GPUs cannot name those of the nodes, for the record of a dead job.
        self.seats = [Seat(torch.device("cpu")) for _ in range(seats)]
        self._given: list[Seat] = []
        self._queued: dict[str, Seat] = {}
        self._entries: Mapping[str, QueueEntry] = {}
        self._over: dict[str, float] = {}
        self._recalled: set[str] | None = None
        self._looked = self._asked = -1e9
        self._answered = time.monotonic()
        self._earlier = self._find_jobs()

    def give(self, seat: Seat, assignment: Assignment) -> None:
        """Queue an assignment with the others that are given before the next reports, unless a job has it already."""
        seat.take(assignment)
        if (job := self._earlier.pop(_key(assignment), None)) is not None:
            self._queued[job] = seat
        else:
            self._given.append(seat)

    def recall(self) -> None:
        """Take back what has not begun."""
        if self._recalled is not None:
            return
        for seat in self._given:
            seat.clear()
        self._given.clear()
        waiting = {job for job, entry in look(self._queued).items() if entry.state == "PENDING"} & set(self._queued)
        self._recalled = waiting
        if waiting:
            arrays = sorted({job.partition("_")[0] for job in waiting})
            ask("scancel", "--state=PENDING", *arrays)
            self._asked = -1e9

    def reports(self, timeout: float) -> Iterator[tuple[Seat, Assignment, Report]]:
        """Queue what was given, wait, and yield what has ended.

        Raises:
            Detached: If the command is not to wait.
            StudyError: If Slurm does not take the jobs.
        """
        self._queue_given()
        if not self._engine.wait:
            count = len(self._queued)
            raise Detached(f"{count} job{'s' if count != 1 else ''} in Slurm; the same command collects the results.")
        # The tables need pandas at the end; import it while this process waits.
        import_module("pandas")
        time.sleep(timeout)
        for job in [*self._with_result(), *self._dead()]:
            if (seat := self._queued.pop(job, None)) is None:
                continue
            assignment = seat.clear()
            assert assignment is not None
            yield seat, assignment, self._report(job, assignment)
            self._let_go(assignment)

    def _find_jobs(self) -> dict[_Key, str]:
        """Return the jobs of earlier commands that wait or run, by what they train."""
        names: dict[_Key, str] = {(job.block, job.index, job.run_id): job.name for job in self._file.read()}
        # A command may have been killed before it could write down what it had queued.
        names |= {(*pack, None): owner for pack, owner in Leases(self._study.folder, runs=job_runs).holders().items()}
        ids = {key: job for key, name in names.items() if (job := id_of(name)) is not None}
        living = look(list(ids.values()))
        return {key: job for key, job in ids.items() if job in living and not living[job].is_over}

    def _queue_given(self) -> None:
        """Queue an array for each number of CPUs and GPUs."""
        given, self._given = self._given, []
        for needs, group in groupby(sorted(given, key=self._needs), key=self._needs):
            seats = list(group)
            for start in range(0, len(seats), _MOST_JOBS):
                self._queue(seats[start : start + _MOST_JOBS], *needs)

    def _queue(self, seats: list[Seat], cpus: int, gpus: int) -> None:
        origin = Origin()
        assignments = [seat.assignment for seat in seats if seat.assignment is not None]
        tasks = [SlurmTask(assignment, self._duty, self._device, origin) for assignment in assignments]
        jobs = submit(tasks, self._study.folder, self._engine, cpus=cpus, gpus=gpus, minutes=self._minutes)
        keys = [_key(assignment) for assignment in assignments]
        self._file.add(QueuedJob(name_of(job), *key, log_of(job)) for job, key in zip(jobs, keys, strict=True))
        for job, (block, index, run_id) in zip(jobs, keys, strict=True):
            if run_id is None:
                Leases(self._study.folder, job=name_of(job)).take(block, index)
        self._queued |= dict(zip(jobs, seats, strict=True))
        name = f"{len(jobs)} Slurm jobs, {jobs[0]} to {jobs[-1]}" if len(jobs) > 1 else name_of(jobs[0])
        self._note(f"{name}: queued; logs are in {self._study.folder / FOLDER}")
        self._asked = time.monotonic()

    def _needs(self, seat: Seat) -> tuple[int, int]:
        """Return the CPUs and GPUs of a job, whose process starts the ranks of its run."""
        assert seat.assignment is not None
        pack = seat.assignment.work.pack
        return self._engine.cpus or pack.cpus, self._engine.gpus * pack.ranks

    def _with_result(self) -> list[str]:
        if time.monotonic() - self._looked < _LOOK:
            return []
        self._looked = time.monotonic()
        names = {entry.name for entry in os.scandir(self._study.folder / FOLDER)} if self._queued else set()
        return [job for job in self._queued if result_of(job) in names]

    def _dead(self) -> list[str]:
        """Return the jobs that have ended some time ago and left no result."""
        if time.monotonic() - self._asked < _ASK:
            return []
        self._asked = now = time.monotonic()
        try:
            self._entries = look(self._queued)
        except ConfigError:
            # A busy controller misses a question now and then.
            if now - self._answered > _SILENCE:
                raise
            return []
        self._answered = now
        over = [job for job in self._queued if job not in self._entries or self._entries[job].is_over]
        self._over = {job: self._over.get(job, now) for job in over}
        for job in [job for job in over if job in (self._recalled or ()) and self._is_cancelled(job)]:
            assignment = self._queued.pop(job).clear()
            assert assignment is not None
            self._remove_task(job)
            self._let_go(assignment)
        return [job for job in over if job in self._queued and now - self._over[job] >= _GRACE]

    def _is_cancelled(self, job: str) -> bool:
        return job not in self._entries or self._entries[job].state == "CANCELLED"

    def _report(self, job: str, assignment: Assignment) -> Report:
        """Return what became of a job, and remove its files but the log."""
        folder, work = self._study.folder / FOLDER, assignment.work
        result = folder / result_of(job)
        self._remove_task(job)
        if result.exists():
            kind, value = pickle.loads(result.read_bytes())
            result.unlink()
            if kind == "success":
                report: Report = value
                return report
            return StudyError(
                f"{name_of(job)} could not train: {last_line(value)}; see {self._study.folder / log_of(job)}."
            )
        if assignment.run_id is None and self._study.has_shard(work.block, work.index):
            return recorded(work, self._study)
        return death(job, self._entries.get(job), self._study.folder)

    def _remove_task(self, job: str) -> None:
        (self._study.folder / FOLDER / f"{job}_submitted.pkl").unlink(missing_ok=True)

    def _let_go(self, assignment: Assignment) -> None:
        if assignment.run_id is None:
            Leases(self._study.folder).drop(assignment.work.block, assignment.work.index)


def _key(assignment: Assignment) -> _Key:
    return assignment.work.block, assignment.work.index, assignment.run_id
