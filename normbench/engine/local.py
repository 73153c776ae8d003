"""Packs trained on this machine, in this process, one after another; each leaves a shard."""

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

import torch

from normbench.engine.device import device_name, find_device, make_deterministic, peak_memory_mb
from normbench.engine.prepare import Work, load_data
from normbench.engine.rows import provenance_line, record
from normbench.record.store import Record, Study
from normbench.spec import Run, Settings
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer, train

Observers = Callable[[str, Run], Sequence[Observer]]


class Progress(Protocol):
    """Is told what the engine does."""

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        """See a run's outcome, its record already on disk."""


def execute(
    work: Iterable[Work], study: Study, settings: Settings, *, observers: Observers, progress: Progress
) -> None:
    """Train packs one after another and keep the records of each as soon as it ends.

    Args:
        work: The packs.
        study: Where the records go.
        settings: Device.
        observers: Makes the observers of a run.
        progress: Is told of each run that ends.

    Raises:
        StudyError: If a record cannot be written.
        KeyboardInterrupt: If the user asks to stop; finished packs are kept.
    """
    device = find_device(settings.engine.device)
    make_deterministic(device)
    with _threads_restored():
        for item in work:
            torch.set_num_threads(item.pack.threads)
            for run_id, run in item.runs.items():
                outcome, row = _train(run_id, run, item, device, observers)
                study.write_shard(item.block, item.index, [row])
                progress.run_ended(run_id, run, outcome)


@contextmanager
def _threads_restored() -> Iterator[None]:
    """Leave the process with the threads that it had: from Python, the caller's work and the next plan go on in it."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _train(run_id: str, run: Run, item: Work, device: torch.device, observers: Observers) -> tuple[Outcome, Record]:
    started, clock = datetime.now(UTC), perf_counter()
    outcome = _attempt(run_id, run, device, observers)
    origin = provenance_line(
        run_id,
        item,
        device=str(device),
        device_name=device_name(device),
        started=started.isoformat(timespec="milliseconds"),
        wall_time_s=round(perf_counter() - clock, 3),
        peak_memory_mb=peak_memory_mb(device),
        norm_layers=outcome.norm_layers,
    )
    return outcome, record(run_id, outcome, origin)


def _attempt(run_id: str, run: Run, device: torch.device, observers: Observers) -> Outcome:
    """Train a run; whatever it raises becomes its outcome, so that the others go on."""
    try:
        return train(run, load_data(run.data), device=device, observers=observers(run_id, run))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        text = " ".join(str(error).split())
        return Outcome(status="failed", error=f"{type(error).__name__}: {text} ({frame.filename}, line {frame.lineno})")
