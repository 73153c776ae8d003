"""A pack trained in this process, and what is kept of it; whatever a run raises becomes its outcome."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import torch

from normbench.engine.device import device_name, peak_memory_mb
from normbench.engine.prepare import Work, load_data
from normbench.engine.rows import provenance_line, record
from normbench.record.store import Record
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.pack import train_pack
from normbench.training.solo import Observer

Observers = Callable[[str, Run], Sequence[Observer]]


@dataclass(frozen=True, slots=True)
class Trained:
    """A run that has ended: its outcome, and what is kept of it."""

    run_id: str
    outcome: Outcome
    record: Record


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a pack.

    Attributes:
        trained: Each of the runs that were to be trained.
        notes: What the user should be told.
    """

    trained: tuple[Trained, ...]
    notes: tuple[str, ...] = ()


def attempt(work: Work, device: torch.device, observers: Observers) -> Attempt:
    """Train a pack; where that raises, each of its runs once more and alone.

    Args:
        work: The pack.
        device: Where to train.
        observers: Makes the observers of a run.
    """
    torch.set_num_threads(work.pack.threads)
    started, clock = datetime.now(UTC), perf_counter()
    try:
        outcomes = _train(work, list(work.runs), device, observers)
    except (Exception, SystemExit) as error:
        alone = [attempt_alone(work, run_id, device, observers) for run_id in work.runs]
        count = f"each of its {len(alone)} runs was" if len(alone) > 1 else "it was"
        return Attempt(tuple(alone), (f"a pack raised, and {count} tried again alone: {_reason(error)}",))
    wall = perf_counter() - clock
    return Attempt(
        tuple(
            _trained(work, run_id, outcome, device, started, wall)
            for run_id, outcome in zip(work.runs, outcomes, strict=True)
        )
    )


def attempt_alone(work: Work, run_id: str, device: torch.device, observers: Observers) -> Trained:
    """Train one run of a pack by itself, in the mode of the pack."""
    torch.set_num_threads(work.pack.threads)
    started, clock = datetime.now(UTC), perf_counter()
    try:
        (outcome,) = _train(work, [run_id], device, observers)
    except (Exception, SystemExit) as error:
        outcome = Outcome(status="failed", error=_reason(error))
    return _trained(work, run_id, outcome, device, started, perf_counter() - clock)


def given_up(work: Work, run_id: str, device: torch.device, reason: str) -> Trained:
    """Return the failed row of a run that took its process with it."""
    outcome = Outcome(status="failed", error=reason)
    return _trained(work, run_id, outcome, device, datetime.now(UTC), 0.0)


def _train(work: Work, run_ids: Sequence[str], device: torch.device, observers: Observers) -> list[Outcome]:
    runs = [work.runs[run_id] for run_id in run_ids]
    watching = [observers(run_id, run) for run_id, run in zip(run_ids, runs, strict=True)]
    return train_pack(runs, load_data(runs[0].data), mode=work.pack.mode, device=device, observers=watching)


def _trained(
    work: Work, run_id: str, outcome: Outcome, device: torch.device, started: datetime, wall: float
) -> Trained:
    origin = provenance_line(
        run_id,
        work,
        device=str(device),
        device_name=device_name(device),
        started=started.isoformat(timespec="milliseconds"),
        wall_time_s=round(wall, 3),
        peak_memory_mb=peak_memory_mb(device),
        norm_layers=outcome.norm_layers,
    )
    return Trained(run_id, outcome, record(run_id, outcome, origin))


def _reason(error: BaseException) -> str:
    """Return an exception in one line, with the place that raised it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text} ({frame.filename}, line {frame.lineno})"
