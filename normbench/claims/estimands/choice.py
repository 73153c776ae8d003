"""The run that each seed is scored on, and its position on the grid."""

from collections.abc import Sequence
from typing import Literal, NewType

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import factors, ranks
from normbench.analysis.chance import chance, finished_values, imputed_values
from normbench.analysis.metric_columns import metric_of
from normbench.analysis.select import best
from normbench.claims.estimands.contrast import Edge, in_words
from normbench.claims.estimands.records import HALFWAY, Arm, Records, Threshold, is_trained
from normbench.errors import StudyError

MetricName = NewType("MetricName", str)
"""A key of `METRICS`, such as ``loss``."""

ScoreColumn = NewType("ScoreColumn", str)
"""The column of a metric, such as ``test_accuracy_precise``."""

ShareColumn = NewType("ShareColumn", str)
"""A `ScoreColumn` of a share, of which 1 is perfect and the rest are errors."""

ValidationColumn = NewType("ValidationColumn", str)
"""The column of a metric on the validation part."""

Criterion = Literal["fastest"] | ValidationColumn | None
"""What a seed chooses by; None for the first metric of its task."""

TEST_ACCURACY = ScoreColumn("test_accuracy")


def chosen(
    records: Records, arm: Arm, over: Sequence[str], *, grid: Sequence[str] = (), by: Criterion = None
) -> pd.DataFrame:
    """Return the run that each seed of an arm chooses on its own validation set.

    Args:
        records: The runs.
        arm: The config values that make the arm.
        over: The tuned columns; ties take the lowest. Without any, the arm has a single run per seed.
        grid: Columns at each value of which the seed chooses again.
        by: A validation metric at the end (None: the first one), or `fastest`, the fewest steps to the validation
            target.

    Returns:
        One row per seed, or per seed and grid point, ordered by seed.

    Raises:
        MissingCells: The arm lacks runs.
        StudyError: The arm leaves a factor open, so that a seed has several choices.
    """
    rows = records.rows(arm, [*over, *grid])
    picked = _fastest(rows, over, grid) if by == "fastest" else best(rows, over, by)
    if picked.duplicated(["seed", *grid]).any():
        left = [name for name in factors(rows) if name not in (*over, *grid)]
        raise StudyError(f"the arm {in_words(dict(arm))} does not set {', '.join(left)}: give a value of each")
    return picked.sort_values("seed", kind="stable")


def score(rows: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return a metric of each row, shares in points of 100; a run that diverged counts as chance.

    Args:
        rows: Runs.
        metric: A metric's column.

    Raises:
        StudyError: A run diverged, or has no such number, and what no skill scores is not recorded.
    """
    values = imputed_values(rows, metric)
    scores = np.where(np.isnan(values), chance(rows, metric), values)
    if (unknown := np.isnan(scores)).any():
        raise StudyError(f"run {rows['run_id'][unknown].iloc[0]} has neither {metric} nor its chance level")
    return pd.Series(metric_of(metric).scale * scores, index=rows.index)


def log2_steps(rows: pd.DataFrame) -> "pd.Series[float]":
    """Return log2 of the steps to the target, censored at the budget; a run that diverged never arrives.

    Raises:
        StudyError: A budget is in epochs, so the step at which it ends is not known.
    """
    budget = rows["steps"].to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(budget).any():
        raise StudyError(f"run {rows['run_id'][np.isnan(budget)].iloc[0]} has no budget in steps to count it as")
    taken = finished_values(rows, "steps_to_target")
    return pd.Series(np.log2(np.fmin(taken, budget)), index=rows.index)


def edges(
    rows: pd.DataFrame, tried: pd.DataFrame, arm: Arm, over: Sequence[str], threshold: Threshold = HALFWAY
) -> tuple[Edge, ...]:
    """Return whether the first tuned column, the one whose grid can be extended, was chosen at an end.

    Args:
        rows: The choices.
        tried: All runs of the arm.
        arm: Its config values.
        over: The tuned columns.
        threshold: What counts as trained.
    """
    if not over or not is_numeric_dtype(tried[over[0]]) or is_bool_dtype(tried[over[0]]):
        return ()
    values, chosen_values = tried[over[0]].astype("float64"), rows[over[0]].astype("float64")
    low, high = values.min(), values.max()
    if not low < high:
        return ()
    name = in_words(dict(arm))
    ends: tuple[tuple[Literal["high", "low"], float], ...] = (("high", high), ("low", low))
    found = ((end, rows[chosen_values == value]) for end, value in ends)
    return tuple(
        Edge(name, end, own["seed"].nunique(), bool(is_trained(own, threshold).any())) for end, own in found if len(own)
    )


def _fastest(rows: pd.DataFrame, over: Sequence[str], grid: Sequence[str]) -> pd.DataFrame:
    order = pd.DataFrame({"steps": log2_steps(rows)} | {name: ranks(rows[name]) for name in over}, index=rows.index)
    sorted_rows = rows.loc[order.sort_values(list(order.columns), kind="stable").index]
    if not over:
        return sorted_rows
    open_factors = [name for name in factors(rows) if name not in over]
    return sorted_rows.drop_duplicates(list(dict.fromkeys(["seed", *grid, *open_factors])))
