"""Tests of what Slurm's programs say, and of what is refused before anything is queued."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from normbench.engine.places import slurm_deaths, slurm_queue, slurm_submission
from normbench.engine.places.place import Lost, Report, Withdrawn
from normbench.engine.places.slurm import Slurm
from normbench.engine.places.slurm_deaths import death
from normbench.engine.places.slurm_queue import Partition, QueueEntry, find_partition, job_state, look
from normbench.engine.places.slurm_task import BEGUN
from normbench.errors import ConfigError, StudyError
from normbench.plan import Pack
from normbench.spec import Engine

from ..sessions import plan

CPU = torch.device("cpu")
ENGINE = Engine(mode="auto", name="slurm")

SINFO = """\
main*|4|(null)|infinite
main*|8+|gpu:a100:2(S:0-1)|infinite
short|4|(null)|1-02:30:00
"""


def saying(answer: str) -> Callable[..., str]:
    """Return Slurm's programs, all with one answer."""
    return lambda *command: answer


def test_a_partition_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the default one."""
    monkeypatch.setattr(slurm_queue, "ask", saying(SINFO))
    assert find_partition(None) == Partition("main", (4, 8), (0, 2), None)
    assert find_partition("short") == Partition("short", (4,), (0,), 26 * 60 + 30)
    with pytest.raises(ConfigError, match=r"^engine\.partition: got 'long', Slurm has main, short\.$"):
        find_partition("long")
    find_partition.cache_clear()
    monkeypatch.setattr(slurm_queue, "ask", saying(SINFO.replace("*", "")))
    with pytest.raises(ConfigError, match=r"no default partition; choose one of main, short\.$"):
        find_partition(None)


def test_the_queue_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that it has forgotten is over."""
    monkeypatch.setattr(slurm_queue, "ask", saying("7_0|RUNNING|n1\n7_1|PENDING|\n7_2|NODE_FAIL|n2\n"))
    monkeypatch.setattr("shutil.which", lambda program: program)
    assert look(["7_0", "7_1"])["7_2"] == QueueEntry("NODE_FAIL", "n2")
    states = [job_state(f"Slurm job 7_{index}") for index in range(4)]
    assert states == ["running", "queued", "over", "over"]
    assert job_state("5@host") is None


def test_a_queue_without_any_of_the_jobs_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slurm says so in words; other errors are shown."""

    def fail(text: str) -> Callable[..., str]:
        def answer(*command: str) -> str:
            raise ConfigError(text)

        return answer

    monkeypatch.setattr(slurm_queue, "ask", fail("slurm_load_jobs error: Invalid job id specified"))
    assert look(["7_0"]) == {}
    monkeypatch.setattr(slurm_queue, "ask", fail("Unable to contact slurm controller"))
    with pytest.raises(ConfigError, match="Unable to contact"):
        look(["7_0"])


def test_without_submitit_or_slurm_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts."""
    monkeypatch.setattr(slurm_submission, "has_slurm", lambda: False)
    with pytest.raises(ConfigError, match=r"^engine=slurm needs the programs sbatch, srun, sinfo and squeue: "):
        plan("engine=slurm")
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ConfigError, match=r"needs the package submitit: pip install 'normbench\[slurm\]'\.$"):
        plan("engine=slurm")
    assert not Path("results").exists()


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a partition of two nodes without GPUs."""
    monkeypatch.setattr("normbench.engine.places.slurm.find_submitit", lambda: None)
    monkeypatch.setattr("normbench.engine.places.slurm.find_partition", lambda _: Partition("main", (4, 6), (0, 0), 60))


@pytest.mark.usefixtures("partition")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": 90}, "engine.time: got 90, partition main allows at most 60 minutes."),
        ({"cpus": 8}, "engine.cpus: got 8, the nodes of partition main have at most 6 CPUs."),
        ({"threads": 8}, "engine.threads: got 8, the nodes of partition main have at most 6 CPUs."),
        ({"gpus": 1}, "engine.gpus: got 1, no node of partition main has a GPU."),
    ],
    ids=["time", "CPUs", "threads", "GPUs"],
)
def test_what_no_node_has_is_refused(change: dict[str, object], message: str) -> None:
    """A job that asks for it would wait forever."""
    with pytest.raises(ConfigError) as error:
        Slurm().device(replace(ENGINE, **change))  # type: ignore[arg-type]  # one of several types
    assert str(error.value) == message


@pytest.mark.usefixtures("partition")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranks": 4, "threads": 2}, "engine.ranks=4 needs 8 CPUs on one node, and gets at most 6."),
        ({"ranks": 4, "cpus": 3}, "engine.ranks=4 needs 4 CPUs on one node, and gets at most 3."),
        (
            {"ranks": 4, "mode": "stacked"},
            "engine.ranks=4 divides each run among processes: engine.mode=stacked is not possible.",
        ),
    ],
    ids=["a node", "a job", "the mode"],
)
def test_ranks_need_the_cpus_of_one_node(change: dict[str, object], message: str) -> None:
    """A run is one job, whose process starts its ranks."""
    with pytest.raises(ConfigError) as error:
        Slurm().check_ranks(replace(ENGINE, **change), CPU)  # type: ignore[arg-type]  # one of several types
    assert str(error.value) == message


@pytest.mark.usefixtures("partition")
def test_a_command_of_a_launcher_queues_no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of its processes would queue the same jobs."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    message = r"^engine.ranks=2: engine=slurm starts the ranks; start the command without torchrun\.$"
    with pytest.raises(ConfigError, match=message):
        Slurm().check_ranks(replace(ENGINE, ranks=2), CPU)


def test_ranks_need_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are as many as have GPUs on one node for all their ranks."""
    found = Partition("main", (8, 8), (2, 3), None)
    monkeypatch.setattr("normbench.engine.places.slurm.find_partition", lambda _: found)
    with pytest.raises(ConfigError, match=r"^engine.ranks=4 needs 4 GPUs on one node, and gets at most 3\.$"):
        Slurm().check_ranks(replace(ENGINE, gpus=1, ranks=4), torch.device("cuda"))
    assert Slurm().workers([Pack(("a",), "solo", 1, "", ranks=2)] * 9, replace(ENGINE, gpus=1, ranks=2)) == 2


@pytest.mark.usefixtures("partition")
def test_packs_are_sized_for_the_partition() -> None:
    """As many jobs as its nodes have CPUs for, but no more than the user allows."""
    packs = [Pack(("a",), "solo", 4, "")] * 9
    assert Slurm().workers(packs, ENGINE) == 2
    assert Slurm().workers([Pack(("a",), "solo", 1, "")] * 99, ENGINE) == 10
    assert Slurm().workers(packs, replace(ENGINE, array_parallelism=1)) == 1
    assert Slurm().workers(packs, replace(ENGINE, cpus=2)) == 5
    assert Slurm().workers([Pack(("a",), "solo", 1, "", ranks=3)] * 9, replace(ENGINE, ranks=3)) == 3
    machine = Slurm().machine(ENGINE)
    assert (machine.cores, machine.node, machine.memory_per_pack) == (10, 6, True)


@pytest.mark.parametrize(
    ("state", "report"),
    [
        (None, Lost("Slurm job 7_0 left the queue without a result")),
        ("NODE_FAIL", Lost("Slurm job 7_0 was lost with node n1")),
        ("PREEMPTED", Lost("Slurm job 7_0 was preempted on node n1")),
        ("CANCELLED", Withdrawn("Slurm job 7_0 was cancelled")),
        ("TIMEOUT", "Slurm job 7_0 was stopped at its time limit, engine.time"),
        ("OUT_OF_MEMORY", "Slurm job 7_0 was killed, as it needed more than engine.memory"),
    ],
)
def test_deaths_are_told_apart(state: str | None, report: Report, tmp_path: Path) -> None:
    """Only those that are the runs' own doing count against them."""
    assert death("7_0", None if state is None else QueueEntry(state, "n1"), tmp_path) == report


@pytest.mark.parametrize(
    ("code", "how"), [("3:0", " with exit code 3"), ("0:9", ", killed by signal 9"), ("137:0", ", killed by signal 9")]
)
def test_a_job_that_had_begun_died_of_its_runs(
    code: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report says how."""
    monkeypatch.setattr(slurm_deaths, "ask", saying(f"JobId=9 ExitCode={code} RunTime=0"))
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "7_0_0_log.out").write_text(f"{BEGUN}\n")
    assert death("7_0", QueueEntry("FAILED", "n1"), tmp_path) == f"Slurm job 7_0 died{how}"


def test_a_job_that_could_not_begin_is_an_error_of_the_study(tmp_path: Path) -> None:
    """With the node and the reason, or the folder that it does not see."""
    blind = death("7_0", QueueEntry("FAILED", "n1"), tmp_path)
    assert isinstance(blind, StudyError)
    assert str(blind) == f"Slurm job 7_0 on node n1 wrote no log: does the node see {tmp_path}?"
    (tmp_path / "jobs").mkdir()
    log = tmp_path / "jobs" / "7_0_0_log.err"
    log.write_text("python: No module named submitit\n")
    lacking = death("7_0", QueueEntry("FAILED", "n1"), tmp_path)
    assert str(lacking) == f"Slurm job 7_0 on node n1 could not start: python: No module named submitit; see {log}."
