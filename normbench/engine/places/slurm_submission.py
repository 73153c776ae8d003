"""Queues tasks in Slurm through submitit, whose files lie in a folder of the study."""

from collections.abc import Sequence
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from normbench.engine.interrupt import signals_held
from normbench.engine.places.slurm_queue import has_slurm, last_line
from normbench.engine.places.slurm_task import SlurmTask
from normbench.errors import ConfigError, StudyError
from normbench.spec import Engine

FOLDER = "jobs"
"""The folder of a study with the scripts, results and logs of its jobs."""


def find_submitit() -> Any:
    """Return the package submitit.

    Raises:
        ConfigError: If it or Slurm is not installed.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ConfigError("engine=slurm needs the package submitit: pip install 'normbench[slurm]'.") from error
    if not has_slurm():
        raise ConfigError("engine=slurm needs the programs sbatch, srun, sinfo and squeue: start on a login node.")
    return submitit


def submit(tasks: Sequence[SlurmTask], study: Path, engine: Engine, *, cpus: int, gpus: int, minutes: int) -> list[str]:
    """Queue tasks as the jobs of one array.

    Args:
        tasks: What the jobs do.
        study: Folder of the study.
        engine: What the user asked for.
        cpus: CPUs of each job.
        gpus: GPUs of each job.
        minutes: Time that each may take.

    Returns:
        The ids of the jobs.

    Raises:
        StudyError: If Slurm does not take them.
    """
    submitit = find_submitit()
    wanted = {
        "partition": engine.partition,
        "mem": None if engine.memory is None else megabytes(engine.memory),
        "gpus_per_node": gpus or None,
    }
    executor = submitit.SlurmExecutor(folder=study.absolute() / FOLDER)
    executor.update_parameters(
        **{key: value for key, value in wanted.items() if value is not None},
        job_name=f"normbench {study.name}",
        time=minutes,
        cpus_per_task=cpus,
        array_parallelism=engine.array_parallelism or len(tasks),
        setup=list(engine.setup),
        # Since Slurm 22.05 srun does not take over the CPUs of its job.
        srun_args=[f"--cpus-per-task={cpus}"],
        # Preempted jobs, and those of a lost node, are queued again by Slurm, whether a command waits or not.
        additional_parameters={"requeue": True},
    )
    try:
        # Slurm's words are in the error.
        with redirect_stderr(StringIO()), signals_held():
            jobs = executor.submit_array(tasks)
    except (RuntimeError, OSError) as error:
        raise StudyError(f"Slurm does not take the jobs: {last_line(str(error))}") from error
    return [job.job_id for job in jobs]


def megabytes(memory: float) -> str:
    """Return an amount of memory as Slurm takes it, given GB."""
    return f"{round(memory * 1e9 / 2**20)}M"


def result_of(job: str) -> str:
    """Return the name of the file with the result of a job."""
    return f"{job}_0_result.pkl"


def log_of(job: str) -> str:
    """Return the path of the log of a job's errors, below the study's folder."""
    return f"{FOLDER}/{job}_0_log.err"
