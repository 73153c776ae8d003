"""Tests of packs that train in a real Slurm."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import wait_until

from normbench.api import Session, load
from normbench.engine.interrupt import Detached
from normbench.engine.places import slurm_crew
from normbench.errors import ConfigError, StudyError
from normbench.record.jobs import JobFile
from normbench.record.leases import Leases

from ..sessions import TINY, plan, run, tables
from ..test_workers import Listener
from .slurm_nodes import SlurmNodes

pytestmark = pytest.mark.slow

SWEEP = ("study=mine", "batch_size=16", "eval_every=1", "steps=12")

HELD = """
import os
import time
import torch
from pathlib import Path
from torch.nn import BatchNorm1d

class Held(BatchNorm1d):
    calls = 0

    def forward(self, x):
        self.calls += 1
        if torch.is_grad_enabled() and "SLURM_JOB_ID" in os.environ:
            with open("steps-" + os.environ.get("SLURM_RESTART_COUNT", "0"), "a") as steps:
                steps.write(".")
        if self.calls == 10 and "SLURM_JOB_ID" in os.environ:
            Path("held-" + os.environ["SLURMD_NODENAME"]).touch()
            while not Path("go-" + os.environ["SLURMD_NODENAME"]).exists():
                time.sleep(0.1)
        return super().forward(x)
"""
"""A norm that waits in the middle of a training on each node until it is told to go on."""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask Slurm more often than a real one should be asked."""
    monkeypatch.setattr(slurm_crew, "_ASK", 1.0)
    monkeypatch.setattr(slurm_crew, "_GRACE", 2.0)


@pytest.fixture
def held(here: Path) -> tuple[str, ...]:
    """Return a sweep of runs that wait in the middle."""
    (here / "held.py").write_text(HELD)
    return ("norm._target_=held.Held", "norm.name=own", *SWEEP)


class Ticking(Listener):
    """A listener that acts while packs train."""

    def __init__(self, act: Callable[["Ticking"], None]) -> None:
        super().__init__()
        self._act = act

    def tick(self) -> None:
        self._act(self)


def begun(*overrides: str) -> Session:
    session = plan(*overrides, "engine=slurm")
    session.study.create()
    return session


def holding(node: str) -> bool:
    return Path(f"held-{node}").exists()


def go(*nodes: str) -> None:
    for node in nodes:
        Path(f"go-{node}").touch()


def jobs_of(session: Session) -> list[str]:
    return [job.name.removeprefix("Slurm job ") for job in JobFile(session.study.folder).read()]


def as_local(session: Session, *overrides: str) -> bool:
    """Return whether the tables are those of a local sweep."""
    return tables(session.study.folder) == tables(run(*overrides, results_dir="alone").study.folder)


@pytest.mark.parametrize("requeue", [True, False], ids=["the same job", "another job"])
def test_a_node_that_dies_changes_no_table(
    requeue: bool, slurm: SlurmNodes, held: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pack is trained again on another node, by the same job, or by another where Slurm queues none again."""
    if not requeue:
        monkeypatch.setenv("SBATCH_NO_REQUEUE", "1")
    sweep = (*held, "seed=range(3)")
    killed: list[str] = []

    def act(_: Ticking) -> None:
        if holding("n2") and not killed:
            killed.append("n2")
            slurm.kill("n2")
            go("n1")
        if killed:
            slurm.hurry()

    session = begun(*sweep)
    assert session.estimate().workers == 2
    listener = Ticking(act)
    session.execute(listener)
    slurm.start("n2")
    assert killed
    lost = [note for note in listener.notes if "was lost with node n2; its run is trained again" in note]
    assert (len(lost), len(jobs_of(session))) == ((0, 3) if requeue else (1, 4))
    assert sorted(listener.ended) == sorted(session.plan.runs)
    assert as_local(session, *sweep)
    assert not (session.study.folder / "leases").exists()


def test_a_job_starts_the_ranks_of_its_run(slurm: SlurmNodes) -> None:
    """The tables are those of the ranks of this machine; on nodes of one CPU they are refused."""
    slurm.start("n3")
    sweep = ("norm=batch,none", "engine.mode=auto", "engine.ranks=2", "study=mine")
    with pytest.raises(ConfigError, match=r"^engine.ranks=2 needs 2 CPUs on one node, and gets at most 1\.$"):
        plan(*sweep, "engine=slurm")
    session = run(*sweep, "engine=slurm", "engine.partition=wide", results_dir="slurm")
    assert tables(session.study.folder) == tables(run(*sweep, results_dir="alone").study.folder)


def test_a_cancelled_job_is_said_so_and_left_to_the_next_command(slurm: SlurmNodes, held: tuple[str, ...]) -> None:
    """The others go on."""
    sweep = (*held, "seed=range(2)")
    cancelled: list[str] = []

    def act(_: Ticking) -> None:
        if holding("n1") and holding("n2") and not cancelled:
            cancelled.extend(slurm.ask("squeue", "--noheader", "--array", "--nodelist=n2", "--format=%i").split())
            slurm.ask("scancel", *cancelled)
            go("n1")

    session = begun(*sweep)
    listener = Ticking(act)
    with pytest.raises(StudyError, match="was cancelled: the same command trains what is left"):
        session.execute(listener)
    assert listener.notes[1:] == [f"Slurm job {cancelled[0]} was cancelled; its run is left out"]
    assert len(load(session.study.folder)) == 1
    go("n2")
    again = begun(*sweep)
    assert again.to_train == 1
    again.execute(Listener())
    assert as_local(session, *sweep)


@pytest.mark.parametrize("written", [True, False], ids=["recorded", "not yet recorded"])
def test_a_killed_commands_jobs_go_on_and_are_collected(
    written: bool, slurm: SlurmNodes, held: tuple[str, ...]
) -> None:
    """Meanwhile nothing else trains their packs, and the same command again trains none of them twice."""
    sweep = (*held, "seed=range(2)")
    tiny = [f"{key}={value}" for key, value in TINY.items() if key not in ("steps", "engine.workers")]
    command = [sys.executable, "-m", "normbench", "train", "-m", *tiny, *sweep, "engine=slurm"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: holding("n1") and holding("n2"), process)
        process.kill()
    session = begun(*sweep)
    jobs = jobs_of(session)
    assert set(Leases(session.study.folder, runs=lambda job: True).holders().values()) == {
        f"Slurm job {job}" for job in jobs
    }
    if not written:
        (session.study.folder / "jobs.jsonl").unlink()
    go("n1", "n2")
    listener = Listener()
    session.execute(listener)
    assert listener.notes == [] and len(listener.ended) == 2
    assert jobs_of(session) == (jobs if written else [])
    assert as_local(session, *sweep)


def test_a_detached_study_goes_on_in_other_places(slurm: SlurmNodes) -> None:
    """Begun here, continued in Slurm without waiting, finished here: the tables are those of one command."""
    run(*SWEEP, "seed=range(1)")
    session = begun(*SWEEP, "seed=range(2)", "engine.wait=false")
    with pytest.raises(Detached, match=r"^1 job in Slurm; the same command collects the results"):
        session.execute(Listener())
    last = plan(*SWEEP, "seed=range(3)")
    listener = Listener()
    last.execute(listener)
    assert listener.notes == [f"waiting for Slurm job {jobs_of(session)[0]}, which is training 1 of these packs"]
    assert as_local(session, *SWEEP, "seed=range(3)")


def test_ctrl_c_takes_back_what_waits(slurm: SlurmNodes, held: tuple[str, ...]) -> None:
    """What trains is finished and kept, as locally."""

    def act(_: Ticking) -> None:
        if holding("n1") and holding("n2") and not Path("go-n1").exists():
            os.kill(os.getpid(), signal.SIGINT)
            go("n1", "n2")

    session = begun(*held, "seed=range(4)")
    with pytest.raises(KeyboardInterrupt):
        session.execute(Ticking(act))
    assert len(load(session.study.folder)) == 2
    assert "PENDING" not in slurm.ask("squeue", "--noheader", "--format=%T")
    assert not list((session.study.folder / "jobs").glob("*.pkl"))
    assert not (session.study.folder / "leases").exists()


def test_ctrl_c_twice_leaves_the_jobs_running(slurm: SlurmNodes, held: tuple[str, ...]) -> None:
    """The same command collects them."""
    sweep = (*held, "seed=range(2)")

    def act(_: Ticking) -> None:
        if holding("n1") and holding("n2"):
            os.kill(os.getpid(), signal.SIGINT)

    session = begun(*sweep)
    with pytest.raises(KeyboardInterrupt):
        session.execute(Ticking(act))
    assert slurm.ask("squeue", "--noheader", "--format=%T").split() == ["RUNNING"] * 2
    jobs = jobs_of(session)
    go("n1", "n2")
    begun(*sweep).execute(Listener())
    assert jobs_of(session) == jobs
    assert as_local(session, *sweep)


def test_a_run_that_kills_its_job_has_failed(slurm: SlurmNodes, here: Path) -> None:
    """After a second attempt; the row says how, and the other runs are not touched."""
    (here / "deadly.py").write_text(
        "import os\nfrom torch.nn import BatchNorm1d\n\n"
        "class Deadly(BatchNorm1d):\n    def forward(self, x):\n"
        "        if 'SLURM_JOB_ID' in os.environ and self.training:\n            os._exit(3)\n"
        "        return super().forward(x)\n"
    )
    session = begun("norm._target_=deadly.Deadly", "norm.name=own", *SWEEP)
    listener = Listener()
    session.execute(listener)
    jobs = jobs_of(session)
    queued = [f"Slurm job {job}: queued; logs are in {session.study.folder / 'jobs'}" for job in jobs]
    assert listener.notes == [queued[0], f"Slurm job {jobs[0]} died with exit code 3; retrying its 1 run", queued[1]]
    assert session.rows()["error"].tolist() == [f"Slurm job {jobs[1]} died with exit code 3"]


@pytest.mark.parametrize("preempt", [True, False], ids=["preempted", "at its time limit"])
def test_a_stopped_job_goes_on_from_its_checkpoint(preempt: bool, slurm: SlurmNodes, held: tuple[str, ...]) -> None:
    """It is the same job, which is queued again."""
    sweep = (*held, "engine.checkpoint_every=2")
    stopped: list[str] = []

    def act(_: Ticking) -> None:
        node = next(filter(holding, ("n1", "n2")), None)
        if node and not stopped:
            stopped.append(node)
            if preempt:
                slurm.ask("sbatch", "--partition=urgent", "--nodes=2", "--output=/dev/null", "--wrap=true")
            else:
                # What Slurm sends some time before the limit.
                slurm.ask("scancel", "--signal=USR2", *jobs_of(session))
        if stopped and slurm.ask("squeue", "--noheader", "--partition=main", "--format=%T").split() == ["PENDING"]:
            go("n1", "n2")
            slurm.hurry()

    session = begun(*sweep)
    listener = Ticking(act)
    session.execute(listener)
    assert stopped and len(listener.notes) == len(jobs_of(session)) == 1
    assert 0 < len(Path("steps-1").read_text()) < 12
    assert as_local(session, *sweep)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("engine.partition=nope", r"^engine\.partition: got 'nope', Slurm has main, urgent, wide\.$"),
        ("engine.memory=4GB", r"^engine=slurm: .*Requested node configuration is not available$"),
    ],
    ids=["partition", "memory"],
)
def test_what_slurm_does_not_have_is_refused(slurm: SlurmNodes, override: str, message: str) -> None:
    """Before anything is queued or written."""
    with pytest.raises(ConfigError, match=message):
        plan("engine=slurm", override)
    assert not Path("results").exists()


def test_a_node_without_the_right_version_is_named(slurm: SlurmNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is recorded as failed."""
    monkeypatch.setattr("normbench.engine.places.node.versions", lambda: {"normbench": "0.0", "torch": "1.0"})
    session = begun(*SWEEP)
    with pytest.raises(StudyError, match=r"^node n[12] has normbench .*, this machine 0\.0: install one version"):
        session.execute(Listener())
    assert session.failures() == {}


def test_setup_lines_that_fail_are_shown(slurm: SlurmNodes) -> None:
    """With the node and where the log is."""
    session = begun(*SWEEP, "engine.setup=['echo no such module >&2; exit 1']")
    with pytest.raises(StudyError, match=r"on node n[12] could not start: no such module; see .*_log\.err"):
        session.execute(Listener())
    assert session.failures() == {}
