"""Trains packs on this machine, in this process or in workers; each writes a shard."""

import math
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Protocol

import torch

from normbench.engine.attempt import Attempt, Checkpoints, Observers, Trained, attempt, given_up
from normbench.engine.device import (
    device_name,
    find_device,
    keep_freed_memory,
    make_deterministic,
    threads_restored,
    worker_devices,
)
from normbench.engine.interrupt import Interrupts, interrupts
from normbench.engine.pool import Pool, Report, can_fork_with_threads
from normbench.engine.prepare import Work, load_data
from normbench.engine.schedule import Assignment, WorkQueue
from normbench.engine.worker import Duty
from normbench.errors import ConfigError, StudyError
from normbench.plan import Pack
from normbench.record.provenance import commit, machine, versions
from normbench.record.store import Study
from normbench.source import MAIN
from normbench.spec import Component, Run, Settings
from normbench.training.compiled import load_compiler
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer

_TICK = 0.2
"""Seconds between ticks while workers train."""


class _Telling:
    """Reports ended runs, and once per command each remark on departures from the plan."""

    def __init__(self, watcher: "Watcher") -> None:
        self.watcher = watcher
        self._remarks: set[str] = set()

    def ended(self, item: Work, trained: Sequence[Trained], notes: Sequence[str] = ()) -> None:
        for text in notes:
            self.watcher.note(text)
        for one in trained:
            if one.outcome.remark and one.outcome.remark not in self._remarks:
                self._remarks.add(one.outcome.remark)
                self.watcher.note(f"{one.outcome.remark}: training takes longer")
            self.watcher.run_ended(one.run_id, item.runs[one.run_id].run, one.outcome)


class Watcher(Protocol):
    """Follows the engine's progress."""

    def observers(self, run_id: str, run: Run) -> Sequence[Observer]:
        """Return the observers of a run that trains in this process."""

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        """Receive a run's outcome; its record is already on disk."""

    def note(self, text: str) -> None:
        """Receive a note for the user."""

    def tick(self) -> None:
        """Called regularly while time passes."""


def execute(
    work: Sequence[Work],
    study: Study,
    settings: Settings,
    *,
    observers: Observers,
    watcher: Watcher,
    until: float = math.inf,
) -> None:
    """Train packs, and save the records of each as soon as it ends.

    Args:
        work: The packs.
        study: Where the records go.
        settings: Device, threads and workers.
        observers: Makes the observers of a run, in the process that trains it.
        watcher: Receives each run that ends.
        until: Time after which nothing new is started, in seconds of time.monotonic.

    Raises:
        StudyError: If a record cannot be written.
        KeyboardInterrupt: If the user asks to stop; finished packs are kept.
        OutOfTime: If the time is over; finished packs are kept.
    """
    devices, method = _crew([item.pack for item in work], settings)
    keep_freed_memory()
    with interrupts(until) as asked, threads_restored():
        if method == "here":
            checkpoints = Checkpoints(study, settings.engine.checkpoint_every)
            _train_here(work, checkpoints, devices[0], observers, watcher, asked)
            return
        if method == "fork":
            torch.set_num_threads(1)
            _load_ahead(work, devices[0])
        duty = Duty(work, study.folder, observers, os.getpid(), settings.engine.checkpoint_every)
        with Pool(duty, devices, method) as pool:
            _train_in(pool, work, study, watcher, asked)


def check_workers(runs: Iterable[Run], packs: Callable[[], Sequence[Pack]], settings: Settings) -> None:
    """Check that the workers of a command can import the user's own parts.

    Args:
        runs: The runs of the plan.
        packs: Returns the packs to train.
        settings: Device, threads and workers.

    Raises:
        ConfigError: If a part is defined in the user's script or notebook, which spawned workers cannot import.
    """
    parts = {f"{group}._target_={part.target}" for run in runs for group, part in _parts(run) if part.target}
    in_main = sorted(part for part in parts if f"={MAIN}" in part)
    if in_main and _crew(packs(), settings)[1] == "spawn":
        raise ConfigError(
            f"{in_main[0]}: workers are spawned here and cannot import it; "
            "move it to a .py file, or set engine.workers=1."
        )


def _parts(run: Run) -> tuple[tuple[str, Component], ...]:
    return ("model", run.model), ("norm", run.norm), ("data", run.data)


def _crew(packs: Sequence[Pack], settings: Settings) -> tuple[list[torch.device], str]:
    """Return the devices and the method: `here`, in this process, or `fork` or `spawn` for workers."""
    device = find_device(settings.engine.device)
    threads = max((pack.threads for pack in packs), default=1)
    devices = worker_devices(device, settings.engine.workers, packs=len(packs), threads=threads)
    if len(devices) < 2 or multiprocessing.current_process().daemon:
        # A process of multiprocessing.Pool may not have children.
        return [device], "here"
    return devices, _start_method(device, threads)


def _train_here(
    work: Sequence[Work],
    checkpoints: Checkpoints,
    device: torch.device,
    observers: Observers,
    watcher: Watcher,
    asked: Interrupts,
) -> None:
    make_deterministic(device)
    telling = _Telling(watcher)

    def all_observers(run_id: str, run: Run) -> Sequence[Observer]:
        return [*observers(run_id, run), *watcher.observers(run_id, run)]

    for item in work:
        asked.check()
        done = attempt(item, device, all_observers, checkpoints)
        _keep(item, done.trained, checkpoints.study)
        telling.ended(item, done.trained, done.notes)
    asked.check()


def _train_in(pool: Pool, work: Sequence[Work], study: Study, watcher: Watcher, asked: Interrupts) -> None:
    schedule = WorkQueue(work)
    telling = _Telling(watcher)
    while True:
        for worker in [worker for worker in pool.workers if worker.assignment is None]:
            others = {other.structure for other in pool.workers if other is not worker}
            if assignment := schedule.take(worker.structure, others, new=not asked.stopping):
                pool.give(worker, assignment)
        if not any(worker.assignment for worker in pool.workers):
            asked.check()
            return
        # The tables need pandas at the end; import it while this process waits.
        import_module("pandas")
        for worker, assignment, report in pool.reports(_TICK):
            _take_in(report, assignment, worker.device, schedule, work[assignment.place], study, telling)
        watcher.tick()


def _take_in(
    report: Report,
    assignment: Assignment,
    device: torch.device,
    schedule: WorkQueue,
    item: Work,
    study: Study,
    telling: _Telling,
) -> None:
    """Report an ended assignment, or schedule the work of a dead worker once more."""
    if isinstance(report, StudyError):
        raise report
    if isinstance(report, str) and assignment.run_id is None:
        telling.watcher.note(
            f"{report}; retrying its {len(item.runs)} run{'s, each alone' if len(item.runs) > 1 else ''}"
        )
        schedule.split(assignment.place)
        return
    if assignment.run_id is None:
        assert not isinstance(report, str)
        telling.ended(item, report.trained, report.notes)
        return
    if isinstance(report, str):
        report = Attempt((given_up(item, assignment.run_id, device, report),))
    for text in report.notes:
        telling.watcher.note(text)
    (one,) = report.trained
    if whole := schedule.gather(assignment.place, one):
        _keep(item, whole, study)
        telling.ended(item, whole)


def _keep(item: Work, trained: Sequence[Trained], study: Study) -> None:
    study.write_shard(item.block, item.index, [one.record for one in trained])


def _start_method(device: torch.device, threads: int) -> str:
    """Return how workers start: forked with everything loaded, or spawned if forks are not safe."""
    if chosen := os.environ.get("NORMBENCH_START_METHOD"):
        if chosen not in ("fork", "spawn"):
            raise ConfigError(f"NORMBENCH_START_METHOD: got {chosen!r}, expected fork or spawn.")
        return chosen
    forks = os.uname().sysname == "Linux" and device.type == "cpu"
    return "fork" if forks and (threads == 1 or can_fork_with_threads()) else "spawn"


def _load_ahead(work: Sequence[Work], device: torch.device) -> None:
    """Load and query once what every forked worker would otherwise load and query again."""
    for one in {(id(one.run.data), id(one.place)): one for item in work for one in item.runs.values()}.values():
        load_data(one.data).fetch(torch.zeros(1, dtype=torch.int64))
    for answer in (versions, commit, machine):
        answer()
    device_name(device)
    # Both take seconds, which every worker would spend.
    modes = {item.pack.mode for item in work}
    if "compiled" in modes:
        load_compiler()
    elif "stacked" in modes or any(one.probes for item in work for one in item.runs.values()):
        import_module("torch._dynamo")
