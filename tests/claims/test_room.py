from typing import Any

import pytest

from .made_up import BATCH, NONE, SCORE, Row, batch_minus_none, judged

SEEDS = {0: 0.95, 1: 0.97, 2: 0.99}


def rows_of(norm: str, shift: float = 0.0, **more: Any) -> list[Row]:
    """Return a run a seed."""
    return [{"norm": norm, "seed": seed, "test_accuracy": score - shift, **more} for seed, score in SEEDS.items()]


def test_room_is_from_the_better_arms_typical_value_to_the_best() -> None:
    """Batch norm's Hodges-Lehmann estimate is 97 points, so that 3 are left, whichever arm is the treatment."""
    rows = rows_of("batch") + rows_of("none", 0.1)
    assert batch_minus_none(rows, SCORE).room == 3
    assert judged("difference", rows, measure=SCORE, treatment=NONE, control=BATCH).room == 3


def test_room_is_the_smallest_over_levels() -> None:
    """At batch 32 the control leaves 3 points, at 8 the treatment 13."""
    rows = rows_of("batch", 0.1, batch_size=8) + rows_of("none", 0.2, batch_size=8)
    rows += rows_of("batch", 0.05, batch_size=32) + rows_of("none", batch_size=32)
    levels = [{"batch_size": 8}, {"batch_size": 32}]
    assert batch_minus_none(rows, SCORE, levels=levels).room == 3
    assert judged("over_levels", rows, measure=SCORE, treatment=BATCH, control=NONE, levels=levels).room == 3
    assert batch_minus_none(rows, SCORE, levels=levels[:1]).room == 13


def test_the_best_of_an_error_is_zero() -> None:
    """A mean squared error of 0.05 leaves 0.05; a loss in nats has no end."""
    rows = [
        {**arm, "test_mse": error, "chance_mse": 1.0, "val_mse": error, "train_mse": error, "val_accuracy": None}
        for arm, error in ((BATCH, 0.05), (NONE, 0.2))
    ]
    assert batch_minus_none(rows, {**SCORE, "metric": "test_mse", "by": "val_mse"}).room == 0.05
    assert batch_minus_none(rows_of("batch") + rows_of("none"), {**SCORE, "metric": "test_loss"}).room is None


def test_the_control_may_be_measured_in_another_column() -> None:
    """Running against precise statistics: both have the same best value."""
    rows = rows_of("batch", test_accuracy_precise=0.98)
    contrast = judged(
        "over_levels",
        rows,
        measure=SCORE,
        control_measure={**SCORE, "metric": "test_accuracy_precise"},
        treatment=BATCH,
        control=BATCH,
        levels=[{}],
    )
    assert contrast.room == 2


@pytest.mark.parametrize(
    "measure", [{"name": "trained"}, {"name": "largest_rate"}, {"name": "log2_error"}, {"name": "steps_to_target"}]
)
def test_other_measures_have_no_room(measure: Row) -> None:
    """Their ends are not those of a score."""
    assert batch_minus_none(rows_of("batch") + rows_of("none", 0.1), measure).room is None


def test_other_comparisons_have_no_room() -> None:
    """A difference of differences is not bounded by what one arm has left."""
    rows = [row for size in (2, 32) for norm in ("batch", "none") for row in rows_of(norm, batch_size=size)]
    args: Row = {"measure": SCORE, "treatment": BATCH}
    more: Row = {"control": NONE, "at": {"batch_size": 2}, "against": {"batch_size": 32}}
    assert judged("interaction", rows, **args, **more).room is None
    assert judged("slope", rows, **args, factor="batch_size", values=[2, 32]).room is None
