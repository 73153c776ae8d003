"""Results tables: one row per group of runs, one metric, and the notes under it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normbench.analysis.cells import Ints, cells, config_columns, factors, require
from normbench.analysis.chance import has_chance
from normbench.analysis.metric_columns import metric_columns
from normbench.analysis.notes import choice_notes, copies_note, metric_notes, pooling_notes
from normbench.analysis.select import arm_columns
from normbench.analysis.select import best as choices
from normbench.analysis.standing import among_best
from normbench.analysis.summary import count_status, metric_statistics
from normbench.analysis.tasks import first_metric
from normbench.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ResultsTable:
    """A table of results.

    Attributes:
        rows: One row per group: `by`; with `best` that column (the value chosen most often), `chosen_by` (how many
            chose it) and `at_edge` (how many chose the lowest or highest number tried; missing if there was no choice);
            `n` (its runs; with `best`, its choices), `diverged`, `failed` where any did; `mean`, `ci_low`, `ci_high`
            and `sd` of the finished runs; `mean_chance_imputed` where any diverged; `among_best`, of `standing`,
            among the rows that differ in `pivot` alone, or among all.
        by: The columns that distinguish rows.
        metric: What was averaged.
        best: The tuned column, or None.
        notes: Sentences that belong under the table.
        pivot: The column of `by` whose values become columns in the shown table, or None.
    """

    rows: pd.DataFrame
    by: tuple[str, ...]
    metric: str
    best: str | None
    notes: tuple[str, ...]
    pivot: str | None = None


def aggregate(
    runs: pd.DataFrame,
    *,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    best: str | None = None,
    pivot: str | None = None,
) -> ResultsTable:
    """Average one metric over seeds.

    Args:
        runs: One row per run.
        by: What distinguishes rows; None takes the study if there are several, and every factor but `best`.
        metric: One of `metric_columns`; None takes the first metric on the test part.
        best: A config column that each seed tunes on its own validation part, by the first metric of its task, within
            its setting of all others.
        pivot: A column whose values become columns; it joins `by`.

    Raises:
        ConfigError: A column or the metric is unknown, or `best` is also in `by` or `pivot`.
    """
    if metric is None:
        metric = f"test_{first_metric(runs)}"
    else:
        require(metric, metric_columns(runs.columns), "metric")
    names = _row_columns(runs, by, best, pivot)
    kept = (runs if "study" in names else runs.drop_duplicates("run_id")).reset_index(drop=True)
    numbers, keys = cells(kept, names)
    scored = kept if best is None else choices(kept, [best])
    groups = numbers[scored.index]
    columns = [] if best is None else [_choice_columns(scored, groups, len(keys), best)]
    columns.append(_counts(kept, numbers, scored, groups, len(keys)))
    columns.append(_metric_columns(scored, groups, len(keys), metric))
    contests = cells(keys, [name for name in names if name == "task" or (pivot and name != pivot)])[0]
    columns.append(pd.DataFrame({"among_best": among_best(scored, groups, contests, metric)}))
    rows = pd.concat([keys, *columns], axis=1)
    notes = (
        metric_notes(rows, scored, metric, wide=pivot is not None)
        + pooling_notes(kept, names, best)
        + copies_note(runs, kept)
    )
    if best is not None:
        notes += choice_notes(rows, kept, best)
    return ResultsTable(rows, tuple(names), metric, best, tuple(notes), pivot)


def _row_columns(runs: pd.DataFrame, by: Sequence[str] | None, best: str | None, pivot: str | None) -> list[str]:
    """Return the columns that distinguish rows, having checked every name; no row pools several tasks."""
    tuned = [] if best is None else [best]
    for name in tuned:
        require(name, config_columns(runs), "config column to tune")
    spread = [] if pivot is None else [pivot]
    for name in [*(by or ()), *spread]:
        require(name, ["study", *config_columns(runs), "seed"], "column to group by")
    if best is not None and best in [*(by or ()), *spread]:
        raise ConfigError(f"'{best}' cannot be both tuned and grouped by; give it to --best, or to --by or --pivot")
    if by is None:
        by = arm_columns(runs, tuned) or [name for name in ["norm"] if name != best and not spread]
    several = ["task"] if "task" in factors(runs) and "task" not in (*by, *spread, best) else []
    return list(dict.fromkeys([*several, *by, *spread]))


def _counts(runs: pd.DataFrame, numbers: Ints, scored: pd.DataFrame, groups: Ints, count: int) -> pd.DataFrame:
    """Return `n`, `diverged` and `failed`: a failed run is no choice, so it is counted among all runs."""
    failed = count_status(runs, numbers, count, "failed")
    n = np.bincount(groups, minlength=count).astype(np.int64)
    counts = pd.DataFrame({"n": n, "diverged": count_status(scored, groups, count, "diverged")})
    return counts.assign(failed=failed) if failed.any() else counts


def _metric_columns(scored: pd.DataFrame, groups: Ints, count: int, metric: str) -> pd.DataFrame:
    found = metric_statistics(scored, groups, count, metric)
    columns = {"mean": found["mean_finished"], **{name: found[name] for name in ("ci_low", "ci_high", "sd")}}
    if has_chance(scored, metric):
        columns["mean_chance_imputed"] = found["mean_chance_imputed"]
    return pd.DataFrame(columns)


def _choice_columns(chosen: pd.DataFrame, groups: Ints, count: int, name: str) -> pd.DataFrame:
    """Return the value chosen most often (the lowest of equals), how many chose it, and how many chose at the edge."""
    votes, options = cells(chosen.assign(group=groups), ["group", name])
    options["chosen_by"] = np.bincount(votes, minlength=len(options))
    winners = options.sort_values("chosen_by", ascending=False, kind="stable").drop_duplicates("group")
    columns = winners.set_index("group").reindex(range(count)).astype({"chosen_by": "Int64"})
    at_edge = chosen["at_edge"].astype("Int64").groupby(groups).sum(min_count=1)
    return columns.assign(chosen_by=columns["chosen_by"].fillna(0), at_edge=at_edge.reindex(range(count)))
