"""Figures of a claim, chosen by what its design varies and what its estimand measures."""

from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.cells import cells
from normbench.analysis.metric_columns import as_shown, metric_of
from normbench.analysis.tasks import first_metric
from normbench.claims.estimands.arguments import Measure
from normbench.claims.estimands.choice import log2_steps, score
from normbench.claims.estimands.contrast import in_words
from normbench.claims.estimands.records import is_trained
from normbench.report.axes import choose, telling
from normbench.report.design import AT_EDGE, MeasuredDesign
from normbench.report.findings import Findings
from normbench.report.palette import Style, norm_style, nth_style
from normbench.report.panels import Figure, Panel, Series, listed, panels

_NONE = np.empty(0)


def claim_figures(found: Findings, design: MeasuredDesign) -> list[Figure]:
    """Return the figures of a claim: its measure over the whole design, and its tuning."""
    figures: list[Figure] = []
    if found.cell.estimand.name == "matched_gap":
        figures.append(_gap(found))
    if any(arm.measure.name in ("steps_to_target", "time_to_target") for arm in found.arms):
        figures.append(_survival(found))
    for figure in (_by_factor(found, design), _rates(found, design)):
        if figure is not None:
            figures.append(figure)
    return figures


def _by_factor(found: Findings, design: MeasuredDesign) -> Figure | None:
    """Return the measure against the number that the design varies most, or None if it varies none."""
    if design.frame.empty:
        return None
    axes = choose(design.frame, design.names)
    if axes.x is None:
        return None
    made, left_out = panels(design.frame, axes, design.words)
    if not made:
        return None
    tuned = f", each arm and seed at its own best {found.cell.over.key}" if found.cell.over else ""
    return Figure(
        f"{found.cell.id}-{axes.x}",
        f"{design.words} against {axes.x}",
        f"One dot per seed; means with 95 % t intervals{tuned}. A ring marks an optimum or limit at a grid end.",
        tuple(made),
        left_out + design.skipped,
        _filters(found),
    )


def _rates(found: Findings, design: MeasuredDesign) -> Figure | None:
    """Return the tuning curves: the selection criterion against the tuned key, with the share that diverged."""
    over = found.cell.over
    if over is None:
        return None
    runs = found.records.runs
    names = telling(runs, leave_out=[over.key])
    axes = choose(runs, names, x=over.key)
    values, words, diverged_as_chance = _tuned_by(design.measure, runs)
    frame = runs.assign(value=values, lost=runs["status"] == "diverged", flag=_flags(runs, names, over.key, design))
    made, left_out = panels(frame, axes, words, lost=True)
    note = f"Every run of the design. A ring: more than {AT_EDGE:.0%} of seeds have their optimum or limit at this end."
    if diverged_as_chance:
        note += " Diverged runs count as chance."
    return Figure(f"{found.cell.id}-tuning", f"Tuning {over.key}", note, tuple(made), left_out, _filters(found))


def _tuned_by(measure: Measure, runs: pd.DataFrame) -> tuple["pd.Series[Any]", str, bool]:
    """Return each run's selection criterion, its name, and whether diverged runs count as chance."""
    if measure.name in ("largest_rate", "trained"):
        trains = is_trained(runs, measure.argument("threshold"))
        return trains.astype("float64"), "share of seeds that train", False
    by = measure.argument("by")
    if by == "fastest":
        return log2_steps(runs), "log2 of the steps to the target", False
    criterion = by or f"val_{first_metric(runs)}"
    return score(runs, criterion), as_shown(criterion), True


def _flags(runs: pd.DataFrame, names: list[str], key: str, design: MeasuredDesign) -> "pd.Series[bool]":
    flag = pd.Series(False, index=runs.index)
    if tuple(names) != design.names:
        return flag
    numbers, arms = cells(runs, names)
    for number, values in enumerate(arms.astype(object).itertuples(index=False, name=None)):
        ends = design.ends.get(tuple(None if pd.isna(value) else value for value in values), frozenset())
        own = runs[numbers == number]
        for end, at in (("low", own[key].min()), ("high", own[key].max())):
            if end in ends:
                flag[own.index[own[key] == at]] = True
    return flag


def _survival(found: Findings) -> Figure:
    """Return the share of seeds that have not reached the target, against steps."""
    series, behind = [], []
    for seen, style in zip(found.arms, arm_styles(found), strict=True):
        steps = np.sort(2.0 ** seen.measured.values.to_numpy(dtype=np.float64))
        budget = float(seen.measured.rows["steps"].max())
        arrived = steps[steps < budget]
        x = np.concatenate([[0.0], arrived, [budget]])
        share = np.concatenate(
            [[1.0], 1 - np.arange(1, len(arrived) + 1) / len(steps), [1 - len(arrived) / len(steps)]]
        )
        series.append(Series(in_words(dict(seen.arm)), style, x, share, _NONE, _NONE))
        behind.append((in_words(dict(seen.arm)), seen.measured.rows["run_id"]))
    panel = Panel("", tuple(series), "steps", "share of seeds not yet at the target", False, True, listed(behind))
    note = "Each seed's chosen run, until its validation accuracy first reaches the target or its budget runs out."
    return Figure(f"{found.cell.id}-survival", "Steps to the target", note, (panel,), filters=_filters(found))


def _gap(found: Findings) -> Figure:
    """Return how much worse validation is than training, against the training loss, one line per seed."""
    column = str(found.arms[0].measure.argument("metric"))
    metric, train = metric_of(column), column.replace("val_", "train_")
    worse, better = (train, column) if metric.higher_is_better else (column, train)
    series, behind = [], []
    for seen, style in zip(found.arms, arm_styles(found), strict=True):
        own = found.records.curves.of_runs(seen.measured.rows["run_id"], ["train_loss", worse, better])
        threads = tuple(
            (
                run["train_loss"].to_numpy(dtype=np.float64),
                (metric.scale * (run[worse] - run[better])).to_numpy(np.float64),
            )
            for _, run in own.groupby("run_id")
        )
        series.append(Series(in_words(dict(seen.arm)), style, _NONE, _NONE, _NONE, _NONE, threads=threads))
        behind.append((in_words(dict(seen.arm)), seen.measured.rows["run_id"]))
    y_label = f"{worse} − {as_shown(better)}"  # noqa: RUF001 - a minus sign
    panel = Panel("", tuple(series), "train_loss", y_label, True, behind=listed(behind))
    note = "One line per seed, at its chosen rate; read right to left. Arms are compared at equal training loss."
    return Figure(f"{found.cell.id}-gap", "Generalisation gap", note, (panel,), filters=_filters(found))


def arm_styles(found: Findings) -> list[Style]:
    """Return the style of each arm: its norm's if that distinguishes the arms."""
    norms = [seen.arm.get("norm") for seen in found.arms]
    if len(set(norms)) == len(norms) and all(isinstance(norm, str) for norm in norms):
        return [norm_style(str(norm)) for norm in norms]
    return [nth_style(place) for place in range(len(norms))]


def _filters(found: Findings) -> str:
    return f"the rows of runs.csv whose run_id is in claims/{found.cell.id}.json"
