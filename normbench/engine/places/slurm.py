"""A Slurm cluster: packs train as jobs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from normbench.engine.device import find_compiler
from normbench.engine.places.place import Crew, Duty, Watcher
from normbench.engine.places.slurm_crew import SlurmCrew
from normbench.engine.places.slurm_queue import Partition, ask, find_partition, id_of
from normbench.engine.places.slurm_submission import find_submitit, megabytes
from normbench.engine.rank_checks import check_ranks_of_node
from normbench.engine.work import Work
from normbench.errors import ConfigError
from normbench.packing import Machine
from normbench.plan import Pack
from normbench.spec import Engine

_LONGEST = 60 * 24 * 365
"""Minutes that a job may take in a partition without a limit."""


class Slurm:
    """The place `slurm`: a partition, in which each pack is a job."""

    leased = False
    again = "leaves the jobs running"
    overhead = 4.0

    def about(self) -> str:
        """Return the version of submitit and the partition that is the default."""
        try:
            return f"submitit {find_submitit().__version__}, default partition {find_partition(None).name}"
        except ConfigError as error:
            return str(error).removeprefix("engine=slurm ").removeprefix("engine=slurm: ")

    def device(self, engine: Engine) -> torch.device:
        """Return the kind of device that the jobs get.

        Raises:
            ConfigError: If submitit, Slurm or the partition is missing, or no node of it has what a job asks for.
        """
        find_submitit()
        found = find_partition(engine.partition)
        if engine.time is not None and found.minutes is not None and engine.time > found.minutes:
            raise ConfigError(
                f"engine.time: got {engine.time}, partition {found.name} allows at most {found.minutes} minutes."
            )
        most = max(found.cpus)
        for key, value in (("engine.cpus", engine.cpus), ("engine.threads", engine.threads)):
            if value is not None and value > most:
                raise ConfigError(f"{key}: got {value}, the nodes of partition {found.name} have at most {most} CPUs.")
        if engine.gpus > max(found.gpus):
            raise ConfigError(f"engine.gpus: got {engine.gpus}, no node of partition {found.name} has a GPU.")
        if engine.memory is not None:
            # Slurm itself knows what its nodes have, and says so; nothing is queued.
            ask(
                "sbatch", "--test-only", f"--partition={found.name}", f"--mem={megabytes(engine.memory)}", "--wrap=true"
            )
        return torch.device("cuda" if engine.gpus else "cpu")

    def check_ranks(self, engine: Engine, device: torch.device) -> None:
        """Check that a node has CPUs or GPUs for them: a run is one job, which starts its ranks."""
        found = find_partition(engine.partition)
        check_ranks_of_node(engine, device, cpus=engine.cpus or max(found.cpus), gpus=max(found.gpus))

    def machine(self, engine: Engine) -> Machine:
        """Return the nodes of the partition as one machine."""
        found = find_partition(engine.partition)
        return Machine(
            cores=_room(found, engine, engine.cpus or engine.threads or 1),
            # The nodes are asked nothing: their software is taken for that of this machine.
            compiler=find_compiler() is not None,
            node=engine.cpus or max(found.cpus),
            memory_per_pack=True,
        )

    def elsewhere(self, engine: Engine) -> str:
        """Return the name of the partition."""
        return f"slurm partition {find_partition(engine.partition).name}"

    def nodes(self, engine: Engine) -> int:
        """Return the number of nodes of the partition."""
        return len(find_partition(engine.partition).cpus)

    def workers(self, packs: Sequence[Pack], engine: Engine) -> int:
        """Return how many jobs the partition has room for."""
        cpus = engine.cpus or max((pack.cpus for pack in packs), default=1)
        ranks = max((pack.ranks for pack in packs), default=1)
        return max(1, min(_room(find_partition(engine.partition), engine, cpus, ranks), len(packs)))

    def remedy(self, packs: Sequence[Pack], engine: Engine) -> str:
        """Return how to avoid Slurm's jobs."""
        return "engine=local"

    def collects(self, owner: str) -> bool:
        """Return whether the owner of a lease is a Slurm job: a crew takes over the jobs of earlier commands."""
        return id_of(owner) is not None

    def crew(self, work: Sequence[Work], duty: Duty, engine: Engine, watcher: Watcher) -> AbstractContextManager[Crew]:
        """Return a seat for each run."""
        minutes = engine.time or find_partition(engine.partition).minutes or _LONGEST
        # The runs of a pack whose job died are jobs of their own.
        seats = sum(len(item.runs) for item in work)
        # Jobs go on without the command: nothing is ended.
        return nullcontext(SlurmCrew(duty, self.device(engine), engine, watcher, seats=seats, minutes=minutes))


def _room(found: Partition, engine: Engine, cpus: int, ranks: int = 1) -> int:
    """Return how many jobs of so many CPUs, or of a GPU for each rank, run at a time."""
    each, there = (ranks, found.gpus) if engine.gpus else (cpus, found.cpus)
    room = sum(count // each for count in there)
    return max(1, min(room, engine.array_parallelism or room))
