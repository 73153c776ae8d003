import math

import numpy as np
import pytest

from normbench.analysis.chance import finished_values, has_chance, imputed_values

from .tables import runs_table

RUNS = runs_table(
    {"val_accuracy": 0.9, "val_loss": 0.3, "steps_to_target": 7},
    {"status": "diverged", "num_classes": 4},
    {"status": "failed", "num_classes": None},
)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("val_accuracy", [0.9, 0.25, np.nan]),
        ("val_loss", [0.3, math.log(4), np.nan]),
        ("steps_to_target", [7, np.nan, np.nan]),
    ],
)
def test_a_diverged_run_counts_as_chance(metric: str, expected: list[float]) -> None:
    """Divergence is chance accuracy or loss, and never reaches a target; a failure is nothing."""
    np.testing.assert_allclose(imputed_values(RUNS, metric), expected)


def test_only_finished_runs_have_values() -> None:
    """What a run left behind before it failed is no result."""
    runs = runs_table({"val_loss": 0.3}, {"status": "failed", "val_loss": 0.1})
    np.testing.assert_array_equal(finished_values(runs, "val_loss"), [0.3, np.nan])


def test_the_recorded_chance_goes_first() -> None:
    """What no skill scores in a task is the run's own number, where it has one; else it is known of classes alone."""
    lost = {"status": "diverged"}
    runs = runs_table({**lost, "chance_miou": 0.05, "chance_accuracy": 0.7}, {**lost, "num_classes": None})
    np.testing.assert_array_equal(imputed_values(runs, "test_miou_precise"), [0.05, np.nan])
    np.testing.assert_array_equal(imputed_values(runs, "val_accuracy"), [0.7, np.nan])
    np.testing.assert_array_equal(imputed_values(runs, "val_bleu"), [np.nan, np.nan])
    assert (has_chance(runs[:1], "val_miou"), has_chance(runs, "val_miou")) == (True, False)
