"""What is measured of one arm: one number per seed. Comparisons take differences of these."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from normbench.analysis.metric_columns import as_shown, metric_of
from normbench.claims.estimands.choice import TEST_ACCURACY, Criterion, ScoreColumn, chosen, edges, log2_steps, score
from normbench.claims.estimands.contrast import Edge, MissingCells, in_words
from normbench.claims.estimands.records import Arm, Records, has_collapsed, is_trained
from normbench.errors import StudyError

Columns = tuple[str, ...]
StepChoice = int | Literal["first", "last", "mean"]

_DIGITS = 6
"""Decimals of an octave: rates half an octave apart differ by exactly that, so that equal differences tie."""

_TINY = 2.0**-149
"""The smallest float32: what log2 takes for zero."""


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
    """

    values: "pd.Series[float]"
    collapsed: "pd.Series[bool]"
    rows: pd.DataFrame
    words: str
    chosen: Columns = ()
    edges: tuple[Edge, ...] = ()
    tried: frozenset[Any] = frozenset()


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
    return _measured(records, arm, over, rows, score(rows, metric), as_shown(metric))


def steps_to_target(records: Records, arm: Arm, *, over: Columns = ("lr",), by: Criterion = "fastest") -> Measured:
    """Return log2 of the steps to the validation target, censored at the budget.

    By default each seed takes its fastest rate, so that an arm is as fast as its grid lets it be.
    """
    rows = chosen(records, arm, over, by=by)
    return _measured(records, arm, over, rows, log2_steps(rows), "log2 of the steps to the target")


def largest_rate(records: Records, arm: Arm, *, over: Columns = ("lr",)) -> Measured:
    """Return log2 of the largest rate at which the seed trains; if none does, one step below the lowest.

    The limit is at an edge of the grid where the largest rate trains, or none.
    """
    tried = chosen(records, arm, (), grid=over)
    octaves = pd.Series(np.log2(tried[over[0]].to_numpy(dtype=np.float64)).round(_DIGITS), index=tried.index)
    grid = np.unique(octaves.to_numpy())
    step = float(np.diff(grid).min()) if len(grid) > 1 else 1.0
    limits = octaves[is_trained(tried)].groupby(tried["seed"]).max().reindex(list(records.seeds))
    none = limits.isna()
    high, low = int((limits == grid[-1]).sum()), int(none.sum())
    name = in_words(dict(arm))
    found = [Edge(name, "high", high)] * (high > 0) + [Edge(name, "low", low, trains=False)] * (low > 0)
    return Measured(
        values=limits.fillna(grid[0] - step),
        collapsed=none,
        rows=tried.sort_values(["seed", over[0]], kind="stable"),
        words="log2 of the largest rate that trains",
        edges=tuple(found),
        tried=frozenset(tried[over[0]]),
    )


def trained(records: Records, arm: Arm, *, over: Columns = ("lr",), by: Criterion = None) -> Measured:
    """Return 1 if the run that the seed chooses is trained, else 0.

    An optimum at an edge of the grid asks for a longer grid only if it is not trained.
    """
    rows = chosen(records, arm, over, by=by)
    untrained = rows[~is_trained(rows)]
    measured = _measured(records, arm, over, rows, is_trained(rows), "trains (1) or not (0)")
    return replace(measured, edges=edges(untrained, records.rows(arm, ()), arm, over))


def worst_case(
    records: Records, arm: Arm, *, grid: Columns, metric: ScoreColumn = TEST_ACCURACY, over: Columns = ("lr",)
) -> Measured:
    """Return the worst tuned score over the points of a grid, the seed tuning again at each point."""
    rows = chosen(records, arm, over, grid=grid)
    scores = score(rows, metric)
    worst = (metric_of(metric).sign * scores).groupby(rows["seed"]).idxmin()
    measured = _measured(records, arm, over, rows.loc[worst], scores[worst], f"worst {as_shown(metric)}")
    return replace(measured, rows=rows)


def grid_share(
    records: Records, arm: Arm, *, over: Columns, within: float, metric: ScoreColumn = TEST_ACCURACY
) -> Measured:
    """Return the share of a grid that is trained and within `within` of the run that the seed chooses from it.

    The grid is part of the question, so an optimum at its end does not ask for a longer grid.
    """
    tried = records.rows(arm, over)
    rows = chosen(records, arm, over)
    sign = metric_of(metric).sign
    reference = pd.Series((sign * score(rows, metric)).to_numpy(), index=rows["seed"].to_numpy())
    near = (sign * score(tried, metric) >= tried["seed"].map(reference) - within) & is_trained(tried)
    shares = near.groupby(tried["seed"]).mean()
    words = "share of the grid that is near the best"
    return replace(_measured(records, arm, over, rows, shares[rows["seed"]], words), edges=())


def probe(
    records: Records,
    arm: Arm,
    *,
    column: str,
    step: StepChoice = "last",
    over: Columns = (),
    absolute: bool = False,
    log2: bool = False,
    if_diverged: float | None = None,
) -> Measured:
    """Return a column of curves.csv at a step of the run that the seed chooses.

    Args:
        records: The runs and curves.
        arm: The config values that make the arm.
        column: A probe's scalar.
        step: Its step, or the first or last one, or the mean over all.
        over: The tuned columns.
        absolute: Whether to take the absolute value.
        log2: Whether to take log2, after that; zero counts as the smallest float32.
        if_diverged: What a run counts as that diverged before that step (the last step and the mean being those of
            the whole budget), or whose number there is not finite.

    Raises:
        MissingCells: A finished run lacks the column at that step.
        StudyError: `if_diverged` is needed and not given.
    """
    rows = chosen(records, arm, over)
    own = _looks(records.curves, rows["run_id"], column, step)
    if (gone := ~rows["run_id"].isin(own["run_id"]) & (rows["status"] == "finished")).any():
        raise MissingCells(
            f"{in_words(dict(arm))}: {column} at step {step} of run {run}" for run in rows["run_id"][gone]
        )
    found = own.groupby("run_id")[column].mean().reindex(rows["run_id"]).set_axis(rows.index)
    if step in ("last", "mean"):
        found = found.where(rows["status"] == "finished")
    found = found.abs() if absolute else found
    found = found.clip(lower=_TINY).map(np.log2) if log2 else found
    lost = ~np.isfinite(found)
    if lost.any() and if_diverged is None:
        run = rows["run_id"][lost].iloc[0]
        raise StudyError(f"run {run} has no finite {column} at step {step}: set if_diverged to the value it counts as")
    words = column.removeprefix("probe.")
    words = f"|{words}|" if absolute else words
    words = f"log2 {words}" if log2 else words
    return _measured(records, arm, over, rows, found.mask(lost, if_diverged), words)


def _measured(
    records: Records, arm: Arm, over: Columns, rows: pd.DataFrame, values: "pd.Series[Any]", words: str
) -> Measured:
    """Return values given in the order of the chosen rows as one arm, by seed."""
    seeds = pd.Index(rows["seed"].to_numpy(), name="seed")
    tried = records.rows(arm, ())
    return Measured(
        values=pd.Series(values.to_numpy(dtype=np.float64), index=seeds).sort_index(),
        collapsed=pd.Series(has_collapsed(rows).to_numpy(dtype=np.bool_), index=seeds).sort_index(),
        rows=rows,
        words=words,
        chosen=over,
        edges=edges(rows, tried, arm, over),
        tried=frozenset(tried[over[0]]) if over else frozenset(),
    )


def _looks(curves: pd.DataFrame, run_ids: "pd.Series[str]", column: str, step: StepChoice) -> pd.DataFrame:
    """Return a column at the rows of that step at which its probe looked, that is, has some scalar."""
    if column not in curves.columns:
        return pd.DataFrame({"run_id": pd.Series(dtype="str"), column: pd.Series(dtype="float64")})
    siblings = [name for name in curves.columns if name.startswith(f"{column.rpartition('.')[0]}.")]
    own = curves[curves["run_id"].isin(run_ids) & curves[[column, *siblings]].notna().any(axis=1)]
    own = own.sort_values("step", kind="stable")
    if isinstance(step, int):
        return own[own["step"] == step]
    return own if step == "mean" else own.drop_duplicates("run_id", keep=step)


MEASURES: Mapping[str, Callable[..., Measured]] = {
    "grid_share": grid_share,
    "largest_rate": largest_rate,
    "probe": probe,
    "steps_to_target": steps_to_target,
    "trained": trained,
    "tuned_score": tuned_score,
    "worst_case": worst_case,
}
