"""Panels: what a figure shows, as data. Each is small: a phone shows one per row, a desktop three."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.cells import cells, ranks
from normbench.analysis.intervals import Floats, t_interval
from normbench.report.axes import Axes
from normbench.report.palette import Style, norm_style, nth_style
from normbench.report.text import setting

MOST_PANELS = 12
MOST_SERIES = 12

Line = tuple[Floats, Floats]


@dataclass(frozen=True, eq=False)
class Series:
    """One line of a panel.

    Attributes:
        label: For the legend.
        style: How it is drawn.
        x: Where it has a mean; ascending.
        mean: The means; NaN if nothing finished.
        low: Lower ends of their intervals.
        high: Upper ends.
        dots: One point per run.
        lost: Share of runs that diverged, at each x; empty if that is not shown.
        threads: Further thin lines, one per run.
        marks: Points that are flagged.
    """

    label: str
    style: Style
    x: Floats
    mean: Floats
    low: Floats
    high: Floats
    dots: Line = field(default_factory=lambda: (np.empty(0), np.empty(0)))
    lost: Floats = field(default_factory=lambda: np.empty(0))
    threads: tuple[Line, ...] = ()
    marks: Line = field(default_factory=lambda: (np.empty(0), np.empty(0)))


@dataclass(frozen=True, eq=False)
class Panel:
    """One small figure.

    Attributes:
        title: The setting that all of it shares.
        series: What is drawn.
        x_label: Name of the x axis.
        y_label: Name of the y axis.
        log: Whether x is logarithmic.
        stepped: Whether lines are stairs.
        behind: For each point its name and the run_ids behind it.
    """

    title: str
    series: tuple[Series, ...]
    x_label: str
    y_label: str
    log: bool
    stepped: bool = False
    behind: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, eq=False)
class Figure:
    """Panels that belong together.

    Attributes:
        id: Of its anchor on the page.
        title: What it shows.
        note: How to read it.
        panels: At most `MOST_PANELS`.
        left_out: How many settings have no panel, for lack of space or of a second x value.
        filters: The rows of runs.csv that it is made of, in words.
    """

    id: str
    title: str
    note: str
    panels: tuple[Panel, ...]
    left_out: int = 0
    filters: str = ""

    @property
    def legend(self) -> dict[str, Style]:
        """The series of all panels, once each."""
        return {series.label: series.style for panel in self.panels for series in panel.series}


def panels(frame: pd.DataFrame, axes: Axes, y_label: str, *, lost: bool = False) -> tuple[list[Panel], int]:
    """Return a panel for each setting of the panel factors that has several x values.

    Args:
        frame: One row per run: the factors, `value` (NaN if there is none), `lost` (whether it diverged), `flag`
            (whether it is an optimum at an end of the grid) and `run_id`.
        axes: How the factors are used; x is set.
        y_label: Name of the y axis.
        lost: Whether to show the share of lost runs.

    Returns:
        The panels and how many settings got none.
    """
    assert axes.x is not None
    styles = series_styles(frame, axes.colour)
    numbers, settings = cells(frame, list(axes.panels)) if axes.panels else (np.zeros(len(frame), int), None)
    made: list[Panel] = []
    left_out = 0
    for number in range(int(numbers.max()) + 1 if len(numbers) else 0):
        own = frame[(numbers == number) & frame[axes.x].notna()]
        if own[axes.x].nunique() < 2 or len(made) == MOST_PANELS:
            left_out += 1
            continue
        shared = {} if settings is None else {str(name): value for name, value in settings.iloc[number].items()}
        made.append(_panel(own, axes, styles, setting(shared), y_label, lost))
    return made, left_out


def series_styles(frame: pd.DataFrame, colour: str | None) -> Mapping[object, Style]:
    """Return the style of each value of the colour factor; each norm has a fixed style."""
    if colour is None:
        return {None: nth_style(0)}
    values = frame[colour].iloc[np.argsort(ranks(frame[colour]), kind="stable")].astype(object)
    distinct = [None if pd.isna(value) else value for value in dict.fromkeys(values.tolist())]
    if colour == "norm":
        return {value: norm_style(str(value)) for value in distinct}
    return {value: nth_style(place) for place, value in enumerate(dict.fromkeys(distinct))}


def _panel(
    frame: pd.DataFrame, axes: Axes, styles: Mapping[object, Style], title: str, y_label: str, lost: bool
) -> Panel:
    x = str(axes.x)
    log = bool((frame[x].astype("float64") > 0).all())
    groups = _groups(frame, axes.colour)[:MOST_SERIES]
    made = [
        _series(own, x, _label(axes.colour, value), styles[value], (place, len(groups)), lost=lost, log=log)
        for place, (value, own) in enumerate(groups)
    ]
    behind = [
        (setting({axes.colour or "all": value, x: float(at)}), tuple(points["run_id"]))
        for value, own in groups
        for at, points in own.groupby(own[x].astype("float64"))
    ]
    return Panel(title, tuple(made), x, y_label, log, behind=tuple(behind))


def _label(colour: str | None, value: object) -> str:
    if colour is None:
        return "all"
    return str(value) if colour == "norm" else setting({colour: value}) or f"{colour}: none"


def _groups(frame: pd.DataFrame, colour: str | None) -> list[tuple[object, pd.DataFrame]]:
    if colour is None:
        return [(None, frame)]
    numbers, values = cells(frame, [colour])
    names = [None if pd.isna(value) else value for value in values[colour].astype(object).tolist()]
    return [(name, frame[numbers == number]) for number, name in enumerate(names)]


def _series(
    own: pd.DataFrame, x: str, label: str, style: Style, place: tuple[int, int], *, lost: bool, log: bool
) -> Series:
    at, values = own[x].to_numpy(dtype=np.float64), own["value"].to_numpy(dtype=np.float64)
    spots, codes = np.unique(at, return_inverse=True)
    found = pd.Series(values).groupby(codes)
    mean, low, high = mean_interval(found)
    gap = (place[0] - (place[1] - 1) / 2) * 0.02
    moved = at * 2**gap if log else at + gap * (spots[-1] - spots[0]) / 10
    flagged = own["flag"].to_numpy(dtype=np.bool_)
    shares = np.asarray(own["lost"].astype("float64").groupby(codes).mean(), dtype=np.float64) if lost else np.empty(0)
    marks = np.unique(at[flagged])
    return Series(
        label, style, spots, mean, low, high,
        dots=(moved, values), lost=shares, marks=(marks, mean[np.searchsorted(spots, marks)]),
    )  # fmt: skip


def mean_interval(groups: "pd.api.typing.SeriesGroupBy[Any, Any]") -> tuple[Floats, Floats, Floats]:
    """Return the mean of each group and its 95 % t interval, over the values present."""
    mean, sd, n = (getattr(groups, name)().to_numpy(dtype=np.float64) for name in ("mean", "std", "count"))
    return (mean, *t_interval(mean, sd, n))


def listed(named: Sequence[tuple[str, "pd.Series[str]"]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return names and run_ids as a panel keeps them."""
    return tuple((name, tuple(ids)) for name, ids in named)
