"""The worker processes of a command: started, given assignments, replaced if they die, ended with the command."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType

import torch

from normbench.engine.interrupt import signals_held
from normbench.engine.places.place import Duty, Report, Seat
from normbench.engine.places.worker import serve
from normbench.engine.processes import main_hidden
from normbench.engine.schedule import Assignment

_PATIENCE = 5.0
"""Seconds that an idle worker has to end by itself."""


@dataclass(frozen=True)
class _Worker:
    """A process, and the command's end of its pipe."""

    process: BaseProcess
    pipe: Connection


class Pool:
    """A fixed number of workers, each with a seat; a context manager that ends them all."""

    def __init__(self, duty: Duty, devices: Sequence[torch.device], method: str) -> None:
        """Start a worker on each device.

        Args:
            duty: Instructions for the workers.
            devices: The device of each worker.
            method: `fork` or `spawn`.
        """
        self._duty = duty
        self._method = method
        self._workers: dict[Seat, _Worker] = {}
        for device in devices:
            self._start(Seat(device))

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for seat, worker in self._workers.items():
            if kind is not None or seat.assignment is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    @property
    def seats(self) -> Sequence[Seat]:
        """The seats, one per worker."""
        return list(self._workers)

    def give(self, seat: Seat, assignment: Assignment) -> None:
        """Give an assignment to a waiting worker; if the worker has died, the next reports say so."""
        seat.take(assignment)
        with suppress(ConnectionError):
            self._workers[seat].pipe.send(assignment)

    def reports(self, timeout: float) -> Iterator[tuple[Seat, Assignment, Report]]:
        """Wait for workers to finish their assignments, and replace those that died.

        Args:
            timeout: Seconds to wait at most.
        """
        # The tables need pandas at the end; import it while this process waits.
        import_module("pandas")
        ready = wait([worker.pipe for worker in self._workers.values()], timeout)
        for seat, worker in [(seat, worker) for seat, worker in self._workers.items() if worker.pipe in ready]:
            assignment, report = seat.clear(), self._receive(worker)
            if isinstance(report, str):
                seat.structure = None
                self._start(seat)
            if assignment is not None:
                yield seat, assignment, report

    def recall(self) -> None:
        """Do nothing: what was given has begun."""

    def _receive(self, worker: _Worker) -> Report:
        try:
            report: Report = worker.pipe.recv()
            return report
        except (EOFError, ConnectionError):
            worker.pipe.close()
            worker.process.join()
            return _death(worker.process.exitcode)

    def _start(self, seat: Seat) -> None:
        """Start the worker of a seat, in place of one that died."""
        context = multiprocessing.get_context(self._method)
        ours, theirs = context.Pipe()
        others = [worker.pipe for other, worker in self._workers.items() if other is not seat]
        inherited = [*others, ours] if self._method == "fork" else []
        # The contexts share no type for context.Process.
        process: BaseProcess = context.Process(  # type: ignore[attr-defined]
            target=serve, args=(self._duty, seat.device, theirs, inherited)
        )
        with signals_held(), nullcontext() if self._method == "fork" else main_hidden():
            process.start()
            theirs.close()
            self._workers[seat] = _Worker(process, ours)


def can_fork_with_threads() -> bool:
    """Return whether a forked process can train with several threads: it cannot if this process has done so before.

    In a fork GNU OpenMP waits forever for the threads of its parent, so a test fork tries it first.
    """
    process = multiprocessing.get_context("fork").Process(target=_use_threads)
    process.start()
    process.join(_PATIENCE)
    if process.exitcode != 0:
        process.kill()
        process.join()
        return False
    return True


def _use_threads() -> None:
    torch.set_num_threads(2)
    torch.ones(2**20).add_(1)
    os._exit(0)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        memory = ", as the system does when memory runs out" if -code == signal.SIGKILL else ""
        return f"worker killed by signal {-code}{memory}"
    return f"worker ended with exit code {code}"
