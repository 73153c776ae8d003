"""How far a study is: what has ended, what is trained or queued somewhere now, and what nobody trains."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from normbench.engine.places import job_runs, job_state
from normbench.record.jobs import JobFile
from normbench.record.leases import Leases
from normbench.record.owners import described
from normbench.record.store import Study


@dataclass(frozen=True)
class Failure:
    """A run that failed.

    Attributes:
        run_id: Its identity.
        error: Why, in one line.
        log: Log of the job that trained it last, below the study's folder; None if that was no job.
    """

    run_id: str
    error: str
    log: str | None


@dataclass(frozen=True)
class Standing:
    """Numbers of runs, and who trains them.

    Attributes:
        finished: Runs that finished.
        diverged: Runs that diverged.
        failures: Runs that failed.
        running: Runs in training, by who trains them.
        queued: Runs whose job waits, by job.
        left: Runs that are in no job and under no lease.
        logs: Logs of jobs that run, below the study's folder, by job.
    """

    finished: int
    diverged: int
    failures: tuple[Failure, ...]
    running: Mapping[str, int]
    queued: Mapping[str, int]
    left: int
    logs: Mapping[str, str]


def standing(study: Study) -> Standing:
    """Return how far a study is.

    Raises:
        StudyError: If one of its files is damaged or cannot be read.
    """
    jobs = JobFile(study.folder).read()
    logs = {(job.block, job.index): job.log for job in jobs} | {(job.block, job.run_id): job.log for job in jobs}
    holders = Leases(study.folder, runs=job_runs).holders()
    ended, ends = study.ended(), Counter[str]()
    failures: list[Failure] = []
    running, queued = Counter[str](), Counter[str]()
    for run_id, (block, index) in _packs(study).items():
        end = ended.get(run_id)
        if end is not None and end.block >= block:
            ends[end.status] += 1
            if end.status == "failed":
                log = logs.get((block, run_id), logs.get((block, index)))
                failures.append(Failure(run_id, end.error, log))
        elif (holder := holders.get((block, index))) is None:
            ends["left"] += 1
        else:
            (queued if job_state(holder) == "queued" else running)[described(holder)] += 1
    return Standing(
        finished=ends["finished"],
        diverged=ends["diverged"],
        failures=tuple(failures),
        running=running,
        queued=queued,
        left=ends["left"],
        logs={job.name: job.log for job in jobs if job.name in running},
    )


def _packs(study: Study) -> dict[str, tuple[int, int]]:
    """Return block and index of the newest pack of each run."""
    return {
        run_id: (block.number, index)
        for block in study.blocks()
        for index, pack in enumerate(block.packs)
        for run_id in pack["runs"]
    }
