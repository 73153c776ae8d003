"""Tests of outcomes as rows."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.analysis.study import load_curves
from normbench.engine.rows import number, provenance_cells, record
from normbench.record.tables import PROVENANCE
from normbench.training.outcome import Evaluation, Outcome, Score

from .sessions import plan, run

CURVE = (
    Evaluation(3, 0.5, 0.1, train=Score(2.0, {"accuracy": 0.1}), val=Score(1.9, {"accuracy": 0.2})),
    Evaluation(6, 1.0, 0.05, train=Score(1 / 3, {"accuracy": 0.3}), val=Score(0.9, {"accuracy": 0.4})),
)
TEST = {
    "running": Score(0.8, {"accuracy": 0.5}),
    "precise": Score(0.7, {"accuracy": 0.6}),
    "batch": Score(0.6, {"accuracy": 0.7}),
}


def test_a_finished_run_has_all_its_metrics() -> None:
    """Those of the last evaluation, and of the test by each kind of statistics."""
    made = record("a", Outcome("finished", 10, 3, curve=CURVE, test=TEST, steps_to_target=6), {"mode": "solo"})
    assert (made.run_id, made.status, made.provenance) == ("a", "finished", {"mode": "solo"})
    assert made.result == {
        "num_params": 10, "num_classes": 3, "train_loss": 0.333333333, "train_accuracy": 0.3, "val_loss": 0.9,
        "val_accuracy": 0.4, "test_loss": 0.8, "test_accuracy": 0.5, "test_accuracy_precise": 0.6,
        "test_accuracy_batch": 0.7, "steps_to_target": 6,
    }  # fmt: skip
    assert made.curves == {
        "epoch": [0.5, 1.0], "step": [3, 6], "lr": [0.1, 0.05], "train_loss": [2.0, 0.333333333],
        "train_accuracy": [0.1, 0.3], "val_loss": [1.9, 0.9], "val_accuracy": [0.2, 0.4],
    }  # fmt: skip


def test_a_diverged_run_keeps_its_curve_and_no_metric() -> None:
    """The step and the classes say what it counts as."""
    made = record("a", Outcome("diverged", 10, 3, curve=CURVE[:1], diverged_at_step=4), {})
    assert made.result == {"num_params": 10, "num_classes": 3, "diverged_at_step": 4}
    assert made.curves["step"] == [3]


def test_a_failed_run_has_its_reason() -> None:
    """And nothing else."""
    made = record("a", Outcome("failed", error="no, really"), {})
    assert (made.result, made.curves, made.error) == ({"error": "no, really"}, {}, "no, really")


def test_what_is_undefined_is_no_cell() -> None:
    """A probe may find nothing at one evaluation, and JSON knows no nan."""
    first, second = CURVE
    curve = (replace(first, probes={"probe.x": math.nan}), replace(second, probes={"probe.x": 2.0}))
    made = record(
        "a",
        Outcome("finished", 10, 3, curve=curve, test={**TEST, "batch": Score(math.nan, {"accuracy": math.nan})}),
        {},
    )
    assert made.curves["probe.x"] == [None, 2.0]
    assert "test_accuracy_batch" not in made.result


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_nine_digits_hold_a_float32(value: float) -> None:
    """Nothing of a measured number is lost."""
    assert number(value) == pytest.approx(value, rel=5e-9, abs=1e-300)
    assert len(f"{number(value):.17g}".lstrip("-")) < 40


def test_provenance_is_filled_in_every_column() -> None:
    """One line a run, with the pack, the machine, the versions and what was measured."""
    session = run()
    (made,) = (row for _, row in session.study.records().values())
    found = made.provenance
    assert [*found] == [*PROVENANCE[1:]]
    empty = {name for name, cell in found.items() if cell == ""}
    assert empty <= {"normbench", "git_commit", "git_dirty", "git_diff", "remark"}
    assert [found[name] for name in ("block", "pack", "pack_size", "mode", "threads")] == [1, 0, 1, "solo", 1]
    assert found["device"] == "cpu"
    assert float(found["wall_time_s"]) > 0
    assert float(found["peak_memory_mb"]) > 10
    assert str(found["norm_layers"]).startswith("BatchNorm(8, ")
    assert str(found["norm_layers"]).endswith(" x1")


def test_a_column_that_was_not_measured_is_an_error() -> None:
    """No column of provenance is empty by mistake."""
    session = run()
    (session.study.folder / "shards" / "0001-000000.json").unlink()
    (work,) = plan().unfinished
    (run_id,) = work.runs
    with pytest.raises(KeyError, match="device"):
        provenance_cells(run_id, work)


def test_the_curves_of_a_run_read_back() -> None:
    """An evaluation within an epoch has a fraction of it."""
    curves = load_curves(run("eval_every=2").study.folder)
    assert curves["step"].tolist() == [2, 3]
    assert curves["epoch"].tolist() == pytest.approx([2 / 39, 3 / 39])
