"""Tests of packs that train in a real Ray cluster."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import wait_until

from normbench.api import Silent, load
from normbench.engine.interrupt import OutOfTime
from normbench.engine.places.ray_cluster import find_ray
from normbench.spec import Run
from normbench.training.outcome import Outcome

from ..sessions import TINY, plan, run, tables
from ..test_workers import Listener, deadly  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow

SWEEP = ("norm=batch,none", "seed=range(4)", "study=mine", "batch_size=16", "eval_every=1", "steps=12")


DOOMED = """
import os
import time
from pathlib import Path
from torch.nn import BatchNorm1d

class Doomed(BatchNorm1d):
    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 10:
            if "DOOMED" in os.environ:
                Path("over").touch()
                time.sleep(600)
            while not Path("over").exists():
                time.sleep(0.1)
        return super().forward(x)
"""


def at(nodes: "Cluster") -> tuple[str, ...]:
    """Return overrides that choose a cluster."""
    return "engine=ray", f"engine.address={nodes.address}"


@pytest.fixture
def doomed(nodes: "Cluster", here: Path) -> Iterator[tuple[tuple[str, ...], Callable[[], None]]]:
    """Return a sweep whose first run on a second node never ends, and a function that kills that node once it waits."""
    (here / "doomed.py").write_text(DOOMED)
    # A command begun before the cluster knows that the last one is dead would ask it, too.
    table: Callable[[], list[dict[str, bool]]] = nodes.global_state.node_table
    wait_until(lambda: sum(node["Alive"] for node in table()) == 1)
    left = [nodes.add_node(num_cpus=1, env_vars={"DOOMED": "1"})]

    def kill() -> None:
        if left and (here / "over").exists():
            nodes.remove_node(left.pop(), allow_graceful=False)

    yield ("norm._target_=doomed.Doomed", "norm.name=own", *SWEEP[1:]), kill
    (here / "over").touch()
    kill()


LOST = re.compile(r"node [\d.]+ of the cluster was lost; its run is trained again")


def test_a_node_that_dies_changes_no_table(
    nodes: "Cluster", doomed: tuple[tuple[str, ...], Callable[[], None]]
) -> None:
    """Its pack is trained again on another, as it is, and the user is told."""
    sweep, kill = doomed

    class Deadly(Listener):
        def tick(self) -> None:
            kill()

    session = plan(*sweep, *at(nodes), "engine.workers=null", results_dir="ray")
    session.study.create()
    assert session.estimate().workers == 2
    listener = Deadly()
    session.execute(listener)
    assert len(listener.notes) == 1 and LOST.fullmatch(listener.notes[0])
    assert sorted(listener.ended) == sorted(session.plan.runs)
    assert tables(session.study.folder) == tables(run(*sweep, results_dir="alone").study.folder)
    assert not (session.study.folder / "leases").exists()


def test_rays_own_reports_are_not_shown(
    nodes: "Cluster", doomed: tuple[tuple[str, ...], Callable[[], None]], here: Path
) -> None:
    """On the terminal stands what a local sweep says, and the note on the node."""
    sweep, kill = doomed
    tiny = [f"{key}={value}" for key, value in TINY.items() if key not in ("steps", "engine.workers")]
    command = [sys.executable, "-m", "normbench", "train", "-m", *tiny, *sweep, *at(nodes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until((here / "over").exists, process)
        kill()
        out, err = process.communicate()
    assert process.returncode == 0
    said = [re.sub(r"\d[\d.:]*", "N", line) for line in err.splitlines()]
    assert said[0] == "N runs" and said[1].startswith("about N on N workers")
    assert LOST.fullmatch(err.splitlines()[2])
    assert out.startswith("norm  n  test_accuracy")
    assert [line for line in said[3:] if not re.match("N/N runs|took|records: ", line)] == []


def test_a_cluster_of_this_machine_is_started_and_ended() -> None:
    """Stacked packs leave the same tables too; the study was begun locally."""
    sweep = (*SWEEP, "engine.mode=stacked")
    whole = run(*sweep, results_dir="whole")
    run(*[text.replace("range(4)", "range(2)") for text in sweep], results_dir="mixed")
    session = run(*sweep, "engine=ray", "engine.workers=null", results_dir="mixed")
    assert tables(session.study.folder) == tables(whole.study.folder)
    assert not find_ray().is_initialized()


def test_a_task_starts_the_ranks_of_its_run() -> None:
    """The tables are those of the ranks of this machine."""
    sweep = ("norm=batch,none", "engine.mode=auto", "engine.ranks=2", "study=mine")
    session = run(*sweep, "engine=ray", results_dir="ray")
    assert tables(session.study.folder) == tables(run(*sweep, results_dir="alone").study.folder)


def test_a_killed_workers_run_is_tried_again(nodes: "Cluster", deadly: Callable[[str, str], list[str]]) -> None:  # noqa: F811
    """Nothing is lost, and the user is told."""
    session = plan(*deadly("os.kill(os.getpid(), signal.SIGKILL)", "once"), *at(nodes))
    session.study.create()
    listener = Listener()
    session.execute(listener)
    assert set(session.rows()["status"]) == {"finished"}
    assert listener.notes == ["worker died; retrying its 1 run"]


def test_a_run_that_kills_twice_has_failed(nodes: "Cluster", deadly: Callable[[str, str], list[str]]) -> None:  # noqa: F811
    """The row says how."""
    rows = run(*deadly("os._exit(3)", "always"), *at(nodes)).rows()
    assert set(rows["error"]) == {"worker died"}


def test_ctrl_c_once_ends_the_packs_in_flight(nodes: "Cluster", capfd: pytest.CaptureFixture[str]) -> None:
    """What was in flight is kept, as locally; nothing of Ray's is printed."""

    class Impatient(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            os.kill(os.getpid(), signal.SIGINT)

    session = plan("seed=range(8)", *at(nodes))
    session.study.create()
    with pytest.raises(KeyboardInterrupt):
        session.execute(Impatient())
    assert len(load(session.study.folder)) == 1
    captured = capfd.readouterr()
    assert captured.err == "stopping after the runs in progress; Ctrl-C again stops now.\n"
    assert captured.out == ""


def test_ctrl_c_twice_stops_now(nodes: "Cluster") -> None:
    """A long run in flight is lost, what had ended is merged."""

    class Impatient(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            self.ended.append(run_id)

        def tick(self) -> None:
            if self.ended:
                os.kill(os.getpid(), signal.SIGINT)

    session = plan("seed=range(2)", "steps=3,1000000", *at(nodes))
    session.study.create()
    with pytest.raises(KeyboardInterrupt):
        session.execute(Impatient())
    assert set(load(session.study.folder)["steps"]) == {3}


def test_nothing_is_begun_when_the_time_is_over(nodes: "Cluster") -> None:
    """The same session goes on from there."""
    session = plan("seed=range(2)", *at(nodes))
    session.study.create()
    with pytest.raises(OutOfTime):
        session.execute(Silent(), until=0.0)
    assert plan("seed=range(2)", *at(nodes)).to_train == 2


def test_users_own_parts_are_found(nodes: "Cluster", here: Path) -> None:
    """They stand in the folder of the command, where its workers stand too."""
    (here / "mine").mkdir()
    (here / "mine" / "own_norm.py").write_text("from torch.nn import BatchNorm1d as Own\n")
    rows = run("norm._target_=mine.own_norm.Own", "norm.name=own", "seed=range(2)", *at(nodes)).rows()
    assert rows["status"].tolist() == ["finished"] * 2
