"""Slurm's queue and partitions, as its own programs show them."""

import re
import shutil
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from normbench.errors import ConfigError

_PATIENCE = 60.0
"""Seconds that Slurm has to answer."""

_FRESH = 5.0
"""Seconds for which an answer on the jobs of a lease is remembered."""

_OVER = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
}
"""States in which a job ends; in all others it may still train."""

_NAME = "Slurm job "


@dataclass(frozen=True)
class QueueEntry:
    """A job in the queue.

    Attributes:
        state: Slurm's word for its state.
        node: Where it runs or has run; empty while it waits.
    """

    state: str
    node: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in _OVER


@dataclass(frozen=True)
class Partition:
    """What a partition has.

    Attributes:
        name: Its name.
        cpus: CPUs of each node.
        gpus: GPUs of each node.
        minutes: Longest time of a job; None sets no limit.
    """

    name: str
    cpus: tuple[int, ...]
    gpus: tuple[int, ...]
    minutes: int | None


def name_of(job: str) -> str:
    """Return what leases and messages call a job, given its id."""
    return f"{_NAME}{job}"


def id_of(name: str) -> str | None:
    """Return the id of a job, given what leases call it; None if it is not one of Slurm's."""
    return name.removeprefix(_NAME) if name.startswith(_NAME) else None


def has_slurm() -> bool:
    """Return whether Slurm's programs are there."""
    return all(shutil.which(program) for program in ("sbatch", "sinfo", "squeue", "srun"))


def ask(*command: str) -> str:
    """Return what one of Slurm's programs prints.

    Raises:
        ConfigError: If it fails; the message has Slurm's own words.
    """
    try:
        # Ctrl-C is for the command alone, and reaches all processes of its session.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"engine=slurm: {command[0]} gave no answer in {_PATIENCE:g} s.") from error
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"engine=slurm: {last_line(error.stderr)}") from error
    return done.stdout


def last_line(text: str) -> str:
    """Return the last line of an output that says something."""
    return next(reversed([line.strip() for line in text.splitlines() if line.strip()]), "no reason given")


def look(jobs: Collection[str]) -> dict[str, QueueEntry]:
    """Return those of some jobs that the queue still knows, by id: it forgets a job some minutes after its end.

    Args:
        jobs: Their ids.

    Raises:
        ConfigError: If the queue does not answer.
    """
    arrays = sorted({job.partition("_")[0] for job in jobs})
    if not arrays:
        return {}
    form = ("--noheader", "--array", "--states=all", "--format=%i|%T|%N")
    try:
        answer = ask("squeue", *form, f"--jobs={','.join(arrays)}")
    except ConfigError as error:
        if "Invalid job id" in str(error):
            return {}
        raise
    rows = (line.split("|") for line in answer.splitlines())
    return {job: QueueEntry(state, node) for job, state, node in rows}


def job_runs(name: str) -> bool | None:
    """Return whether the owner of a lease is a job that waits or runs; None if that is not known here."""
    state = job_state(name)
    return None if state is None else state != "over"


def job_state(name: str) -> str | None:
    """Return whether the owner of a lease is `queued`, `running` or `over`; None if that is not known here.

    Args:
        name: What the lease calls it.
    """
    job = id_of(name)
    if job is None or shutil.which("squeue") is None:
        return None
    array, now = job.partition("_")[0], int(time.monotonic() / _FRESH)
    try:
        entry = _remembered(array, now).get(job)
    except ConfigError:
        return None
    if entry is None or entry.is_over:
        return "over"
    return "queued" if entry.state == "PENDING" else "running"


@lru_cache(maxsize=64)
def _remembered(array: str, now: int) -> dict[str, QueueEntry]:
    return look([array])


@lru_cache(maxsize=8)
def find_partition(name: str | None) -> Partition:
    """Return a partition, or the default one; asked once per process.

    Raises:
        ConfigError: If there is none, or Slurm does not answer.
    """
    rows = [line.split("|") for line in ask("sinfo", "--noheader", "--Node", "--format=%P|%c|%G|%l").splitlines()]
    known = sorted({row[0].removesuffix("*") for row in rows})
    wanted = name or next((row[0] for row in rows if row[0].endswith("*")), None)
    if wanted is None:
        raise ConfigError(f"engine.partition: Slurm has no default partition; choose one of {', '.join(known)}.")
    wanted = wanted.removesuffix("*")
    if wanted not in known:
        raise ConfigError(f"engine.partition: got {wanted!r}, Slurm has {', '.join(known)}.")
    own = [row[1:] for row in rows if row[0].removesuffix("*") == wanted]
    return Partition(
        wanted,
        tuple(int(cpus.rstrip("+")) for cpus, _, _ in own),
        tuple(sum(int(count) for count in re.findall(r"gpu(?::[^:,()]+)?:(\d+)", gres)) for _, gres, _ in own),
        _minutes(own[0][2]),
    )


def _minutes(limit: str) -> int | None:
    """Return the minutes of a time such as ``1-02:30:00``; None if it is no limit."""
    if not re.fullmatch(r"(\d+-)?[\d:]+", limit):
        return None
    days, _, clock = limit.rpartition("-")
    parts: Sequence[int] = [int(part) for part in clock.split(":")]
    hours, minutes = (parts[0], parts[1]) if len(parts) > 2 else (0, parts[0])
    return int(days or 0) * 24 * 60 + hours * 60 + minutes
