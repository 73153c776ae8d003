"""Trains packs in their place: gives them out, tries again what died, gathers the records, and tells the watcher."""

import math
import time
from collections.abc import Callable, Iterable, Sequence

import torch

from normbench.engine.attempt import Attempt, Observers, Trained, given_up
from normbench.engine.device import keep_freed_memory, threads_restored
from normbench.engine.interrupt import Interrupts, interrupts
from normbench.engine.places import job_runs, place_of
from normbench.engine.places.place import Crew, Duty, Lost, Report, Site, Watcher, Withdrawn
from normbench.engine.schedule import Assignment, WorkQueue
from normbench.engine.work import Work
from normbench.errors import ConfigError, StudyError
from normbench.plan import Pack
from normbench.record.leases import Leases
from normbench.record.owners import described
from normbench.record.store import Study
from normbench.source import MAIN
from normbench.spec import Component, Run, Settings

_TICK = 0.2
"""Seconds between ticks while packs train elsewhere."""

_POLL = 1.0
"""Seconds between looks at the leases of others."""

_MOST_LOSSES = 3
"""Times that an assignment may be lost with its node; after that it counts as the cause."""


class _Telling:
    """Reports ended runs, and once per command each remark on departures from the plan."""

    def __init__(self, watcher: Watcher) -> None:
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
        settings: The place, device, threads and workers.
        observers: Makes the observers of a run, in the process that trains it.
        watcher: Receives each run that ends.
        until: Time after which nothing new is started, in seconds of time.monotonic.

    Raises:
        StudyError: If a record cannot be written, or the user took packs back while they were in training.
        Detached: If the place trains on without this command.
        KeyboardInterrupt: If the user asks to stop; finished packs are kept.
        OutOfTime: If the time is over; finished packs are kept.
    """
    keep_freed_memory()
    duty = Duty(study.folder, observers, settings.engine.checkpoint_every)
    place = place_of(settings.engine)
    with interrupts(until, place.again) as asked, threads_restored(), Leases(study.folder, runs=job_runs) as leases:
        work = _not_held(work, leases, place, study, watcher, asked)
        with place.crew(work, duty, settings.engine, watcher) as crew:
            _Loop(crew, work, study, watcher, leases if place.leased else None).run(asked)


def check_workers(runs: Iterable[Run], packs: Callable[[], Sequence[Pack]], settings: Settings) -> None:
    """Check that the processes of a command can import the user's own parts.

    Args:
        runs: The runs of the plan.
        packs: Returns the packs to train.
        settings: The place, device, threads and workers.

    Raises:
        ConfigError: If a part is defined in the user's script or notebook, which other processes cannot import.
    """
    parts = {f"{group}._target_={part.target}" for run in runs for group, part in _parts(run) if part.target}
    in_main = sorted(part for part in parts if f"={MAIN}" in part)
    if in_main and (remedy := place_of(settings.engine).remedy(packs(), settings.engine)):
        raise ConfigError(
            f"{in_main[0]}: workers are spawned here and cannot import it; move it to a .py file, or set {remedy}."
        )


def _parts(run: Run) -> tuple[tuple[str, Component], ...]:
    return ("model", run.model), ("norm", run.norm), ("data", run.data)


def _not_held(
    work: Sequence[Work], leases: Leases, place: Site, study: Study, watcher: Watcher, asked: Interrupts
) -> Sequence[Work]:
    """Wait until nothing but the place trains any of the packs, and return those that have not been trained then."""
    packs = {(item.block, item.index) for item in work}
    said = False
    while holders := [
        holder for pack, holder in leases.holders().items() if pack in packs and not place.collects(holder)
    ]:
        if not said:
            said = True
            watcher.note(f"waiting for {described(holders[0])}, which is training {len(holders)} of these packs")
        asked.check()
        time.sleep(_POLL)
        watcher.tick()
    # Jobs that earlier commands have left may end at any time.
    return [item for item in work if not study.has_shard(item.block, item.index)]


class _Loop:
    """Gives out packs and takes in reports, until none is left."""

    def __init__(self, crew: Crew, work: Sequence[Work], study: Study, watcher: Watcher, leases: Leases | None) -> None:
        self._leases = leases
        self._crew = crew
        self._queue = WorkQueue(work)
        self._study = study
        self._watcher = watcher
        self._telling = _Telling(watcher)
        self._withdrawn: list[str] = []

    def run(self, asked: Interrupts) -> None:
        """Train all packs, or those in progress once the user asks to stop."""
        while True:
            if asked.stopping:
                self._crew.recall()
            self._give_out(new=not asked.stopping)
            if not any(seat.assignment for seat in self._crew.seats):
                asked.check()
                if self._withdrawn:
                    raise StudyError(f"{', '.join(self._withdrawn)}: the same command trains what is left.")
                return
            for seat, assignment, report in self._crew.reports(_TICK):
                self._take_in(report, assignment, seat.device)
            self._watcher.tick()
            if self._leases is not None:
                self._leases.renew()

    def _give_out(self, *, new: bool) -> None:
        seats = self._crew.seats
        for seat in [seat for seat in seats if seat.assignment is None]:
            if not self._queue.has_any(new=new):
                return
            others = {other.structure for other in seats if other is not seat}
            if assignment := self._queue.take(seat.structure, others, new=new):
                if self._leases is not None and assignment.run_id is None:
                    self._leases.take(assignment.work.block, assignment.work.index)
                self._crew.give(seat, assignment)

    def _take_in(self, report: Report, assignment: Assignment, device: torch.device) -> None:
        """Save and report an ended assignment, or schedule it once more."""
        if isinstance(report, StudyError):
            raise report
        if isinstance(report, Withdrawn):
            self._watcher.note(f"{report.reason}; its {_count(assignment)} left out")
            self._withdrawn.append(report.reason)
            return
        if isinstance(report, Lost):
            if self._queue.repeat(assignment, _MOST_LOSSES):
                self._watcher.note(f"{report.reason}; its {_count(assignment)} trained again")
                return
            report = report.reason
        item = assignment.work
        if assignment.run_id is not None:
            self._take_part(report, item, assignment.run_id, device)
        elif isinstance(report, str):
            self._watcher.note(
                f"{report}; retrying its {len(item.runs)} run{'s, each alone' if len(item.runs) > 1 else ''}"
            )
            self._queue.split(item)
        else:
            if not report.kept:
                self._keep(item, report.trained)
            self._end(item, report.trained, report.notes)

    def _take_part(self, report: Attempt | str, item: Work, run_id: str, device: torch.device) -> None:
        """Gather a run that was trained alone."""
        if isinstance(report, str):
            report = Attempt((given_up(item, run_id, device, report),))
        for text in report.notes:
            self._watcher.note(text)
        (one,) = report.trained
        if whole := self._queue.gather(item, one):
            self._keep(item, whole)
            self._end(item, whole)

    def _end(self, item: Work, trained: Sequence[Trained], notes: Sequence[str] = ()) -> None:
        if self._leases is not None:
            self._leases.drop(item.block, item.index)
        self._telling.ended(item, trained, notes)

    def _keep(self, item: Work, trained: Sequence[Trained]) -> None:
        self._study.write_shard(item.block, item.index, [one.record for one in trained])


def _count(assignment: Assignment) -> str:
    count = 1 if assignment.run_id is not None else len(assignment.work.runs)
    return f"{count} runs are" if count > 1 else "run is"
