"""Tests of commands that find packs of theirs in training elsewhere."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from normbench.engine.interrupt import OutOfTime
from normbench.spec import Run
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer

from .sessions import plan, run, tables
from .test_workers import Listener

SWEEP = ("seed=range(3)", "study=mine")


def test_a_command_waits_for_packs_that_another_trains(tmp_path: Path) -> None:
    """And trains what that one has not; the tables are as if there had been no other."""
    whole = run(*SWEEP, results_dir="whole")
    session = plan(*SWEEP)
    session.study.create()
    with subprocess.Popen(["sleep", "60"]) as other:

        class Waiting(Listener):
            def note(self, text: str) -> None:
                super().note(text)
                # The other ends one pack, and dies in the next.
                shard = "shards/0001-000000.json"
                (session.study.folder / shard).write_bytes((whole.study.folder / shard).read_bytes())
                other.kill()
                other.wait()

        leases = session.study.folder / "leases"
        leases.mkdir()
        for index in (0, 1):
            (leases / f"0001-00000{index}").write_text(f"{other.pid}@{socket.gethostname()}")
        listener = Waiting()
        session.execute(listener)
    holder = f"process {other.pid} on {socket.gethostname()}"
    assert listener.notes == [f"waiting for {holder}, which is training 2 of these packs"]
    assert len(listener.ended) == 2
    assert tables(session.study.folder) == tables(whole.study.folder)


def test_the_wait_ends_with_the_time(tmp_path: Path) -> None:
    """Or with Ctrl-C, as nothing is in progress."""
    session = plan(*SWEEP)
    session.study.create()
    (session.study.folder / "leases").mkdir()
    (session.study.folder / "leases" / "0001-000001").write_text(f"{os.getppid()}@{socket.gethostname()}")
    with pytest.raises(OutOfTime):
        session.execute(Listener(), until=0.0)
    assert not list((session.study.folder / "shards").iterdir())


def test_a_place_with_leases_holds_one_for_each_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is in training."""
    monkeypatch.setattr("normbench.engine.places.local.Local.leased", True)
    session = plan(*SWEEP)
    session.study.create()
    folder = session.study.folder / "leases"
    seen: list[list[str]] = []

    class Looking(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            seen.append([path.name for path in folder.iterdir()])

        def tick(self) -> None:
            seen.append([path.name for path in folder.iterdir()])

        def observers(self, run_id: str, run: Run) -> list[Observer]:
            seen.append([path.name for path in folder.iterdir()])
            return []

    session.execute(Looking())
    assert seen[:3] == [["0001-000000"], [], []]
    assert not folder.exists()
