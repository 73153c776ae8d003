"""Tests of packs trained in this process: failures, interruptions, and what is left on the disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from normbench.api import Silent, load
from normbench.commands.closing import print_outcome
from normbench.record.columns import METRIC_COLUMNS
from normbench.spec import Run
from normbench.training import pack, solo
from normbench.training.outcome import Outcome
from normbench.training.solo import Observer

from .sessions import plan, run, tables

FRAGILE = """
from torch import nn

class Fragile(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls == 3:
            raise RuntimeError("the third,\\nof\\t\\"three\\" steps")
        return x
"""


def test_a_run_that_raises_is_a_row_and_the_others_go_on(here: Path) -> None:
    """The row has the reason in one line and where it happened; nothing else of the study is touched."""
    (here / "fragile_norm.py").write_text(FRAGILE)
    run("seed=range(2)")
    session = run("norm._target_=fragile_norm.Fragile", "norm.name=fragile", "seed=range(2)")
    rows = load(session.study.folder)
    assert dict(zip(rows["norm"], rows["status"], strict=True)) == {"batch": "finished", "fragile": "failed"}
    failed = rows["norm"] == "fragile"
    assert set(rows["error"][failed]) == {
        f'RuntimeError: the third, of "three" steps ({here}/fragile_norm.py, line 12)'
    }
    assert (rows["test_accuracy"].isna() == failed).all()


def failing(monkeypatch: pytest.MonkeyPatch, *seeds: int, error: type[BaseException] = RuntimeError) -> list[int]:
    """Make runs of some seeds raise; return the seeds trained, as they come."""
    trained: list[int] = []

    def train(one: Run, *args: Any, **more: Any) -> Outcome:
        trained.append(one.seed)
        if one.seed in seeds:
            raise error("no")
        return solo.train(one, *args, **more)

    monkeypatch.setattr(pack, "train", train)
    return trained


def test_a_failure_takes_no_finished_result_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained again, a run that fails keeps the row it had, and the command still says that it failed."""
    before = run("seed=range(2)").rows()
    failing(monkeypatch, 1)
    session = run("seed=range(2)", force=True)
    pd.testing.assert_frame_equal(session.rows(), before)
    (failed,) = (run_id for run_id, one in session.plan.runs.items() if one.run.seed == 1)
    assert session.failures().keys() == {failed}
    assert session.failures()[failed].startswith("RuntimeError: no")
    assert print_outcome(session, width=80, color=False) == 1


def test_a_failed_run_is_tried_again_in_a_new_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command trains the failed ones alone, and their new record wins."""
    with monkeypatch.context() as patch:
        failing(patch, 1)
        assert run("seed=range(3)").rows()["status"].tolist().count("failed") == 1
    trained = failing(monkeypatch)
    session = run("seed=range(3)")
    assert trained == [1]
    assert set(session.rows()["status"]) == {"finished"}
    assert [len(block.runs) for block in session.study.blocks()] == [3, 1]


@pytest.mark.parametrize("where", [0, 2, 3], ids=["in the first run", "in the middle", "in the last run"])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(where: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was finished is kept and merged; going on trains the rest, and every table has the same bytes."""
    overrides = ("norm=batch,none", "seed=range(2)", "study=mine", "batch_size=16", "eval_every=1")
    whole = run(*overrides, results_dir="whole")
    calls = 0

    def train(*args: Any, **more: Any) -> Outcome:
        nonlocal calls
        calls += 1
        if calls == where + 1:
            raise KeyboardInterrupt
        return solo.train(*args, **more)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pack, "train", train)
        run(*overrides, results_dir="halved")
    folder = Path("halved/mine")
    if where:
        assert len(load(folder)) == where
        assert len((folder / "provenance.csv").read_text().splitlines()) == where + 1
    trained = failing(monkeypatch)
    run(*overrides, results_dir="halved")
    assert len(trained) == 4 - where
    assert tables(folder) == tables(whole.study.folder)


def test_a_record_is_on_the_disk_before_progress_hears_of_it() -> None:
    """Who is told that a run ended can read its record."""
    session = plan("seed=range(2)")
    session.study.create()
    found: list[int] = []

    class Watcher(Silent):
        def run_ended(self, run_id: str, run: Run, outcome: Outcome) -> None:
            assert run_id in session.study.records()
            found.append(len(session.study.records()))

    session.execute(Watcher())
    assert found == [1, 2]


def test_an_observer_that_cannot_be_made_fails_its_run_alone() -> None:
    """A log that cannot be opened is a reason for a row as any other."""
    session = plan("seed=range(2)")
    session.study.create()

    class Watcher(Silent):
        def observers(self, run_id: str, run: Run) -> Sequence[Observer]:
            if run.seed == 0:
                raise OSError("no room for a log")
            return ()

    session.execute(Watcher())
    rows = session.rows().sort_values("seed")
    assert rows["status"].tolist() == ["failed", "finished"]
    assert rows["error"].tolist()[0].startswith("OSError: no room for a log (")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt], ids=["finished", "interrupted"])
def test_the_callers_threads_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    """From Python, the next plan in this process must see the same number of cores."""
    before = torch.get_num_threads()
    seen: list[int] = []

    def train(*args: Any, **more: Any) -> Outcome:
        seen.append(torch.get_num_threads())
        raise error

    monkeypatch.setattr(pack, "train", train)
    torch.set_num_threads(2)
    try:
        run("engine.threads=1")
    except KeyboardInterrupt:
        assert error is KeyboardInterrupt
    finally:
        after = torch.get_num_threads()
        torch.set_num_threads(before)
    assert (set(seen), after) == ({1}, 2)


def test_a_diverged_run_has_no_metrics_and_is_done() -> None:
    """Divergence is a result: it is not trained again."""
    session = run("lr=1e30", "norm=none", "steps=20")
    (row,) = session.rows().to_dict("records")
    assert row["status"] == "diverged"
    assert 1 <= row["diverged_at_step"] <= 20
    assert all(pd.isna(row[name]) for name in METRIC_COLUMNS)
    assert plan("lr=1e30", "norm=none", "steps=20").to_train == 0
