"""Tuning: each seed picks its hyper-parameters on its own validation set, and never on its test set."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import Ints, cells, config_columns, factors, ranks, require
from normbench.analysis.chance import imputed_values
from normbench.errors import StudyError

CRITERIA = {"val_accuracy": -1.0, "val_loss": 1.0}
"""What may be chosen by, and the sign that makes lower better."""


def best(runs: pd.DataFrame, over: Sequence[str] = ("lr",), metric: str = "val_accuracy") -> pd.DataFrame:
    """Return the run that each seed of each arm chooses on its own validation set, so that seeds stay independent.

    An arm is one setting of every other factor. Ties take the lowest value of `over` (of its first column, then of
    the next). A diverged run counts as chance, a failed one is no candidate.

    Args:
        runs: One row a run.
        over: The tuned config columns.
        metric: `val_accuracy` (highest wins) or `val_loss` (lowest wins).

    Returns:
        The chosen rows, ordered by arm and seed, under their index in `runs`, and a column `at_edge`: whether a tuned
        number is the smallest or largest that its arm tried, so that the optimum may lie outside; missing where the
        arm tried fewer than two numbers.

    Raises:
        ConfigError: `metric` is none of the two (a test set is never chosen on), or a column is unknown.
        StudyError: A seed has candidates, but none with this metric.
    """
    require(metric, CRITERIA, "criterion to choose by (a choice is made on validation, never on test)")
    for name in over:
        require(name, config_columns(runs), "config column")
    candidates = runs[runs["status"] != "failed"]
    arms = cells(candidates, arm_columns(runs, over))[0]
    order = pd.DataFrame({"arm": arms, "seed": candidates["seed"].to_numpy()})
    order["score"] = CRITERIA[metric] * imputed_values(candidates, metric)
    for name in over:
        order[f"over.{name}"] = ranks(candidates[name])
    positions = order.sort_values(list(order.columns), kind="stable").drop_duplicates(["arm", "seed"]).index
    chosen = candidates.iloc[positions]
    if (unscored := order.loc[positions, "score"].isna().to_numpy()).any():
        raise StudyError(f"run {chosen['run_id'][unscored].iloc[0]} has no {metric} to choose {', '.join(over)} by")
    return chosen.assign(at_edge=_at_edge(candidates, arms, over)[positions.to_numpy()])


def arm_columns(runs: pd.DataFrame, over: Sequence[str]) -> list[str]:
    """Return the columns that tell arms apart: the factors that are not tuned, and the study if there are several."""
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
