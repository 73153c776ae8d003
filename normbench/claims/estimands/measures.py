"""What is measured of one arm: one number per seed. Comparisons take differences of these."""

from dataclasses import dataclass, replace
from typing import Any, Literal, NewType

import numpy as np
import pandas as pd

from normbench.analysis.metric_columns import as_shown, metric_of
from normbench.claims.estimands.choice import TEST_ACCURACY, Criterion, ScoreColumn, chosen, edges, log2_steps, score
from normbench.claims.estimands.contrast import Edge, in_words
from normbench.claims.estimands.records import HALFWAY, Arm, Records, Threshold, has_collapsed, is_trained

Columns = tuple[str, ...]
Positive = NewType("Positive", float)
"""A finite number above 0."""

DIGITS = 6
"""Decimals of an octave: rates half an octave apart differ by exactly that, so that equal differences tie."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One arm, measured.

    Attributes:
        values: One number per seed.
        collapsed: Whether a run that the seed is scored on was not trained.
        rows: The runs that the seeds are scored on, ordered by seed; of a grid, all of it.
        words: What was measured, in words short enough for an axis.
        chosen: The columns that a seed has chosen its value of.
        edges: The ends of the grid that some seed has its optimum or limit at.
        tried: The values of the first tuned column.
        best: The best possible value; None if there is none, or if the measure is no score.
    """

    values: "pd.Series[float]"
    collapsed: "pd.Series[bool]"
    rows: pd.DataFrame
    words: str
    chosen: Columns = ()
    edges: tuple[Edge, ...] = ()
    tried: frozenset[Any] = frozenset()
    best: float | None = None


def tuned_score(
    records: Records,
    arm: Arm,
    *,
    metric: ScoreColumn = TEST_ACCURACY,
    over: Columns = ("lr",),
    by: Criterion = None,
) -> Measured:
    """Return the score of the run that each seed chooses on its own validation set; shares in points of 100."""
    rows = chosen(records, arm, over, by=by)
    measured = of_choices(records, arm, over, rows, score(rows, metric), as_shown(metric))
    return replace(measured, best=_best(metric))


def steps_to_target(records: Records, arm: Arm, *, over: Columns = ("lr",), by: Criterion = "fastest") -> Measured:
    """Return log2 of the steps to the validation target, censored at the budget.

    By default each seed takes its fastest rate, so that an arm is as fast as its grid lets it be.
    """
    rows = chosen(records, arm, over, by=by)
    return of_choices(records, arm, over, rows, log2_steps(rows), "log2 of the steps to the target")


def time_to_target(
    records: Records, arm: Arm, *, step_cost: Positive, over: Columns = ("lr",), by: Criterion = "fastest"
) -> Measured:
    """Return log2 of the time to the validation target, in steps of a net whose step costs 1.

    What a step costs is a property of the machine, and no seed varies it: it is measured once and given.

    Args:
        records: The runs.
        arm: The config values that make the arm.
        step_cost: Time of one of the arm's steps, relative to the net that costs 1.
        over: The tuned columns.
        by: What a seed chooses by, as in `steps_to_target`.
    """
    steps = steps_to_target(records, arm, over=over, by=by)
    return replace(steps, values=steps.values + np.log2(step_cost), words="log2 of the time to the target")


def worst_case(
    records: Records, arm: Arm, *, grid: Columns, metric: ScoreColumn = TEST_ACCURACY, over: Columns = ("lr",)
) -> Measured:
    """Return the worst tuned score over the points of a grid, the seed tuning again at each point."""
    rows = chosen(records, arm, over, grid=grid)
    scores = score(rows, metric)
    worst = (metric_of(metric).sign * scores).groupby(rows["seed"]).idxmin()
    measured = of_choices(records, arm, over, rows.loc[worst], scores[worst], f"worst {as_shown(metric)}")
    return replace(measured, rows=rows, best=_best(metric))


def grid_share(
    records: Records,
    arm: Arm,
    *,
    over: Columns,
    within: float,
    metric: ScoreColumn = TEST_ACCURACY,
    around: Positive | None = None,
) -> Measured:
    """Return the share of a grid that is trained and within `within` of the run that the seed chooses from it.

    Without `around` the grid is part of the question, so an optimum at its end does not ask for a longer grid.

    Args:
        records: The runs.
        arm: The config values that make the arm.
        over: The columns of the grid.
        within: How much worse than the choice still counts as near.
        metric: What is compared.
        around: Octaves: count only settings whose first column is at most this far from the seed's choice, so that an
            arm is measured around its own optimum. A grid that ends within them asks for a longer grid.
    """
    tried = records.rows(arm, over)
    rows = chosen(records, arm, over)
    by_seed = rows["seed"].to_numpy()
    sign = metric_of(metric).sign
    reference = pd.Series((sign * score(rows, metric)).to_numpy(), index=by_seed)
    near = (sign * score(tried, metric) >= tried["seed"].map(reference) - within) & is_trained(tried)
    ends: tuple[Edge, ...] = ()
    if around is not None:
        octaves, centre = octaves_of(tried[over[0]]), octaves_of(rows[over[0]])
        distance = octaves - tried["seed"].map(pd.Series(centre.to_numpy(), index=by_seed))
        near = near[distance.abs().round(DIGITS) <= around]
        name = in_words(dict(arm))
        cut: tuple[tuple[Literal["high", "low"], pd.Series[bool]], ...] = (
            ("high", centre + around > octaves.max()),
            ("low", centre - around < octaves.min()),
        )
        ends = tuple(
            Edge(name, end, int(own.sum()), bool(is_trained(rows[own]).any())) for end, own in cut if own.any()
        )
    shares = near.groupby(tried["seed"]).mean()
    words = f"share of the {'grid' if around is None else 'settings around it'} that is near the best"
    return replace(of_choices(records, arm, over, rows, shares[by_seed], words), edges=ends)


def of_choices(
    records: Records,
    arm: Arm,
    over: Columns,
    rows: pd.DataFrame,
    values: "pd.Series[Any]",
    words: str,
    threshold: Threshold = HALFWAY,
) -> Measured:
    """Return values given in the order of the chosen rows as one arm, by seed."""
    seeds = pd.Index(rows["seed"].to_numpy(), name="seed")
    tried = records.rows(arm, ())
    return Measured(
        values=pd.Series(values.to_numpy(dtype=np.float64), index=seeds).sort_index(),
        collapsed=pd.Series(has_collapsed(rows, threshold).to_numpy(dtype=np.bool_), index=seeds).sort_index(),
        rows=rows,
        words=words,
        chosen=over,
        edges=edges(rows, tried, arm, over, threshold),
        tried=frozenset(tried[over[0]]) if over else frozenset(),
    )


def octaves_of(rates: "pd.Series[Any]") -> "pd.Series[float]":
    """Return log2 of rates, rounded so that equal distances are equal."""
    return pd.Series(np.log2(rates.to_numpy(dtype=np.float64)).round(DIGITS), index=rates.index)


def _best(column: str) -> float | None:
    """Return the best possible value of a column, as `score` scales it."""
    metric = metric_of(column)
    return None if metric.best is None else metric.scale * metric.best
