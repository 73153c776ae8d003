"""Processes of one command that torchrun or srun started, as their environment describes them."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from normbench.errors import ConfigError


class Launched(NamedTuple):
    """The place of this process among those that a launcher started.

    Attributes:
        by: The launcher.
        rank: Number of this process, from 0.
        size: Number of processes.
        local: Number of this process on its machine, from 0: the GPU that it uses.
        meeting: Where they find each other, as `torch.distributed.init_process_group` takes it.
    """

    by: str
    rank: int
    size: int
    local: int
    meeting: str


def launched(ranks: int, environ: Mapping[str, str] = os.environ) -> Launched | None:
    """Return the place of this process; None if it was started alone or the command divides no run.

    Args:
        ranks: `engine.ranks`.
        environ: The environment. In a batch script, Slurm sets the number of tasks, but only srun starts them: the
            number of the step counts.

    Raises:
        ConfigError: If the launcher started another number of processes than there are ranks.
    """
    if ranks == 1:
        return None
    found = None
    if "RANK" in environ and "WORLD_SIZE" in environ:
        rank, size, local = int(environ["RANK"]), int(environ["WORLD_SIZE"]), int(environ.get("LOCAL_RANK", 0))
        found = Launched("torchrun", rank, size, local, "env://")
    elif "SLURM_PROCID" in environ and "SLURM_STEP_NUM_TASKS" in environ:
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        rank, size, local = (int(environ[name]) for name in names)
        found = Launched("srun", rank, size, local, _slurm_meeting(environ))
    if found is None or found.size == 1:
        return None
    if found.size != ranks:
        raise ConfigError(
            f"engine.ranks={ranks}, but {found.by} started {found.size} processes: set engine.ranks={found.size}, or "
            "start one process, which starts the others."
        )
    return found


def _slurm_meeting(environ: Mapping[str, str]) -> str:
    """Return an address on the first node of a job step, with a port that other steps do not use."""
    nodes = environ.get("SLURM_STEP_NODELIST", "127.0.0.1")
    first = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\])?([^,\[]*)", nodes)
    assert first is not None, nodes
    step = 64 * int(environ.get("SLURM_JOB_ID", 0)) + int(environ.get("SLURM_STEP_ID", 0)) % 64
    port = environ.get("MASTER_PORT", str(20_000 + step % 20_000))
    return f"tcp://{environ.get('MASTER_ADDR', ''.join(part or '' for part in first.groups()))}:{port}"
