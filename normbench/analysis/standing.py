"""Which rows of a table are the best, or not distinguishable from it given their seeds."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from normbench.analysis.cells import Ints
from normbench.analysis.chance import imputed_values
from normbench.analysis.intervals import Floats
from normbench.analysis.metric_columns import metric_of

TIED = 1e-9
"""Means closer than this are equal; rounding leaves equal ones 1e-17 apart."""


def among_best(
    runs: pd.DataFrame, numbers: Ints, contests: Ints, metric: str, level: float = 0.95
) -> pd.arrays.BooleanArray:
    """Return for each row whether it is the best of its contest, or cannot be distinguished from the best.

    Two rows are distinguished if the interval of the difference of their means excludes 0: Student's, paired by seed,
    if both have the same seeds, else Welch's. Its level is shared among all comparisons of a contest (Bonferroni).
    A seed counts once, with the mean of its runs; a diverged run counts as chance, a failed one not at all.

    Args:
        runs: One row per run.
        numbers: The row in 0 to rows - 1 of each run.
        contests: The contest of each row, shape (rows,).
        metric: One of `metric_columns`.
        level: Coverage of all intervals of a contest together.

    Returns:
        Shape (rows,); missing for a row without values, and in a contest that cannot be judged: of fewer than two
        rows, where a row has fewer than two seeds, or where a run that ended has no value, such as one that never
        reached its target.
    """
    ended = (runs["status"] != "failed").to_numpy(dtype=np.bool_)
    values = metric_of(metric).sign * imputed_values(runs, metric)[ended]
    scores = pd.DataFrame({"row": numbers[ended], "seed": runs["seed"].to_numpy()[ended], "score": values})
    seeds = scores.groupby(["row", "seed"], as_index=False)["score"].mean()
    counts = np.bincount(seeds["row"], minlength=len(contests))
    unfit = np.union1d(contests[counts == 1], contests[scores["row"][scores["score"].isna()]])
    told, judged = np.zeros(len(contests), dtype=np.bool_), np.zeros(len(contests), dtype=np.bool_)
    seeds["contest"] = contests[seeds["row"]]
    for _, own in seeds[~seeds["contest"].isin(unfit)].groupby("contest"):
        table = own.pivot(index="row", columns="seed", values="score")
        if len(table) > 1:
            rows = table.index.to_numpy()
            judged[rows] = True
            told[rows] = _told_from_best(table.to_numpy(dtype=np.float64), level)
    return pd.arrays.BooleanArray(~told, ~judged)


def _told_from_best(scores: Floats, level: float) -> NDArray[np.bool_]:
    """Return which rows the best mean is clearly above, from scores of shape (rows, seeds), NaN if not run."""
    there = ~np.isnan(scores)
    n, mean, variance = there.sum(axis=1), np.nanmean(scores, axis=1), np.nanvar(scores, axis=1, ddof=1)
    best = int(np.argmax(mean))
    paired = (there == there[best]).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):  # equal scores have no spread, infinite losses no mean
        between = np.nanvar(np.where(paired[:, None], scores[best] - scores, scores), axis=1, ddof=1) / n
        shares = variance / n
        welch = (shares + shares[best]) ** 2 / (shares**2 / (n - 1) + shares[best] ** 2 / (n[best] - 1))
        freedom = np.where(paired, n - 1, welch)
        spread = np.sqrt(np.where(paired, between, shares + shares[best]))
        half = stdtrit(freedom, 1 - (1 - level) / 2 / (len(scores) - 1)) * spread
        low = mean[best] - mean - np.where(spread > 0, half, 0)
    return np.asarray(low > TIED)
