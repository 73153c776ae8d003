"""This machine: packs train in this process or in workers."""

import multiprocessing
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module

import torch

from normbench.engine.attempt import Observers
from normbench.engine.device import check_threads, device_name, find_compiler, find_device, worker_devices
from normbench.engine.places.here import Here
from normbench.engine.places.place import Crew, Duty, Watcher
from normbench.engine.places.pool import Pool, can_fork_with_threads
from normbench.engine.rank_checks import check_ranks_here
from normbench.engine.work import Work, load_data
from normbench.errors import ConfigError
from normbench.packing import Machine
from normbench.plan import Pack
from normbench.record.provenance import commit, machine, versions
from normbench.spec import Engine, Run
from normbench.training.compiled import load_compiler
from normbench.training.solo import Observer


class Local:
    """The place `local`: a process per core or GPU, or this process alone."""

    leased = False
    again = "stops now"
    overhead = 0.0

    def about(self) -> str:
        """Return that it needs nothing."""
        return "this machine"

    def device(self, engine: Engine) -> torch.device:
        """Return the device that `engine.device` names.

        Raises:
            ConfigError: If it is not available, or the threads are more than this machine can run.
        """
        device = find_device(engine.device)
        check_threads(engine.threads)
        return device

    def check_ranks(self, engine: Engine, device: torch.device) -> None:
        """Check that this machine can have them."""
        check_ranks_here(engine, device)

    def machine(self, engine: Engine) -> Machine:
        """Return this machine."""
        return Machine(cores=torch.get_num_threads(), compiler=find_compiler() is not None)

    def elsewhere(self, engine: Engine) -> str:
        """Return an empty text: it is here."""
        return ""

    def nodes(self, engine: Engine) -> int:
        """Return 1: this machine."""
        return 1

    def workers(self, packs: Sequence[Pack], engine: Engine) -> int:
        """Return how many processes will train packs."""
        return max(1, len(_devices(packs, engine)))

    def remedy(self, packs: Sequence[Pack], engine: Engine) -> str:
        """Return how to avoid spawned workers and ranks; empty if there are none."""
        if engine.ranks > 1:
            return "engine.ranks=1"
        return "engine.workers=1" if _crew(packs, engine)[1] == "spawn" else ""

    def collects(self, owner: str) -> bool:
        """Return False: what others train is theirs."""
        return False

    def crew(self, work: Sequence[Work], duty: Duty, engine: Engine, watcher: Watcher) -> AbstractContextManager[Crew]:
        """Return workers, or this process if there would be only one."""
        devices, method = _crew([item.pack for item in work], engine)
        if method == "here":
            return nullcontext(Here(replace(duty, observers=_both(duty.observers, watcher.observers)), devices[0]))
        if method == "fork":
            torch.set_num_threads(1)
            _load_ahead(work, devices[0])
        return Pool(duty, devices, method)


def _both(observers: Observers, watching: Observers) -> Observers:
    def all_observers(run_id: str, run: Run) -> Sequence[Observer]:
        return [*observers(run_id, run), *watching(run_id, run)]

    return all_observers


def _devices(packs: Sequence[Pack], engine: Engine) -> list[torch.device]:
    cpus = max((pack.cpus for pack in packs), default=1)
    ranks = max((pack.ranks for pack in packs), default=1)
    return worker_devices(find_device(engine.device), engine.workers, packs=len(packs), cpus=cpus, ranks=ranks)


def _crew(packs: Sequence[Pack], engine: Engine) -> tuple[list[torch.device], str]:
    """Return the devices and the method: `here`, in this process, or `fork` or `spawn` for workers."""
    devices = _devices(packs, engine)
    if len(devices) < 2 or multiprocessing.current_process().daemon:
        # A process of multiprocessing.Pool may not have children.
        return [find_device(engine.device)], "here"
    return devices, _start_method(devices[0], max(pack.threads for pack in packs))


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
