"""Which metric the runs of a task are chosen and shown by."""

from typing import Any

import numpy as np
import pytest

from normbench.analysis.tasks import by_first_metric, first_metric, tasks

from .tables import NO_SKILL, regression_rows, runs_table

LOST: dict[str, Any] = {"status": "diverged", "num_classes": None}

FIRST: dict[str, tuple[list[dict[str, Any]], str]] = {
    "accuracy": ([{"val_accuracy": 0.5, "val_loss": 1.0, "val_miou": 0.3}], "accuracy"),
    "another": ([{"val_loss": 1.0, "val_map": 0.3, "val_map50": 0.5}], "map"),
    "an empty column": ([{"val_loss": 1.0, "val_map": None, "val_mse": 0.5}], "mse"),
    "the loss alone": ([{"val_loss": 1.0}], "loss"),
    "diverged": ([{**LOST, **NO_SKILL}], "r2"),
    "diverged classes": ([{"status": "diverged"}], "accuracy"),
    "none": ([], "accuracy"),
}


@pytest.mark.parametrize(("rows", "expected"), FIRST.values(), ids=FIRST)
def test_the_first_metric(rows: list[dict[str, Any]], expected: str) -> None:
    """Accuracy goes first, then the first of the others that a run has, then the loss."""
    assert first_metric(runs_table(*rows)) == expected


@pytest.mark.parametrize("key", ["task", "study"])
def test_each_task_has_its_own(key: str) -> None:
    """Tasks are apart by their column, and by their study where they are not recorded."""
    images = [{key: "a", "val_accuracy": 0.5}, {key: "b", "val_accuracy": 0.5}]
    runs = runs_table(images[0], *({**row, key: "c"} for row in regression_rows()), images[1])
    assert [first for first, _ in tasks(runs)] == ["accuracy", "accuracy", "r2"]
    found = by_first_metric(runs)
    assert list(found) == ["accuracy", "r2"]
    np.testing.assert_array_equal(found["accuracy"], [True, *[False] * 18, True])
