"""What is read of curves.csv, and what is noted of it."""

import numpy as np
import pandas as pd
import pytest

from normbench.claims.estimands.evaluations import Evaluations, StepChoice

from .made_up import curves_table


def two_runs() -> Evaluations:
    """Return two looks of a probe at each of two runs, the second undefined in one; a row without looks after each."""
    return curves_table(
        [
            {"run_id": run, "step": step, "train_loss": step / 2, "probe.p.x": x, "probe.p.y": y, "probe.q.x": 9.0}
            for run, last in (("a", 7.0), ("b", None))
            for step, x, y in ((1, 5.0, 1.0), (2, last, 2.0), (3, None, None))
        ]
    )


def noted(curves: Evaluations) -> dict[str, list[int]]:
    return {name: np.flatnonzero(rows).tolist() for name, rows in curves.cells_read().items()}


@pytest.mark.parametrize(
    ("step", "values", "cells"),
    [
        ("first", [5.0], {"probe.p.x": [0]}),
        ("last", [7.0], {"probe.p.x": [1]}),
        ("mean", [5.0, 7.0], {"probe.p.x": [0, 1]}),
        (2, [7.0], {"probe.p.x": [1]}),
        (3, [], {"probe.p.x": []}),
    ],
    ids=str,
)
def test_a_look_is_noted(step: StepChoice, values: list[float], cells: dict[str, list[int]]) -> None:
    """One scalar at the steps asked for, of the runs asked for; the probe's other scalar is not read."""
    curves = two_runs()
    assert curves.of_probe(["a"], "probe.p.x", step)["probe.p.x"].tolist() == values
    assert noted(curves) == cells


def test_an_undefined_scalar_is_noted_with_those_that_show_the_look() -> None:
    """Without them the run would seem to have been looked at before, and not then."""
    curves = two_runs()
    assert curves.of_probe(["b"], "probe.p.x", "last")["probe.p.x"].isna().tolist() == [True]
    assert noted(curves) == {"probe.p.x": [4], "probe.p.y": [4]}


def test_all_readings_are_noted_together() -> None:
    """Of whole runs every evaluation, ordered by step; the keys need no note."""
    curves = two_runs()
    curves.of_probe(["a"], "probe.p.x", "first")
    assert curves.of_runs(["b", "a"], ["train_loss"])["step"].tolist() == [1, 1, 2, 2, 3, 3]
    assert noted(curves) == {"probe.p.x": [0], "train_loss": [0, 1, 2, 3, 4, 5]}


def test_a_column_that_is_not_there_has_no_looks() -> None:
    """Nor is anything noted, or by taking the whole table."""
    curves = two_runs()
    assert curves.of_probe(["a"], "probe.p.z", "last").empty
    assert len(curves.whole()) == 6
    assert noted(curves) == {}


def test_parts_are_read_as_one_table() -> None:
    """A column that one part lacks is missing there, and rows are counted from the first part on."""
    table = two_runs().whole()
    table.loc[table["run_id"] == "b", "probe.q.x"] = None
    one, parts = Evaluations([table]), Evaluations([table[:3], table[3:]])
    for curves in (one, parts):
        assert curves.of_probe(["a", "b"], "probe.q.x", "mean")["run_id"].tolist() == ["a", "a", "a"]
        assert curves.of_runs(["b"], ["probe.q.x"])["probe.q.x"].isna().all()
        assert curves.of_runs(["c"], ["probe.q.x"]).empty
    assert noted(parts) == noted(one)
    pd.testing.assert_frame_equal(parts.whole(), one.whole())
