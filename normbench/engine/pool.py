"""The worker processes of a command: started, given assignments, replaced if they die, ended with the command."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType, TracebackType

import torch

from normbench.engine.attempt import Attempt
from normbench.engine.schedule import Assignment
from normbench.engine.worker import Duty, serve
from normbench.errors import StudyError

_PATIENCE = 5.0
"""Seconds that an idle worker has to end by itself."""

Report = Attempt | StudyError | str
"""The result of an assignment: its runs, an error of the study, or a text on how the worker died."""


@dataclass(eq=False)
class Worker:
    """A process and its current work.

    Attributes:
        process: The process.
        pipe: The command's end of its pipe.
        device: Where it trains.
        assignment: Its current assignment; None if it waits.
        structure: Structure of its last pack.
    """

    process: BaseProcess
    pipe: Connection
    device: torch.device
    assignment: Assignment | None = None
    structure: str | None = None


class Pool:
    """A fixed number of workers; a context manager that ends them all."""

    def __init__(self, duty: Duty, devices: Sequence[torch.device], method: str) -> None:
        """Start a worker on each device.

        Args:
            duty: Instructions for the workers.
            devices: The device of each worker.
            method: `fork` or `spawn`.
        """
        self._duty = duty
        self._method = method
        self.workers: list[Worker] = []
        for device in devices:
            self._start(device)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            if kind is not None or worker.assignment is not None:
                worker.process.kill()
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def give(self, worker: Worker, assignment: Assignment) -> None:
        """Give an assignment to a waiting worker; if the worker has died, the next reports say so."""
        worker.assignment = assignment
        worker.structure = self._duty.work[assignment.place].pack.structure
        with suppress(ConnectionError):
            worker.pipe.send(assignment)

    def reports(self, timeout: float) -> Iterator[tuple[Worker, Assignment, Report]]:
        """Wait for workers to finish their assignments, and replace those that died.

        Args:
            timeout: Seconds to wait at most.
        """
        ready = wait([worker.pipe for worker in self.workers], timeout)
        for worker in [worker for worker in self.workers if worker.pipe in ready]:
            assignment, report = worker.assignment, self._receive(worker)
            worker.assignment = None
            if isinstance(report, str):
                self.workers.remove(worker)
                self._start(worker.device)
            if assignment is not None:
                yield worker, assignment, report

    def _receive(self, worker: Worker) -> Report:
        try:
            report: Report = worker.pipe.recv()
            return report
        except (EOFError, ConnectionError):
            worker.pipe.close()
            worker.process.join()
            return _death(worker.process.exitcode)

    def _start(self, device: torch.device) -> None:
        context = multiprocessing.get_context(self._method)
        ours, theirs = context.Pipe()
        inherited = [worker.pipe for worker in self.workers] + [ours] if self._method == "fork" else []
        # The contexts share no type for context.Process.
        process: BaseProcess = context.Process(target=serve, args=(self._duty, device, theirs, inherited))  # type: ignore[attr-defined]
        with _signals_held(), nullcontext() if self._method == "fork" else _main_hidden():
            process.start()
            theirs.close()
            self.workers.append(Worker(process, ours, device))


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


@contextmanager
def _signals_held() -> Iterator[None]:
    """Delay signals: a starting process must not run the handlers of its parent."""
    numbers = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Keep a spawned process from running the user's script again, which would train once more."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
