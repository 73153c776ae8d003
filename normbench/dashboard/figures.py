"""Pictures of a study: the first metric of each norm, on the test part, over each number that was swept."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import cells, factors
from normbench.analysis.table import aggregate
from normbench.analysis.tasks import by_first_metric
from normbench.dashboard.arms import TUNED, norm_columns
from normbench.dashboard.naming import cell, names
from normbench.dashboard.naming import shown as shown_name

MOST_LINES, MOST_PICTURES = 20, 24

_APART = ("task", "batch_size", "study", "model", "data", "norm_batch_size")
"""Factors that may have one picture per value, in order of preference."""

_MOST_APART = 6

_SIZE, _DOTS = (4.0, 3.3), 160
"""Inches, and dots per inch: twice the width of TensorBoard's cards."""

_MOST_TICKS = 8

_WIDEST = 24
"""Characters of a name in the legend."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure as PNG.

    Attributes:
        name: Its tag.
        png: The file's bytes.
        size: Width and height in dots.
        description: What a reader must know about it, in Markdown.
    """

    name: str
    png: bytes
    size: tuple[int, int]
    description: str


def pictures(runs: pd.DataFrame) -> Iterator[Picture]:
    """Yield pictures for each numeric factor; of the rate, unless it is the x axis, each seed's best value counts.

    Args:
        runs: One row per run.
    """
    parts = by_first_metric(runs).values()
    yield from islice((picture for own in parts for picture in _of_metric(runs[own])), MOST_PICTURES)


def _of_metric(runs: pd.DataFrame) -> Iterator[Picture]:
    numbers = [name for name in factors(runs) if is_numeric_dtype(runs[name]) and not is_bool_dtype(runs[name])]
    lines = norm_columns(runs)
    for x in [name for name in numbers if name not in lines]:
        apart = _apart(runs, x)
        tuned = TUNED if TUNED in factors(runs) and x != TUNED else None
        table = aggregate(runs, by=[*lines, x, *apart], best=tuned)
        shown = f"Only {MOST_LINES} of the norms are shown."
        notes = [
            *table.notes,
            "Diverged runs count as chance here; a point that includes one has no interval.",
            *([shown] if len(cells(runs, lines)[1]) > MOST_LINES else []),
        ]
        parts, keys = cells(table.rows, apart)
        for place, label in enumerate(names(keys, "rest") if apart else [""]):
            title = ", ".join(filter(None, (_brief(label), f"each seed at its best {TUNED}" if tuned else "")))
            figure = _draw(table.rows[parts == place], lines, x, table.metric, title)
            where = ", ".join(filter(None, (shown_name(x), label)))
            yield as_picture(f"figures/{table.metric} over {where}", figure, notes)


def _apart(runs: pd.DataFrame, x: str) -> list[str]:
    """Return the factor whose values have a picture each, if any."""
    varied = ["study"] * (runs["study"].nunique() > 1) + factors(runs)
    return [name for name in _APART if name in varied and name != x and runs[name].nunique() <= _MOST_APART][:1]


def _draw(rows: pd.DataFrame, lines: list[str], x: str, metric: str, title: str) -> Figure:
    numbers, keys = cells(rows, lines)
    with rc_context({"text.parse_math": False, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=_SIZE, dpi=_DOTS, layout="constrained")
        ax = figure.subplots()
        for number, norm in enumerate(names(keys, "norm")[:MOST_LINES]):
            _line(ax, rows[numbers == number], x, _brief(norm), f"C{number % 10}")
        _scale(ax, rows[x])
        ax.set(title=title, xlabel=_brief(shown_name(x)), ylabel=metric)
        ax.grid(alpha=0.25)
        figure.legend(loc="outside lower center", ncols=3 if len(keys) > 4 else 4, frameon=False)
    return figure


def _brief(name: str) -> str:
    """Return a name short enough to leave room for the axes; its end, which may be a hash, is kept."""
    return name if len(name) <= _WIDEST else f"{name[: _WIDEST - 12]}...{name[-9:]}"


def _line(ax: Axes, rows: pd.DataFrame, x: str, label: str, color: str) -> None:
    points = rows.sort_values(x)
    points = points[points[x].notna()]
    mean = points.get("mean_chance_imputed", points["mean"]).to_numpy(dtype=float)
    reach = (points["ci_high"] - points["mean"]).where(points["diverged"] == 0).to_numpy(dtype=float)
    ax.errorbar(
        points[x].to_numpy(dtype=float), mean, yerr=reach, label=label, color=color, marker="o", markersize=3.5,
        linewidth=1.3, elinewidth=0.9, capsize=2,
    )  # fmt: skip


def _scale(ax: Axes, values: "pd.Series[float]") -> None:
    """Put a tick at each value if they are few; use a log axis if they span a factor of eight."""
    ticks = sorted(set(values.dropna().astype(float)))
    if ticks and ticks[0] > 0 and ticks[-1] >= 8 * ticks[0]:
        ax.set_xscale("log")
    if len(ticks) <= _MOST_TICKS:
        ax.set_xticks(ticks, labels=[cell(tick) for tick in ticks])
        ax.set_xticks([], minor=True)


def as_picture(name: str, figure: Figure, notes: list[str]) -> Picture:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    width, height = figure.get_size_inches() * figure.dpi
    return Picture(name, file.getvalue(), (round(width), round(height)), " ".join(notes))
