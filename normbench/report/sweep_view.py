"""A study without claims: its cells as a table, and figures chosen by what varies."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.cells import Ints, cells
from normbench.analysis.chance import imputed_values
from normbench.analysis.intervals import Floats
from normbench.analysis.metric_columns import as_shown, metric_of
from normbench.analysis.select import best
from normbench.analysis.table import ResultsTable, aggregate
from normbench.analysis.tasks import by_first_metric
from normbench.report.axes import choose, telling
from normbench.report.palette import norm_style, nth_style
from normbench.report.panels import Figure, Panel, Series, listed, mean_interval, panels
from normbench.report.strip import Scale, strip
from normbench.report.text import is_missing, number

MOST_ROWS = 1000
"""Rows of a table; summary.csv has all."""

MOST_LISTED = 150_000
"""Up to this many runs, a table lists the run ids of its rows."""

_TUNED = "lr"


@dataclass(frozen=True, eq=False)
class GridRow:
    """A row of a table.

    Attributes:
        cells: Each a text and its sort key.
        mean_text: The mean and its interval.
        mean: Its sort key.
        picture: Dots, mean and interval.
        run_ids: The runs behind it; none if there are too many to list.
    """

    cells: tuple[tuple[str, Any], ...]
    mean_text: str
    mean: float
    picture: str
    run_ids: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Grid:
    """A table of the page.

    Attributes:
        title: What a row is.
        head: Names of the columns before the metric's.
        metric: The metric's column, and its unit.
        rows: At most `MOST_ROWS`.
        axis: The scale of their pictures.
        notes: What must be read with it.
        left_out: Number of rows not shown.
    """

    title: str
    head: tuple[str, ...]
    metric: str
    rows: tuple[GridRow, ...]
    axis: str
    notes: tuple[str, ...]
    left_out: int


@dataclass(frozen=True, eq=False)
class SweepSection:
    """What is shown of a study without claims: the runs that have one first metric."""

    figures: tuple[Figure, ...]
    grids: tuple[Grid, ...]


def sweep_sections(name: str, runs: pd.DataFrame, curves: pd.DataFrame) -> tuple[SweepSection, ...]:
    """Return the figures and tables of a study: a section for each first metric that its tasks have.

    Args:
        name: Of the study, for anchors.
        runs: As `load_runs` returns them; at least one.
        curves: As `load_curves` returns them.
    """
    by_metric = by_first_metric(runs)
    anchors = [name] if len(by_metric) == 1 else [f"{name}-{first}" for first in by_metric]
    return tuple(
        _section(anchor, first, runs[own].reset_index(drop=True), curves)
        for anchor, (first, own) in zip(anchors, by_metric.items(), strict=True)
    )


def _section(name: str, first: str, runs: pd.DataFrame, curves: pd.DataFrame) -> SweepSection:
    metric = f"test_{first}"
    kept = runs[runs["status"] != "failed"].reset_index(drop=True)
    tuned = bool(len(kept)) and kept[_TUNED].nunique() > 1
    figures = [
        _by_factor(name, metric, kept, tuned),
        _rates(name, metric, kept) if tuned else None,
        _learning(name, f"val_{first}", kept, curves),
    ]
    grids = [_tuned_grid(kept)] if tuned else []
    return SweepSection(tuple(filter(None, figures)), (*grids, _cells_grid(runs)))


def _frame(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    values = metric_of(metric).scale * imputed_values(runs, metric)
    return runs.assign(value=values, lost=runs["status"] == "diverged", flag=False)


def _by_factor(name: str, metric: str, runs: pd.DataFrame, tuned: bool) -> Figure | None:
    names = telling(runs, leave_out=[_TUNED] if tuned else [])
    axes = choose(runs, names)
    if axes.x is None:
        return None
    scored = best(runs, [_TUNED]) if tuned else runs
    frame = _frame(scored, metric)
    if tuned:
        share = scored["at_edge"].astype("float64").groupby(cells(scored, names)[0]).transform("mean")
        frame = frame.assign(flag=(share > 0.1).fillna(False))
    made, left_out = panels(frame, axes, as_shown(metric))
    how = ", each seed at the rate that is best on its own validation set" if tuned else ""
    note = f"One dot per seed; means with 95 % t intervals{how}. Diverged runs count as chance."
    if tuned:
        note += " A ring marks a point where more than a tenth of the seeds choose a rate at an end of the grid."
    return Figure(f"{name}-{axes.x}", f"{metric} against {axes.x}", note, tuple(made), left_out) if made else None


def _rates(name: str, metric: str, runs: pd.DataFrame) -> Figure | None:
    axes = choose(runs, telling(runs, leave_out=[_TUNED]), x=_TUNED)
    made, left_out = panels(_frame(runs, metric), axes, as_shown(metric), lost=True)
    note = "One dot per run; means with 95 % t intervals. Below: the share of diverged runs, which count as chance."
    return Figure(f"{name}-{_TUNED}", f"{metric} against {_TUNED}", note, tuple(made), left_out) if made else None


def _learning(name: str, metric: str, runs: pd.DataFrame, curves: pd.DataFrame) -> Figure | None:
    """Return a metric of the curves against steps for a study of few cells; none if there are more than a dozen."""
    numbers, settings = cells(runs, telling(runs) or ["norm"])
    if not 0 < len(settings) <= 12 or metric not in curves:
        return None
    series, behind = [], []
    for place, values in enumerate(settings.astype(object).itertuples(index=False, name=None)):
        ids = runs["run_id"][numbers == place]
        own = curves[curves["run_id"].isin(ids)]
        if own.empty:
            continue
        steps = own["step"].to_numpy(dtype=np.float64)
        mean, low, high = mean_interval((metric_of(metric).scale * own[metric]).reset_index(drop=True).groupby(steps))
        given = dict(zip(settings.columns, values, strict=True))
        label = ", ".join(
            f"{number(value)}" if key == "norm" else f"{key}={number(value)}" for key, value in given.items()
        )
        style = norm_style(str(given["norm"])) if list(given) == ["norm"] else nth_style(place)
        series.append(Series(label, style, np.unique(steps), mean, low, high))
        behind.append((label, ids))
    if not series or max(len(one.x) for one in series) < 2:
        return None
    panel = Panel("", tuple(series), "step", as_shown(metric), False, behind=listed(behind))
    return Figure(
        f"{name}-learning", "Learning curves", "Means of the runs still training, with 95 % t intervals.", (panel,)
    )


def _tuned_grid(runs: pd.DataFrame) -> Grid:
    names = telling(runs, leave_out=[_TUNED]) or ["norm"]
    table = aggregate(runs, by=names, best=_TUNED)
    chosen = best(runs, [_TUNED])
    numbers, _ = cells(chosen, table.by)
    columns = [*table.by, _TUNED, "chosen_by", "at_edge", "n", "diverged"]
    return _grid(f"Each seed at its own best {_TUNED}", table, columns, chosen, numbers)


def _cells_grid(runs: pd.DataFrame) -> Grid:
    names = telling(runs) or ["norm"]
    table = aggregate(runs, by=names)
    columns = [*table.by, *(name for name in ("n", "diverged", "failed") if name in table.rows)]
    return _grid("Every cell: all seeds of one setting", table, columns, runs, cells(runs, table.by)[0])


def _grid(title: str, table: ResultsTable, columns: list[str], runs: pd.DataFrame, numbers: Ints) -> Grid:
    """Return a table of results with the runs of each row.

    Args:
        title: What a row is.
        table: The results.
        columns: Those shown before the metric's.
        runs: The runs behind the table.
        numbers: The row of each run.
    """
    rows = table.rows
    metric = metric_of(table.metric)
    ends = pd.concat([rows[name] for name in ("mean", "ci_low", "ci_high")])
    scale = Scale.around(metric.scale * ends.clip(metric.low, metric.high))
    picked = rows.head(MOST_ROWS)
    values = metric.scale * imputed_values(runs, table.metric)
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(rows) + 1))
    members = [order[starts[place] : starts[place + 1]] for place in range(len(picked))]
    ids = runs["run_id"].to_numpy()
    listing = len(runs) <= MOST_LISTED
    lines = [
        GridRow(
            tuple(_cell(row[name]) for name in columns),
            _mean(row, metric.scale),
            row["mean"],
            _picture(scale, values[own], row, metric.scale),
            tuple(ids[own]) if listing else (),
        )
        for row, own in zip(picked.to_dict("records"), members, strict=True)
    ]
    shown = as_shown(table.metric).replace(" in ", ", ")
    return Grid(title, tuple(columns), shown, tuple(lines), scale.axis(), tuple(table.notes), len(rows) - len(picked))


def _picture(scale: Scale, dots: Floats, row: dict[Any, Any], factor: float) -> str:
    colour = norm_style(str(row["norm"])).colour if "norm" in row else "blue"
    mean, low, high = (factor * float(row[name]) for name in ("mean", "ci_low", "ci_high"))
    return strip(scale, dots, mean, low, high, colour, _mean(row, factor))


def _mean(row: dict[Any, Any], factor: float) -> str:
    """Return the scaled mean and interval, and the chance-imputed mean if it differs."""
    mean, low, high = (number(factor * float(row[name])) for name in ("mean", "ci_low", "ci_high"))
    text = mean if row["ci_low"] != row["ci_low"] else f"{mean} [{low}, {high}]"
    imputed = row.get("mean_chance_imputed", row["mean"])
    both = imputed == row["mean"] or imputed != imputed
    return text if both else f"{text}; chance-imputed {number(factor * float(imputed))}"


def _cell(value: Any) -> tuple[str, Any]:
    if is_missing(value):
        return number(None), ""
    return number(float(value)) if isinstance(value, float) else str(value), value
