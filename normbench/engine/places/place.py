"""What a place is to the loop that trains packs: it has a machine and seats for packs, and reports how they ended."""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch

from normbench.engine.attempt import Attempt, Checkpoints, Observers, Trained, attempt, attempt_alone
from normbench.engine.schedule import Assignment
from normbench.engine.work import Work
from normbench.errors import StudyError
from normbench.packing import Machine
from normbench.plan import Pack
from normbench.record.store import Study
from normbench.spec import Engine, Run
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer


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


@dataclass(frozen=True, slots=True)
class Lost:
    """A text on how an assignment was lost through no fault of its runs, as with a node: it is given once more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A text on how the user took an assignment back: it is left to a later command."""

    reason: str


Report = Attempt | StudyError | Lost | Withdrawn | str
"""The result of an assignment: its runs, an error of the study, why there is none, or how its process died."""


@dataclass(eq=False)
class Seat:
    """Room for one assignment at a time.

    Attributes:
        device: Where it trains.
        assignment: Its current assignment; None if there is room.
        structure: Structure of its last pack.
    """

    device: torch.device
    assignment: Assignment | None = None
    structure: str | None = None

    def take(self, assignment: Assignment) -> None:
        """Take an assignment."""
        self.assignment, self.structure = assignment, assignment.work.pack.structure

    def clear(self) -> Assignment | None:
        """Make room, and return the assignment that was there."""
        assignment, self.assignment = self.assignment, None
        return assignment


@dataclass(frozen=True)
class Duty:
    """Instructions that every process of a command gets at its start.

    Attributes:
        folder: Folder of the study.
        observers: Makes the observers of a run.
        checkpoint_every: Steps between checkpoints of a run that trains solo; None saves none.
        command: Process id of the command.
    """

    folder: Path
    observers: Observers
    checkpoint_every: int | None = None
    command: int = field(default_factory=os.getpid)


class Crew(Protocol):
    """The seats of a place during one command."""

    @property
    def seats(self) -> Sequence[Seat]:
        """All seats; those without an assignment have room."""

    def give(self, seat: Seat, assignment: Assignment) -> None:
        """Give an assignment to a seat with room; if its process has died, the next reports say so."""

    def reports(self, timeout: float) -> Iterator[tuple[Seat, Assignment, Report]]:
        """Wait for assignments to end, `timeout` seconds at most, and yield each that did; its seat has room again."""

    def recall(self) -> None:
        """Take back assignments that have not begun, as the user asks to stop: their seats have room again."""


class Site(Protocol):
    """Where packs train: what `engine.name` chooses.

    Attributes:
        leased: Whether the command takes a lease of each pack: machines may not see the lock of the study's folder.
        again: What a second Ctrl-C does.
        overhead: Seconds that each pack takes besides its training, of a typical machine.
    """

    leased: bool
    again: str
    overhead: float

    def about(self) -> str:
        """Return what there is of it on this machine, or what it needs."""

    def device(self, engine: Engine) -> torch.device:
        """Return where its packs train.

        Raises:
            ConfigError: If it is not available, or the threads are more than it can run.
        """

    def check_ranks(self, engine: Engine, device: torch.device) -> None:
        """Check that runs can have the ranks that the user asks for, two or more.

        Args:
            engine: What the user asked for.
            device: Where they train.

        Raises:
            ConfigError: If they cannot.
        """

    def machine(self, engine: Engine) -> Machine:
        """Return what the packing knows about its machine."""

    def elsewhere(self, engine: Engine) -> str:
        """Return the name of its machines if they are not this one; empty if they are."""

    def nodes(self, engine: Engine) -> int:
        """Return the number of its machines."""

    def workers(self, packs: Sequence[Pack], engine: Engine) -> int:
        """Return how many packs train at a time."""

    def remedy(self, packs: Sequence[Pack], engine: Engine) -> str:
        """Return how else to train what the user's script or notebook defines; empty if its processes have that."""

    def collects(self, owner: str) -> bool:
        """Return whether its crew takes in what the owner of a lease trains."""

    def crew(self, work: Sequence[Work], duty: Duty, engine: Engine, watcher: Watcher) -> AbstractContextManager[Crew]:
        """Return the seats for packs; at the end of the context all processes that cannot go on alone are ended.

        Args:
            work: All packs of the command.
            duty: Instructions for the processes.
            engine: What the user asked for.
            watcher: Has more observers of a run, for runs that train in this process; receives notes.
        """


def carry_out(assignment: Assignment, duty: Duty, device: torch.device, *, keep: bool = True) -> Attempt | StudyError:
    """Train an assignment in this process.

    Args:
        assignment: A pack, or one run of it.
        duty: The instructions.
        device: Where to train.
        keep: Whether to save the records of a whole pack; otherwise the command saves them.
    """
    work, study = assignment.work, Study(duty.folder)
    checkpoints = Checkpoints(study, duty.checkpoint_every)
    try:
        if assignment.run_id is not None:
            return attempt_alone(work, assignment.run_id, device, duty.observers, checkpoints)
        done = attempt(work, device, duty.observers, checkpoints)
        if keep:
            study.write_shard(work.block, work.index, [trained.record for trained in done.trained])
    except StudyError as error:
        return error
    return replace(done, kept=keep)


def recorded(work: Work, study: Study) -> Attempt:
    """Return what a study has of a pack that was trained by another command."""
    records = study.shard(work.block, work.index)
    return Attempt(
        tuple(
            Trained(record.run_id, Outcome(status=record.status, error=record.error), record)  # type: ignore[arg-type]
            for record in records
        ),
        kept=True,
    )
