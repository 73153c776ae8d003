from typing import Any

import pandas as pd
import pytest

from normbench.claims.designs import Design
from normbench.claims.doses import DOSE_COLUMNS, curve_rows
from normbench.claims.estimands.curve import check_curve, curve
from normbench.claims.spec import Cell, Curve, Estimand
from normbench.claims.tables import Tables
from normbench.errors import ConfigError

from .made_up import BATCH, NONE, SCORE, Row, curves_table, runs_of, seeds_of, table

SIZES = {2: 0.5, 4: 0.7, 8: 0.75, 32: 0.8}
ARGS: dict[str, Any] = {
    "measure": {"name": "tuned_score"},
    "treatment": NONE,
    "control": BATCH,
    "at": {"batch_size": 2},
    "against": {"batch_size": 32},
}
AT: list[str | int] = ["at", "batch_size"]


def rows_of(seeds: int = 6) -> list[Row]:
    """Return batch norm that gets worse at small batches, by a point more a seed, and no norm that does not."""
    return [
        row
        for size, score in SIZES.items()
        for arm, own in ((BATCH, score), (NONE, 0.8))
        for row in runs_of({**arm, "batch_size": size}, {seed: {0.5: own - seed / 100} for seed in range(seeds)})
    ]


def rows(
    argument: list[str | int],
    values: list[Any],
    args: dict[str, Any] = ARGS,
    name: str = "interaction",
    looks: tuple[int, ...] = (6,),
    records: pd.DataFrame | None = None,
) -> list[dict[str, Any]]:
    """Return the rows of a curve."""
    own = Curve("batch size", tuple(argument), tuple(values))
    cell = Cell("small", "digits", "It hurts.", "", (), None, Estimand(name, args), "greater", 1, "points")
    runs = table(rows_of()) if records is None else records
    design = Design(cell.spec_sha256, tuple(sorted(set(runs["seed"]))), tuple(runs["run_id"]), looks=looks)
    return list(curve_rows(cell, own, design, Tables(runs, curves_table([]))))


def test_a_curve_has_a_row_a_dose_and_marks_the_primary_one() -> None:
    """The effect falls from 30 points at 2 to 5 at 8; the primary point is the one of the claim's own arguments."""
    found = rows(AT, [2, 4, 8])
    assert [(row["dose"], round(row["effect"], 6), row["primary"]) for row in found] == [
        (2, 30, True),
        (4, 10, False),
        (8, 5, False),
    ]
    assert all(tuple(row) == DOSE_COLUMNS for row in found)
    expected = {"claim": "small", "cell": "digits", "curve": "batch size", "unit": "points", "n_seeds": 6}
    assert {name: found[0][name] for name in expected} == expected
    assert (found[0]["ci_low"], found[0]["ci_high"]) == (30, 30) and found[0]["n_collapsed"] == 0


def test_only_the_seeds_of_the_verdict_count() -> None:
    """Seeds of a look that is not complete are not in the curve either."""
    assert [row["n_seeds"] for row in rows(AT, [2, 4], looks=(4, 8))] == [4, 4]


def test_a_dose_that_the_records_lack_has_a_reason() -> None:
    """The other doses are there all the same."""
    found = rows(AT, [2, 16])
    assert found[0]["effect"] is not None and found[1]["effect"] is None
    assert str(found[1]["reason"]).startswith("missing: batch_size=16, norm=none, every seed")


def test_a_dose_at_the_end_of_the_grid_says_so() -> None:
    """Its effect may be larger than it looks."""
    records = table(runs_of(BATCH, {0: {0.25: 0.9, 0.5: 0.95}}) + runs_of(NONE, {0: {0.25: 0.9, 0.5: 0.8}}))
    args = {"measure": SCORE, "treatment": BATCH, "control": NONE}
    found = rows(["control", "norm"], ["none", "group"], args, "difference", records=records)
    assert found[0]["reason"] == (
        "1 seeds are at the high end of the grid for norm=batch; 1 seeds are at the low end of the grid for norm=none"
    )
    assert found[0]["effect"] == 5


def test_each_level_has_its_rows() -> None:
    """Of an estimand over levels."""
    args = {"measure": SCORE, "treatment": NONE, "control": BATCH, "levels": [{"batch_size": 2}, {"batch_size": 32}]}
    found = rows(["levels", 0, "batch_size"], [2, 8], args, "over_levels")
    assert [(row["curve"], row["dose"]) for row in found] == [
        ("batch size, batch_size=2", 2),
        ("batch size, batch_size=32", 2),
        ("batch size, batch_size=8", 8),
        ("batch size, batch_size=32", 8),
    ]


def test_a_default_of_a_measure_may_be_the_primary_dose() -> None:
    """A claim that says nothing of the threshold has it at 0.5: its curve needs no other arguments, and no new hash."""
    args = {"measure": {"name": "largest_rate"}, "treatment": BATCH, "control": NONE, "levels": [{"batch_size": 32}]}
    doses = curve("difference", args, ["measure", "threshold"], [0.3, 0.5, 0.97], table(rows_of()), curves_table([]))
    assert [dose.primary for dose in doses] == [False, True, False]
    assert "threshold" not in args["measure"]


def test_a_key_may_contain_dots_and_a_value_be_null() -> None:
    """An argument is a list, so that a dotted config column is one key; null is the whole batch."""
    args = {"measure": SCORE, "treatment": {"optimizer.clip_norm": None}, "control": {"optimizer.clip_norm": 1}}
    check_curve("difference", args, ["treatment", "optimizer.clip_norm"], [None, 1, 0.5])


def test_the_ghost_batch_is_a_dose_of_the_gap_at_equal_training_loss() -> None:
    """The gap takes any arm: no norm with He's initialisation as the control, and the ghost batch as the dose."""
    arms = [{"norm": "none", "model.init": "he"}] + [{"norm": "batch", "norm_batch_size": size} for size in (4, 16)]
    runs = table(
        [{**arm, "seed": seed, "run_id": f"{place}{seed}"} for place, arm in enumerate(arms) for seed in range(2)]
    )
    points = curves_table(
        [
            {
                "run_id": run,
                "step": step,
                "train_loss": 1 - step / 10,
                "val_loss": 1 - step / 10 + step * int(run[0]) / 10,
            }
            for run in runs["run_id"]
            for step in (0, 5)
        ]
    )
    args = {
        "treatment": {"norm": "batch", "norm_batch_size": 4},
        "control": {"norm": "none", "model.init": "he"},
    }
    argument = ["treatment", "norm_batch_size"]
    check_curve("matched_gap", args, argument, [4, 16])
    doses = curve("matched_gap", args, argument, [4, 16], runs, points)
    assert [seeds_of(dose.contrast) for dose in doses if dose.contrast] == [{0: -0.5, 1: -0.5}, {0: -1.0, 1: -1.0}]


@pytest.mark.parametrize(
    ("argument", "values", "message"),
    [
        (
            ["at", "batchsize"],
            [2, 4],
            r"argument: got 'batchsize' in \['at', 'batchsize'\], expected one of batch_size",
        ),
        (["at", "batch_size", 0], [2, 4], r"argument: got 0 in .*, expected a place in 2"),
        (["measure", "threshold"], [0.3, 0.5], r"argument: got 'threshold' in .*, expected one of name"),
        (["at"], [2, 4], r"argument: got \['at'\], which is .*, expected a single value"),
        ([], [2, 4], r"argument: got \[\], expected a list of keys"),
        ("at", [2, 4], r"argument: got 'at', expected a list of keys"),
        (AT, [4, 8], r"values: got \[4, 8\], expected the primary contrast's own, 2, among them"),
        (AT, [2], r"values: got \[2\], expected a list of at least two"),
        (AT, [2, 4, 4], r"values: got 4 twice"),
        (AT, [2, "4"], r"values: got \[2, '4'\], expected values like the primary contrast's own, 2"),
        (AT, [2, True], r"values: got \[2, True\], expected values like"),
        (AT, [2, [4]], r"values: got \[4\], expected single values"),
        (["measure", "name"], ["tuned_score", "tuned"], r"values: estimand.args.measure: unknown measure 'tuned'"),
    ],
)
def test_a_curve_that_does_not_fit_is_refused(argument: Any, values: list[Any], message: str) -> None:
    """When the claim is read, in one line that begins with the field."""
    with pytest.raises(ConfigError, match=f"^{message}") as error:
        check_curve("interaction", ARGS, argument, values)
    assert "\n" not in str(error.value)
