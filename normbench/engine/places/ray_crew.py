"""The seats of a command in a Ray cluster: each is a task in progress."""

import re
from collections.abc import Iterator
from importlib import import_module
from types import TracebackType
from typing import Any

import torch

from normbench.engine.places.node import Origin
from normbench.engine.places.place import Duty, Lost, Report, Seat
from normbench.engine.places.ray_cluster import find_ray, is_ours
from normbench.engine.places.ray_task import train
from normbench.engine.schedule import Assignment


class RayCrew:
    """A fixed number of seats; a context manager that cancels what is in progress at its end, and disconnects."""

    def __init__(self, duty: Duty, device: torch.device, *, seats: int, most_cpus: int, most_gpus: int) -> None:
        """Make the seats.

        Args:
            duty: Instructions for the workers.
            device: Where they train.
            seats: Their number.
            most_cpus: CPUs of the largest node.
            most_gpus: GPUs of the largest node.
        """
        self._ray = find_ray()
        self._device = device
        self._most_cpus, self._most_gpus = most_cpus, most_gpus if device.type == "cuda" else 0
        # A command on a machine without GPUs cannot name those of the nodes, for the record of a dead worker.
        here = device if device.type == "cpu" or torch.cuda.is_available() else torch.device("cpu")
        self.seats = [Seat(here) for _ in range(seats)]
        # Lost tasks are given again by the loop of all places, which counts them and tells the user.
        self._task = self._ray.remote(max_retries=0)(train)
        self._shared = [self._ray.put(one) for one in (duty, device, Origin())]
        self._running: dict[Any, Seat] = {}

    def __enter__(self) -> "RayCrew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._running:
            self._ray.cancel(task, force=True)
        if is_ours():
            self._ray.shutdown()

    def give(self, seat: Seat, assignment: Assignment) -> None:
        """Start a task."""
        seat.take(assignment)
        # A pack planned for a larger machine keeps its threads, and so its bits.
        pack = assignment.work.pack
        needs = {"num_cpus": min(pack.cpus, self._most_cpus), "num_gpus": min(pack.ranks, self._most_gpus)}
        self._running[self._task.options(**needs).remote(assignment, *self._shared)] = seat

    def reports(self, timeout: float) -> Iterator[tuple[Seat, Assignment, Report]]:
        """Wait for a task to end.

        Args:
            timeout: Seconds to wait at most.
        """
        # The tables need pandas at the end; import it while this process waits.
        import_module("pandas")
        ended, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        for task in ended:
            seat = self._running.pop(task)
            assignment = seat.clear()
            assert assignment is not None
            yield seat, assignment, self._report(task)

    def recall(self) -> None:
        """Do nothing: what was given has begun."""

    def _report(self, task: Any) -> Report:
        errors = self._ray.exceptions
        try:
            report: Report = self._ray.get(task)
            return report
        except (errors.NodeDiedError, errors.ObjectLostError) as error:
            address = re.search(r"Node IP: ([^\s,]+)", str(error))
            return Lost(f"node {address[1]} of the cluster was lost" if address else "a node of the cluster was lost")
        except errors.OutOfMemoryError:
            return "worker killed by Ray, as the memory of its node ran out"
        except errors.WorkerCrashedError:
            return "worker died"
        except errors.RayError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            return f"worker failed: {lines[-1] if lines else type(error).__name__}"
