"""Panels drawn by matplotlib."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes as Plot
from matplotlib.figure import Figure as Sheet
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from normbench.analysis.intervals import Floats
from normbench.report.canvas import SETTINGS, svg
from normbench.report.palette import COLOURS
from normbench.report.panels import Panel, Series
from normbench.report.text import number, short, tick

WIDTH, HEIGHT, LOST = 380, 250, 56
"""Pixels: of a panel, and what the share of diverged runs adds to its height."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 10, 10, 42

_CROWDED = 50
"""Times the smallest positive x that a linear axis from 0 can reach before its first ticks run together."""


def draw(panel: Panel, salt: str, *, legend: bool = False) -> str:
    """Return a panel as SVG.

    Args:
        panel: What it shows.
        salt: Different for each figure of a page.
        legend: Whether it has its own legend, needed if no page adds one.
    """
    has_lost = any(series.lost.any() for series in panel.series)
    height = HEIGHT + (LOST if has_lost else 0)
    with matplotlib.rc_context(SETTINGS):
        sheet = Sheet(figsize=(WIDTH / 72, height / 72), dpi=72)
        base = _BOTTOM + (LOST if has_lost else 0)
        plot = _plot(sheet, base, HEIGHT - _TOP - _BOTTOM)
        for series in panel.series:
            _draw_series(plot, series, stepped=panel.stepped)
        bottom = _draw_lost(sheet, panel, plot) if has_lost else plot
        _label(panel, plot, bottom)
        if legend:
            plot.legend(frameon=False, fontsize=9)
        return svg(sheet, _words(panel), salt)


def _plot(sheet: Sheet, base: float, room: float) -> Plot:
    width, height = sheet.get_size_inches() * 72
    return sheet.add_axes((_LEFT / width, base / height, (width - _LEFT - _RIGHT) / width, room / height))


def _draw_series(plot: Plot, series: Series, *, stepped: bool) -> None:
    colour = COLOURS[series.style.colour].stand_in
    for x, y in series.threads:
        plot.plot(x, y, color=colour, linewidth=0.6, alpha=0.55)
    _draw_dots(plot, *series.dots, colour)
    if stepped:
        plot.plot(series.x, series.mean, color=colour, linestyle=series.style.dash, drawstyle="steps-post", linewidth=2)
        return
    plot.plot(
        series.x, series.mean, color=colour, linestyle=series.style.dash, marker=series.style.marker, markersize=4.5,
        linewidth=1.6, label=series.label,
    )  # fmt: skip
    there = np.isfinite(series.low) & np.isfinite(series.high)
    if there.any():
        plot.vlines(series.x[there], series.low[there], series.high[there], color=colour, linewidth=1.2)
    plot.plot(*series.marks, linestyle="none", marker="o", markersize=11, markerfacecolor="none", color=colour)


def _draw_dots(plot: Plot, x: Floats, y: Floats, colour: str) -> None:
    """Draw one dot per run, all of them as one path: a hundredth of the bytes of a marker each."""
    there = np.isfinite(x) & np.isfinite(y)
    points = np.column_stack([x[there], y[there]])
    if not len(points):
        return
    outline = Outline(np.repeat(points, 2, axis=0), np.tile([Outline.MOVETO, Outline.LINETO], len(points)))
    outline.should_simplify = False
    plot.add_patch(PathPatch(outline, fill=False, edgecolor=colour, linewidth=2.6, capstyle="round", alpha=0.5))
    plot.update_datalim(points)
    plot.autoscale_view()


def _draw_lost(sheet: Sheet, panel: Panel, above: Plot) -> Plot:
    """Draw the share of diverged runs under a plot, on its x axis."""
    plot = _plot(sheet, _BOTTOM, LOST - 16)
    plot.sharex(above)
    for series in panel.series:
        colour = COLOURS[series.style.colour].stand_in
        plot.plot(series.x, series.lost, color=colour, linestyle=series.style.dash, linewidth=1.6)
    plot.set_ylim(-0.05, 1.05)
    plot.set_yticks([0, 1], ["0", "1"])
    plot.set_ylabel("diverged", fontsize=9)
    above.tick_params(labelbottom=False)
    return plot


def _label(panel: Panel, plot: Plot, bottom: Plot) -> None:
    spots = np.unique(np.concatenate([series.x for series in panel.series] or [np.empty(0)]))
    if panel.log:
        plot.set_xscale("log", base=2)
        plot.xaxis.set_minor_locator(NullLocator())
        if len(spots) <= 7:
            plot.set_xticks(spots)
        else:
            plot.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
    elif len(spots) <= 7:
        if len(spots) > 2 and spots[0] == 0 and spots[-1] > _CROWDED * spots[1]:
            plot.set_xscale("symlog", linthresh=spots[1])
            plot.xaxis.set_minor_locator(NullLocator())
        plot.set_xticks(spots)
    doubling = len(spots) > 7 or all(np.frexp(spots)[0] == 0.5)
    plot.xaxis.set_major_formatter(FuncFormatter(lambda at, _place: (tick if doubling else number)(float(at))))
    plot.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: number(float(value))))
    plot.yaxis.set_major_locator(MaxNLocator(5))
    plot.set_ylim(*_limits(panel))
    plot.set_ylabel(short(panel.y_label, 40))
    bottom.set_xlabel(short(panel.x_label, 50))


def _limits(panel: Panel) -> tuple[float, float]:
    """Return the ends of y: set by the data, not by intervals, which can be very wide with three seeds.

    Where the data are not shown, their intervals count.
    """
    seen = [values for one in panel.series for values in (one.mean, one.dots[1], *(y for _, y in one.threads))]
    seen += [end for one in panel.series if not len(one.dots[1]) for end in (one.low, one.high)]
    finite = np.concatenate([*seen, np.empty(0)])
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    room = 0.06 * (high - low) or 0.5
    return low - room, high + room


def _words(panel: Panel) -> str:
    names = ", ".join(short(series.label, 30) for series in panel.series)
    place = f", {short(panel.title)}" if panel.title else ""
    return f"{short(panel.y_label)} against {short(panel.x_label)} for {names}{place}"
