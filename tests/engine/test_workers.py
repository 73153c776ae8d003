"""Tests of packs trained in worker processes."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normbench
from normbench.api import Session, Silent, load
from normbench.engine.interrupt import OutOfTime
from normbench.engine.places import local
from normbench.engine.places.pool import Pool
from normbench.errors import ConfigError, StudyError
from normbench.record.store import Study
from normbench.spec import Requested, Run
from normbench.training import pack
from normbench.training.outcome import Outcome

from .sessions import plan, run, tables

SWEEP = ("norm=batch,none", "seed=range(3)", "study=mine", "batch_size=16", "eval_every=1")

DEADLY = """
import os
import signal
from torch import nn

class Deadly(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 10 and self.may():
            ACTION
        return x

    def may(self):
        try:
            os.remove("once")
        except FileNotFoundError:
            return os.path.exists("always")
        return True
"""


_NUMBERS = itertools.count()


class Listener(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ended: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
        self.ended.append(run_id)


def listen(*overrides: str, results_dir: str = "results") -> tuple[Session, Listener]:
    session = plan(*overrides, results_dir=results_dir)
    session.study.create()
    listener = Listener()
    session.execute(listener)
    return session, listener


@pytest.fixture
def deadly(here: Path) -> Callable[[str, str], list[str]]:
    """Return overrides of three runs that do something in their tenth step: one of them `once`, or `always` all."""

    def overrides(action: str, when: str) -> list[str]:
        name = f"deadly{next(_NUMBERS)}"
        (here / f"{name}.py").write_text(DEADLY.replace("ACTION", action))
        (here / when).touch()
        return [f"norm._target_={name}.Deadly", f"norm.name={name}", "seed=range(3)", "steps=12", "engine.workers=2"]

    return overrides


@pytest.mark.parametrize("count", [2, 3])
def test_workers_leave_what_one_process_leaves(count: int) -> None:
    """Byte for byte, however many there are."""
    alone = run(*SWEEP, results_dir="alone")
    session, listener = listen(*SWEEP, f"engine.workers={count}", results_dir="shared")
    assert tables(session.study.folder) == tables(alone.study.folder)
    assert sorted(listener.ended) == sorted(session.plan.runs)
    assert listener.notes == []


def test_a_sweep_takes_all_cores_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a single pack none but its own process."""
    seen: list[int] = []

    class Counted(Pool):
        def __init__(self, duty, devices, method) -> None:  # type: ignore[no-untyped-def]
            seen.append(len(devices))
            super().__init__(duty, devices, method)

    monkeypatch.setattr("normbench.engine.places.local.Pool", Counted)
    monkeypatch.setattr("normbench.engine.device.cores", lambda: 3)
    run("seed=range(2)", "engine.workers=null")
    run("seed=range(2,6)", "engine.workers=null")
    run("seed=9", "engine.workers=null")
    assert seen == [2, 3]


def test_spawned_workers_do_the_same() -> None:
    """Where forks are not safe nothing is inherited, and nothing is different."""
    alone = run("seed=range(2)", "study=mine", results_dir="alone")
    session = plan("seed=range(2)", "study=mine", "engine.workers=2", results_dir="spawned")
    session.study.create()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_start_method", lambda *_: "spawn")
        session.execute(Silent())
    assert tables(session.study.folder) == tables(alone.study.folder)


def test_a_killed_workers_run_is_tried_again(deadly: Callable[[str, str], list[str]]) -> None:
    """Nothing is lost, and the user is told."""
    session, listener = listen(*deadly("os.kill(os.getpid(), signal.SIGKILL)", "once"))
    assert set(session.rows()["status"]) == {"finished"}
    assert listener.notes == ["worker killed by signal 9, as the system does when memory runs out; retrying its 1 run"]
    assert len(listener.ended) == 3


def test_a_run_that_kills_twice_has_failed(deadly: Callable[[str, str], list[str]], here: Path) -> None:
    """The others go on, in workers that replace the dead."""
    overrides = deadly("os.kill(os.getpid(), signal.SIGTERM)", "always")
    session, _ = listen(*overrides)
    rows = session.rows()
    assert set(rows["status"]) == {"failed"}
    assert set(rows["error"]) == {"worker killed by signal 15"}
    (here / "always").unlink()
    assert set(run(*overrides).rows()["status"]) == {"finished"}


def test_a_run_that_exits_has_failed_alone(deadly: Callable[[str, str], list[str]]) -> None:
    """sys.exit is an exception as any other; os._exit is a dead worker."""
    session, _ = listen(*deadly("raise SystemExit(3)", "always"))
    assert session.rows()["error"].str.startswith("SystemExit: 3 (").all()
    session, _ = listen(*deadly("os._exit(3)", "always"))
    assert set(session.rows()["error"]) == {"worker ended with exit code 3"}


def test_a_run_that_raises_once_is_only_told_of(deadly: Callable[[str, str], list[str]]) -> None:
    """The second time it is well."""
    session, listener = listen(*deadly("raise ValueError('a hiccup')", "once"))
    assert set(session.rows()["status"]) == {"finished"}
    (note,) = listener.notes
    assert note.startswith("a pack raised an error, and it was retried alone: ValueError: a hiccup (")


def failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Sequence[Run]], object]) -> None:
    """Have packs of some runs raise or worse; workers inherit it."""

    def train_pack(runs: Sequence[Requested], *args: Any, **more: Any) -> list[Outcome]:
        fails([one.run for one in runs])
        return pack.train_pack(runs, *args, **more)

    monkeypatch.setattr("normbench.engine.attempt.train_pack", train_pack)


STACKED = ("seed=range(6)", "study=mine", "engine.mode=stacked", "engine.workers=2", "eval_every=1")


@pytest.mark.parametrize("action", ["raises", "is killed"])
def test_a_pack_that_fails_is_tried_run_by_run(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its mode, so that its neighbours' rows are the same byte for byte; the run at fault alone has failed."""
    whole = run(*STACKED, results_dir="whole")

    def fails(runs: Sequence[Run]) -> None:
        if any(one.seed == 1 for one in runs):
            if action == "raises":
                raise RuntimeError("no")
            os.kill(os.getpid(), signal.SIGKILL)

    failing(monkeypatch, fails)
    session, listener = listen(*STACKED, results_dir="failed")
    rows = session.rows()
    assert rows["seed"][rows["status"] == "failed"].tolist() == [1]
    assert len(listener.notes) == 1
    expected = whole.rows().query("seed != 1").reset_index(drop=True)
    pd.testing.assert_frame_equal(rows.query("seed != 1").reset_index(drop=True), expected)
    assert len(list((session.study.folder / "shards").iterdir())) == len(session.study.blocks()[0].packs)


def test_a_record_that_cannot_be_written_stops_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of the worker is the command's, and no worker is left."""

    def write_shard(*_: object) -> None:
        raise StudyError("cannot write it: No space left on device.")

    monkeypatch.setattr(Study, "write_shard", write_shard)
    session = plan("seed=range(4)", "engine.workers=2")
    session.study.create()
    with pytest.raises(StudyError, match="No space left"):
        session.execute(Silent())
    assert plan("seed=range(4)").to_train == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_once_ends_the_packs_in_flight(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    """It is said on one line; what was in flight is kept, and the tables hold it."""

    class Impatient(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            super().run_ended(run_id, run, outcome)
            if len(self.ended) == 1:
                os.kill(os.getpid(), signal.SIGINT)

    session = plan("seed=range(8)", f"engine.workers={workers}", "steps=20")
    session.study.create()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        session.execute(Impatient())
    assert signal.getsignal(signal.SIGINT) is before
    kept = load(session.study.folder)
    assert 1 <= len(kept) <= 1 + 2 * (workers - 1)
    assert capfd.readouterr().err.count("stopping after the runs in progress") == 1
    assert plan("seed=range(8)", "steps=20").to_train == 8 - len(kept)


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_begun_when_the_time_is_over(workers: int, capfd: pytest.CaptureFixture[str]) -> None:
    """What is in flight ends and is merged; the same session goes on from there."""

    class Slow(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            time.sleep(max(0.0, until - time.monotonic()))

    # A pack a run: each has its own shape.
    session = plan("model.width=8,9,10,11,12,13,14,15", "steps=20", f"engine.workers={workers}")
    session.study.create()
    until = time.monotonic() + 2
    with pytest.raises(OutOfTime):
        session.execute(Slow(), until)
    assert 1 <= len(load(session.study.folder)) < 8
    assert "Ctrl-C" not in capfd.readouterr().err


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM,)], ids=["twice", "SIGTERM"])
@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_twice_stops_now(numbers: tuple[int, ...], workers: int) -> None:
    """SIGTERM does too: long runs in flight are lost, what had ended is merged."""

    class Impatient(Listener):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            for number in numbers:
                os.kill(os.getpid(), number)

    session = plan("seed=range(2)", "steps=3,100000", f"engine.workers={workers}")
    session.study.create()
    with pytest.raises(KeyboardInterrupt):
        session.execute(Impatient())
    assert load(session.study.folder)["steps"].tolist() == [3]
    assert [path.name for path in (session.study.folder / "shards").glob(".*")] == []


def test_a_thread_may_train(here: Path) -> None:
    """Signals are left alone, as Python gives them to the main thread only."""
    rows: list[pd.DataFrame] = []

    def train() -> None:
        rows.append(
            normbench.train(["steps=3", "model.width=8", "seed=range(3)", "engine.workers=2"], results_dir=here)
        )

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert rows[0]["status"].tolist() == ["finished"] * 3


def test_forked_workers_may_have_threads() -> None:
    """Where this process has used several before, they are spawned, and do not hang."""
    rows = run("seed=range(2)", "engine.threads=2", "engine.workers=2").rows()
    assert set(rows["status"]) == {"finished"}


def test_tables_are_mended_where_a_killed_command_left_them() -> None:
    """Though nothing is left to train."""
    session = run(*SWEEP)
    whole = tables(session.study.folder)
    kept = (session.study.folder / "shards" / "0001-000005.json").read_bytes()
    (session.study.folder / "shards" / "0001-000005.json").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("normbench.engine.execution._Loop.run", lambda *_: None)
        run(*SWEEP)
    assert tables(session.study.folder) != whole
    (session.study.folder / "shards" / "0001-000005.json").write_bytes(kept)
    assert plan(*SWEEP).to_train == 0
    run(*SWEEP)
    assert tables(session.study.folder) == whole


def test_a_planned_compilation_that_fails_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study planned with a compiler and gone on with without: trained eagerly, in any number of workers and packs."""
    sweep = ("seed=range(4)", "model.width=8,16", "engine.mode=compiled", "study=mine")
    eager = run(*[text.replace("compiled", "stacked") for text in sweep], results_dir="eager")
    monkeypatch.setattr("normbench.engine.places.local.find_compiler", lambda: "c++")

    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr("torch.compile", no_compiler)
    monkeypatch.setattr("torch._inductor.cpu_vec_isa.pick_vec_isa", no_compiler)
    monkeypatch.setattr("normbench.training.compiled._MADE", {})
    session, listener = listen(*sweep, "engine.workers=2")
    assert {pack.mode for pack in plan(*sweep, force=True).packs} == {"compiled"}
    assert listener.notes == ["not compiled (RuntimeError: No working C++ compiler found): training takes longer"]
    assert tables(session.study.folder) == tables(eager.study.folder)
    remarks = pd.read_csv(session.study.folder / "provenance.csv")["remark"]
    assert set(remarks) == {"not compiled (RuntimeError: No working C++ compiler found)"}


def test_a_start_method_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where forks are not safe though normbench cannot know, as beside other threads."""
    monkeypatch.setenv("NORMBENCH_START_METHOD", "spwan")
    with pytest.raises(ConfigError, match=r"^NORMBENCH_START_METHOD: got 'spwan', expected fork or spawn\.$"):
        run("seed=range(2)", "engine.workers=2")
