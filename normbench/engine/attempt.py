"""Trains a pack in this process and builds its records; an exception of a run becomes its outcome."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import torch

from normbench.engine.device import device_name, peak_memory_mb
from normbench.engine.ranks import joined
from normbench.engine.rows import provenance_cells, record
from normbench.engine.work import Work, load_data
from normbench.errors import StudyError, own_place
from normbench.record.checkpoints import CheckpointFile
from normbench.record.store import Record, Study
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.pack import train_pack
from normbench.training.solo import Observer

Observers = Callable[[str, Run], Sequence[Observer]]


@dataclass(frozen=True)
class Checkpoints:
    """Where the states of runs are saved during training.

    Attributes:
        study: The study that holds the runs.
        every: Steps between checkpoints; None saves none, but still resumes from existing ones.
    """

    study: Study
    every: int | None

    def file(self, run_id: str, device: torch.device, note: Callable[[str], None]) -> CheckpointFile:
        """Return the checkpoint of a run; it reports to `note` why it cannot be resumed from."""
        return CheckpointFile(self.study, run_id, self.every, device, note)


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that has ended: its outcome and its record."""

    run_id: str
    outcome: Outcome
    record: Record


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of training a pack.

    Attributes:
        trained: The runs of the pack, all ended.
        notes: Notes for the user.
        kept: Whether its records are on the disk.
    """

    trained: tuple[Trained, ...]
    notes: tuple[str, ...] = ()
    kept: bool = False


def attempt(work: Work, device: torch.device, observers: Observers, checkpoints: Checkpoints | None = None) -> Attempt:
    """Train a pack; if that raises an error, train each of its runs once more alone.

    Args:
        work: The pack.
        device: Where to train.
        observers: Makes the observers of a run.
        checkpoints: Where to save its runs' states, if it trains solo; None saves none.

    Raises:
        StudyError: If the study cannot be written, which is not a fault of a run.
    """
    torch.set_num_threads(work.pack.threads)
    started, clock = datetime.now(UTC), perf_counter()
    notes: list[str] = []
    try:
        outcomes = _train(work, list(work.runs), device, observers, checkpoints, notes)
    except StudyError:
        raise
    except (Exception, SystemExit) as error:
        count = f"each of its {len(work.runs)} runs was" if len(work.runs) > 1 else "it was"
        notes.append(f"a pack raised an error, and {count} retried alone: {_reason(error)}")
        alone = [attempt_alone(work, run_id, device, observers, checkpoints) for run_id in work.runs]
        trained = tuple(one for again in alone for one in again.trained)
        return Attempt(trained, (*notes, *(text for again in alone for text in again.notes)))
    wall = perf_counter() - clock
    return Attempt(
        tuple(
            _trained(work, run_id, outcome, device, started, wall)
            for run_id, outcome in zip(work.runs, outcomes, strict=True)
        ),
        tuple(notes),
    )


def attempt_alone(
    work: Work, run_id: str, device: torch.device, observers: Observers, checkpoints: Checkpoints | None = None
) -> Attempt:
    """Train one run of a pack by itself, in the mode of the pack; see `attempt`."""
    torch.set_num_threads(work.pack.threads)
    started, clock = datetime.now(UTC), perf_counter()
    notes: list[str] = []
    try:
        (outcome,) = _train(work, [run_id], device, observers, checkpoints, notes)
    except StudyError:
        raise
    except (Exception, SystemExit) as error:
        outcome = Outcome(status="failed", error=_reason(error))
    return Attempt((_trained(work, run_id, outcome, device, started, perf_counter() - clock),), tuple(notes))


def given_up(work: Work, run_id: str, device: torch.device, reason: str) -> Trained:
    """Return the failed result of a run whose process died."""
    outcome = Outcome(status="failed", error=reason)
    return _trained(work, run_id, outcome, device, datetime.now(UTC), 0.0)


def _train(
    work: Work,
    run_ids: Sequence[str],
    device: torch.device,
    observers: Observers,
    checkpoints: Checkpoints | None,
    notes: list[str],
) -> list[Outcome]:
    runs = [work.runs[run_id] for run_id in run_ids]
    # A single run may be in a pack of an earlier sweep: its log is not worth a new plan.
    looked_into = observers if work.pack.mode == "solo" else lambda run_id, run: ()
    watching = [looked_into(run_id, one.run) for run_id, one in zip(run_ids, runs, strict=True)]
    files = [checkpoints.file(run_id, device, notes.append) if checkpoints else None for run_id in run_ids]
    data = load_data(runs[0].data)
    with joined(runs[0], work.pack, device) as ranks:
        return train_pack(
            runs,
            data,
            mode=work.pack.mode,
            fill=work.pack.fill,
            device=device,
            observers=watching,
            checkpoints=files,
            ranks=ranks,
        )


def _trained(
    work: Work, run_id: str, outcome: Outcome, device: torch.device, started: datetime, wall: float
) -> Trained:
    origin = provenance_cells(
        run_id,
        work,
        device=str(device),
        device_name=device_name(device),
        started=started.isoformat(timespec="milliseconds"),
        wall_time_s=round(wall, 3),
        peak_memory_mb=peak_memory_mb(device),
        norm_layers=outcome.norm_layers,
        remark=outcome.remark,
    )
    return Trained(run_id, outcome, record(run_id, outcome, origin))


def _reason(error: BaseException) -> str:
    """Return an exception in one line, with the place in the user's code, else the place that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({own_place(error) or f'{frame.filename}, line {frame.lineno}'})"
