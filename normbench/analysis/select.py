"""Tuning: each seed picks its hyper-parameters on its own validation set, and never on its test set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import Ints, cells, config_columns, factors, ranks, require
from normbench.analysis.chance import imputed_values
from normbench.analysis.metric_columns import metric_of
from normbench.analysis.tasks import tasks
from normbench.errors import StudyError
from normbench.metrics import metric_column


def best(runs: pd.DataFrame, over: Sequence[str] = ("lr",), metric: str | None = None) -> pd.DataFrame:
    """Return the run that each seed of each arm chooses on its own validation set, so that seeds stay independent.

    An arm is one setting of every other factor. Ties take the lowest value of `over` (of its first column, then of
    the next). A diverged run counts as chance, or as the worst if chance is not known; a failed one is no candidate.

    Args:
        runs: One row per run.
        over: The tuned config columns.
        metric: A metric on the validation part; None takes the first metric of each run's task.

    Returns:
        The chosen rows, ordered by arm and seed, under their index in `runs`, and a column `at_edge`: whether a tuned
        number is the smallest or largest that its arm tried, so that the optimum may lie outside; missing if the
        arm tried fewer than two numbers.

    Raises:
        ConfigError: `metric` is none of the validation part (a test set is never chosen on), or a column is unknown.
        StudyError: A seed has candidates, but no finished one with this metric.
    """
    if metric is not None:
        known = [name for name in runs.columns if (found := metric_column(name)) and found.part == "val"]
        require(metric, known, "selection criterion (always a validation metric, never a test one)")
    for name in over:
        require(name, config_columns(runs), "config column")
    candidates = runs[runs["status"] != "failed"]
    arms = cells(candidates, arm_columns(runs, over))[0]
    order = pd.DataFrame({"arm": arms, "seed": candidates["seed"].to_numpy()})
    criteria = pd.Series(metric, index=order.index, dtype="str")
    order["score"] = np.nan
    for first, own in tasks(candidates):
        criterion = metric or f"val_{first}"
        criteria[own] = criterion
        order.loc[own, "score"] = -metric_of(criterion).sign * imputed_values(candidates[own], criterion)
    for name in over:
        order[f"over.{name}"] = ranks(candidates[name])
    positions = order.sort_values(list(order.columns), kind="stable").drop_duplicates(["arm", "seed"]).index
    chosen = candidates.iloc[positions]
    unscored = order["score"][positions].isna().to_numpy() & (chosen["status"] == "finished").to_numpy()
    if unscored.any():
        run, lacking = chosen["run_id"][unscored].iloc[0], criteria[positions][unscored].iloc[0]
        raise StudyError(f"run {run} has no {lacking} to tune {', '.join(over)} by")
    return chosen.assign(at_edge=_at_edge(candidates, arms, over)[positions.to_numpy()])


def arm_columns(runs: pd.DataFrame, over: Sequence[str]) -> list[str]:
    """Return the columns that distinguish arms: the factors that are not tuned, and the study if there are several."""
    studies = ["study"] if runs["study"].nunique() > 1 else []
    return studies + [name for name in factors(runs) if name not in over]


def _at_edge(candidates: pd.DataFrame, arms: Ints, over: Sequence[str]) -> pd.arrays.BooleanArray:
    edge, applies = np.zeros(len(candidates), dtype=np.bool_), np.zeros(len(candidates), dtype=np.bool_)
    for name in over:
        if is_numeric_dtype(candidates[name]) and not is_bool_dtype(candidates[name]):
            values = pd.Series(candidates[name].to_numpy(dtype=np.float64, na_value=np.nan))
            low, high = (values.groupby(arms).transform(end) for end in ("min", "max"))
            applies |= (low < high).to_numpy()
            edge |= ((low < high) & ((values == low) | (values == high))).to_numpy()
    return pd.arrays.BooleanArray(edge, ~applies)
