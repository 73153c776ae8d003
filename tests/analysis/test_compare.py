from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind, ttest_rel

from normbench.analysis.compare import CellChanges, compare_cells
from normbench.errors import ConfigError

from .tables import runs_table

SCORES_A, SCORES_B = [0.90, 0.91, 0.95, 0.93], [0.88, 0.92, 0.91, 0.90]


def arm(scores: Sequence[float | None], first: int = 0, **setting: Any) -> list[dict[str, Any]]:
    """Return a run a score, None for a diverged one, with seeds from `first` on and ids that differ."""
    return [
        {**setting, "seed": seed, "test_accuracy": score, "run_id": f"{sorted(setting.items())}{seed}"}
        | {"status": "finished" if score is not None else "diverged"}
        for seed, score in enumerate(scores, start=first)
    ]


def compared(a: list[dict[str, Any]], b: list[dict[str, Any]], **options: Any) -> CellChanges:
    return compare_cells(runs_table(*a), runs_table(*b), **options)


def test_seeds_that_both_have_are_paired() -> None:
    """The change and its interval are those of scipy's paired t-test."""
    row = compared(arm(SCORES_A), arm(SCORES_B)).rows.iloc[0]
    expected = ttest_rel(SCORES_B, SCORES_A).confidence_interval()
    assert row["design"] == "paired" and row["pairs"] == 4
    assert row["change"] == pytest.approx(np.mean(SCORES_B) - np.mean(SCORES_A))
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([expected.low, expected.high])


def test_without_a_shared_seed_all_stand_against_all() -> None:
    """The interval is Welch's."""
    row = compared(arm(SCORES_A), arm(SCORES_B[:3], first=10)).rows.iloc[0]
    expected = ttest_ind(SCORES_B[:3], SCORES_A, equal_var=False).confidence_interval()
    assert (row["design"], row["pairs"], row["n_a"], row["n_b"]) == ("unpaired", 0, 4, 3)
    assert [row["ci_low"], row["ci_high"]] == pytest.approx([expected.low, expected.high])


def test_of_seeds_that_only_one_has_nothing_is_compared() -> None:
    """Where some seeds are shared, the means are over these alone."""
    row = compared(arm(SCORES_A), arm(SCORES_B, first=2)).rows.iloc[0]
    assert row["pairs"] == 2
    assert row["mean_a"] == pytest.approx(np.mean(SCORES_A[2:]))
    assert row["mean_b"] == pytest.approx(np.mean(SCORES_B[:2]))


def test_cells_that_one_study_alone_has_are_counted() -> None:
    """Shared cells are rows, the others a number a side."""
    a = arm(SCORES_A, norm="batch") + arm(SCORES_A, norm="group")
    b = arm(SCORES_B, norm="batch") + arm(SCORES_B, norm="none") + arm(SCORES_B, norm="rms")
    found = compared(a, b)
    assert found.by == ("norm",)
    assert found.rows["norm"].tolist() == ["batch"]
    assert found.only == (1, 2)
    assert found.shared[0].tolist() == [True] * 4 + [False] * 4
    assert found.shared[1].tolist() == [True] * 4 + [False] * 8


def test_divergence_counts_as_chance_and_failure_not_at_all() -> None:
    """A run that diverged in B lost all above one in ten; one that failed is no pair."""
    b = arm([None, 0.9, 0.9])
    b[2] |= {"status": "failed", "test_accuracy": None}
    row = compared(arm([0.9, 0.9, 0.9]), b).rows.iloc[0]
    assert row["pairs"] == 2
    assert row["change"] == pytest.approx(-0.4)
    assert (row["diverged_a"], row["diverged_b"]) == (0, 1)


def test_equal_studies_are_equal() -> None:
    """A study against its copy: every cell and every run is the same."""
    found = compared(
        arm(SCORES_A, norm="a") + arm(SCORES_A, norm="b"), arm(SCORES_A, norm="a") + arm(SCORES_A, norm="b")
    )
    assert found.rows["equal"].all()
    assert (found.same_runs, found.same_results) == (8, 8)
    changed = arm([*SCORES_A[:3], 0.93000001])
    assert compared(arm(SCORES_A), changed).same_results == 3
    assert not compared(arm(SCORES_A), changed).rows["equal"].any()


def test_a_cell_whose_seeds_are_not_all_the_same_is_not_equal() -> None:
    """A seed more is a difference, and so is a study without any seed of the other."""
    assert not compared(arm(SCORES_A), arm(SCORES_A[:3])).rows["equal"].any()
    assert not compared(arm(SCORES_A), arm(SCORES_A, first=9)).rows["equal"].any()


def test_a_single_pair_has_no_interval() -> None:
    """One seed shows a change and no certainty."""
    row = compared(arm([0.9]), arm([0.8])).rows.iloc[0]
    assert row["change"] == pytest.approx(-0.1)
    assert pd.isna(row["ci_low"])


def test_by_pools_within_a_seed() -> None:
    """Several runs of a seed in one row count as their mean."""
    a = arm([0.9, 0.8], lr=0.1) + arm([0.7, 0.6], lr=0.2)
    b = arm([0.9, 0.9], lr=0.1) + arm([0.9, 0.9], lr=0.2)
    row = compared(a, b, by=["norm"]).rows.iloc[0]
    assert row["pairs"] == 2
    assert row["change"] == pytest.approx(0.15)


def test_no_common_cell() -> None:
    """Studies without a common cell have no rows."""
    assert compared(arm(SCORES_A, norm="a"), arm(SCORES_A, norm="b")).rows.empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"metric": "test_acuracy"}, "unknown metric 'test_acuracy'; did you mean", id="metric"),
        pytest.param({"by": ["nrom"]}, "unknown column .* 'nrom'; did you mean 'norm'", id="column"),
        pytest.param({"by": ["seed"]}, "cells are compared seed by seed", id="seed"),
    ],
)
def test_unknown_names(options: dict[str, Any], message: str) -> None:
    """What is unknown is answered by the nearest."""
    with pytest.raises(ConfigError, match=message):
        compared(arm(SCORES_A), arm(SCORES_B), **options)
