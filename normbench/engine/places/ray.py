"""A Ray cluster: packs train as its tasks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from normbench.engine.places.place import Crew, Duty, Watcher
from normbench.engine.places.ray_cluster import cluster, connect, find_ray
from normbench.engine.places.ray_crew import RayCrew
from normbench.engine.rank_checks import check_ranks_of_node
from normbench.engine.work import Work
from normbench.errors import ConfigError
from normbench.packing import Machine
from normbench.plan import Pack
from normbench.spec import Engine


class Ray:
    """The place `ray`: a cluster at `engine.address`, or one of this machine's own."""

    leased = True
    again = "stops now"
    overhead = 0.0

    def about(self) -> str:
        """Return the version of ray."""
        try:
            return f"ray {find_ray().__version__}"
        except ConfigError as error:
            return str(error).removeprefix("engine=ray ")

    def device(self, engine: Engine) -> torch.device:
        """Return the kind of device that the packs get.

        Raises:
            ConfigError: If the cluster does not answer or has none, or no node has CPUs for the threads.
        """
        if engine.device not in ("auto", "cpu", "cuda"):
            raise ConfigError(f"engine.device: got {engine.device!r}, on Ray expected auto, cpu or cuda.")
        found = cluster(engine.address)
        if engine.device == "cuda" and not any(found.gpus):
            raise ConfigError("engine.device=cuda: no node of the Ray cluster has a GPU.")
        most = max(found.cpus)
        if engine.threads is not None and engine.threads > most:
            raise ConfigError(f"engine.threads: got {engine.threads}, expected at most {most}, the CPUs of a node.")
        return torch.device("cuda" if any(found.gpus) and engine.device != "cpu" else "cpu")

    def check_ranks(self, engine: Engine, device: torch.device) -> None:
        """Check that a node has CPUs or GPUs for them: a run is one task."""
        found = cluster(engine.address)
        check_ranks_of_node(engine, device, cpus=max(found.cpus), gpus=max(found.gpus))

    def machine(self, engine: Engine) -> Machine:
        """Return the nodes as one machine."""
        found = cluster(engine.address)
        cores = sum(found.gpus) if self.device(engine).type == "cuda" else sum(found.cpus)
        return Machine(cores=cores, compiler=found.compiler, node=max(found.cpus))

    def elsewhere(self, engine: Engine) -> str:
        """Return the address; a cluster of this machine's own is here."""
        return f"ray at {engine.address}" if engine.address else ""

    def nodes(self, engine: Engine) -> int:
        """Return the number of nodes of the cluster."""
        return len(cluster(engine.address).cpus)

    def workers(self, packs: Sequence[Pack], engine: Engine) -> int:
        """Return how many packs the nodes have CPUs or GPUs for."""
        found = cluster(engine.address)
        if self.device(engine).type == "cuda":
            each, there = max((pack.ranks for pack in packs), default=1), found.gpus
        else:
            each, there = max((pack.cpus for pack in packs), default=1), found.cpus
        room = sum(count // each for count in there)
        return max(1, min(engine.workers or room, room, len(packs)))

    def remedy(self, packs: Sequence[Pack], engine: Engine) -> str:
        """Return how to avoid Ray's workers."""
        return "engine=local"

    def collects(self, owner: str) -> bool:
        """Return False: what others train is theirs."""
        return False

    def crew(self, work: Sequence[Work], duty: Duty, engine: Engine, watcher: Watcher) -> AbstractContextManager[Crew]:
        """Return a seat for each pack that the cluster has room for."""
        connect(engine.address)
        seats, found = self.workers([item.pack for item in work], engine), cluster(engine.address)
        return RayCrew(duty, self.device(engine), seats=seats, most_cpus=max(found.cpus), most_gpus=max(found.gpus))
