"""Commands that torchrun or srun started several times: one carries the command out, the others follow."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from normbench.engine.launchers import launched
from normbench.errors import ConfigError

from .sessions import FAILING_RANK, run

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
SRUN = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "12",
    "SLURM_STEP_ID": "1",
}


def test_torchrun_says_the_place_of_a_process() -> None:
    """Its store is where the processes meet."""
    assert launched(8, TORCHRUN) == ("torchrun", 3, 8, 1, "env://")


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[07-08]", "gpu07"), ("n1,n2", "n1"), ("n1", "n1"), ("rack[2,5]-a,x", "rack2-a"), ("gpu[07-08],x1", "gpu07")],
)
def test_srun_says_the_place_of_a_process(nodes: str, first: str) -> None:
    """They meet on the first node, at a port of the step's own."""
    assert launched(8, {**SRUN, "SLURM_STEP_NODELIST": nodes}) == ("srun", 3, 8, 1, f"tcp://{first}:20769")


@pytest.mark.parametrize(
    "environ",
    [{}, {**TORCHRUN, "WORLD_SIZE": "1"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}],
    ids=["by hand", "one process", "a batch script"],
)
def test_a_process_alone_starts_its_ranks(environ: Mapping[str, str]) -> None:
    """A batch script is one process, however many tasks it may start."""
    assert launched(8, environ) is None


def test_a_command_without_ranks_is_its_own() -> None:
    """Several commands may run under a launcher, each for itself."""
    assert launched(1, TORCHRUN) is None


@pytest.mark.parametrize(("environ", "by"), [(TORCHRUN, "torchrun"), (SRUN, "srun")], ids=["torchrun", "srun"])
def test_another_number_of_processes_is_refused(environ: Mapping[str, str], by: str) -> None:
    """The message says what to set."""
    with pytest.raises(ConfigError, match=f"^engine.ranks=2, but {by} started 8 processes: set engine.ranks=8, or"):
        launched(2, environ)


def torchrun(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun sets."""
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    return {**place, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def srun(rank: int, port: int) -> dict[str, str]:
    """Return what srun sets."""
    place = {"SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": str(rank)}
    return {**place, "SLURM_STEP_NODELIST": "127.0.0.1", "MASTER_PORT": str(port)}


def start_two(environ: Callable[[int, int], dict[str, str]], *overrides: str) -> list[tuple[int, str, str]]:
    """Start a command as a launcher does, and return exit code, output and errors of each process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "normbench", "train", "-m", "engine.ranks=2", *overrides],
            env={**os.environ, **environ(rank, port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, *texts) for process, texts in zip(started, outputs, strict=True)]


SWEEP = ("norm=batch,none", "steps=3", "model.width=8", "model.depth=1")


def test_processes_of_a_launcher_share_the_runs(here: Path) -> None:
    """Rank 0 trains a sweep with the other, which writes and says nothing, and both end well."""
    first, second = start_two(srun, *SWEEP)
    assert first[0] == 0, first
    assert second == (0, "", "")
    shared, alone = pd.read_csv(here / "results/default/runs.csv"), run(*SWEEP[:1], "study=alone").rows()
    assert list(shared["run_id"]) == list(alone["run_id"])
    assert shared["test_loss"].tolist() == pytest.approx(alone["test_loss"].tolist(), rel=1e-4)


def test_a_rank_of_a_launcher_that_fails_ends_the_run(here: Path) -> None:
    """Both processes end, and the row says that the run failed."""
    (here / "failing.py").write_text(FAILING_RANK)
    own = ("norm._target_=failing.Failing", "norm.name=failing")
    first, second = start_two(torchrun, *own, *SWEEP[1:])
    assert first[0] == 1, first
    assert second[0] == 1 and second[2].startswith("normbench: rank 1 of 2: RuntimeError: no luck (")
    runs = pd.read_csv(here / "results/default/runs.csv")
    assert runs["status"].tolist() == ["failed"]
    assert runs["error"][0].startswith("RankError: another rank has ended; its own messages say why")
