"""Why a Slurm job ended without a result: through its runs, through Slurm, or before it could train."""

import re
from pathlib import Path

from normbench.engine.places.place import Lost, Report, Withdrawn
from normbench.engine.places.slurm_queue import QueueEntry, ask, last_line, name_of
from normbench.engine.places.slurm_submission import log_of
from normbench.engine.places.slurm_task import BEGUN
from normbench.errors import ConfigError, StudyError

_LOST = {"BOOT_FAIL": "lost with", "NODE_FAIL": "lost with", "PREEMPTED": "preempted on"}

_LIMITS = {
    "DEADLINE": "stopped at its time limit, engine.time",
    "OUT_OF_MEMORY": "killed, as it needed more than engine.memory",
    "TIMEOUT": "stopped at its time limit, engine.time",
}


def death(job: str, entry: QueueEntry | None, study: Path) -> Report:
    """Return what became of a job that has ended without a result.

    Args:
        job: Its id.
        entry: Its entry in the queue; None if that has forgotten it.
        study: Folder of the study.
    """
    name = name_of(job)
    if entry is None:
        return Lost(f"{name} left the queue without a result")
    if entry.state in _LOST:
        return Lost(f"{name} was {_LOST[entry.state]} node {entry.node}")
    if entry.state == "CANCELLED":
        return Withdrawn(f"{name} was cancelled")
    if entry.state in _LIMITS:
        return f"{name} was {_LIMITS[entry.state]}"
    log = study / log_of(job)
    if BEGUN in _text(log.with_suffix(".out")):
        return f"{name} died{_exit(job)}"
    if not log.exists():
        return StudyError(f"{name} on node {entry.node} wrote no log: does the node see {study.absolute()}?")
    return StudyError(f"{name} on node {entry.node} could not start: {last_line(_text(log))}; see {log}.")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _exit(job: str) -> str:
    """Return how a job's process ended, in words; srun adds 128 to the number of a signal."""
    try:
        found = re.search(r" ExitCode=(\d+):(\d+)", ask("scontrol", "show", "job", "--oneliner", job))
    except ConfigError:
        return ""
    if found is None:
        return ""
    code, number = int(found[1]), int(found[2])
    if number or code > 128:
        return f", killed by signal {number or code - 128}"
    return f" with exit code {code}"
