"""Figures of doses.csv: a claim's effect over its dose, a panel per cell."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from normbench.analysis.intervals import Floats
from normbench.report.contents import Row
from normbench.report.palette import Style, nth_style
from normbench.report.panels import Figure, Panel, Series
from normbench.report.text import number

_MARGIN = Style("muted", "", ":")

_LOG_FROM = 4
"""Doses above 0 that span at least this factor are shown on a logarithmic axis."""

_NONE = np.empty(0)


def dose_figure(rows: Sequence[Row], margins: Mapping[str, Sequence[float]], anchor: str) -> Figure | None:
    """Return the figure of one curve of a claim, over all its cells.

    Args:
        rows: The curve's rows of doses.csv, of one cell after the other; levels of a cell have curves of their own.
        margins: The margins of each cell by its name, drawn as lines: one for `greater`, two for `equivalent`.
        anchor: Of the figure on the page.

    Returns:
        The figure, or None if no cell has two doses that are numbers and have an effect.
    """
    panels = []
    for cell in dict.fromkeys(str(row["cell"] or "") for row in rows):
        own = [row for row in rows if str(row["cell"] or "") == cell and _is_drawn(row)]
        if len({row["dose"] for row in own}) > 1:
            panels.append(_panel(cell, own, margins.get(cell, ())))
    if not panels:
        return None
    note = (
        "Typical effect of the seeds (Hodges and Lehmann) with its unadjusted 95 % interval. The ring marks the dose "
        "that the claim is judged at, dotted lines its margin; the other doses decide nothing."
    )
    return Figure(
        anchor,
        f"Effect against {panels[0].x_label}",
        f"{note}{_missing(rows)}",
        tuple(panels),
        filters="the rows of doses.csv of this claim",
    )


def _panel(cell: str, rows: Sequence[Row], margins: Sequence[float]) -> Panel:
    labels = list(dict.fromkeys(str(row["curve"]) for row in rows))
    dose = labels[0] if len(labels) == 1 else labels[0].partition(",")[0]
    series = [
        _series(
            label if len(labels) > 1 else "effect", nth_style(place), [row for row in rows if row["curve"] == label]
        )
        for place, label in enumerate(labels)
    ]
    doses = np.unique(np.concatenate([one.x for one in series]))
    for margin in margins:
        level = np.full(len(doses), float(margin))
        series.append(Series("margin", _MARGIN, doses, level, _NONE, _NONE))
    log = bool(doses[0] > 0 and doses[-1] >= _LOG_FROM * doses[0])
    return Panel(cell, tuple(series), dose, f"effect in {rows[0]['unit']}", log)


def _series(label: str, style: Style, rows: Sequence[Row]) -> Series:
    ordered = sorted(rows, key=lambda row: float(row["dose"]))
    x, mean, low, high = (_column(ordered, name) for name in ("dose", "effect", "ci_low", "ci_high"))
    judged = np.array([bool(row["primary"]) for row in ordered])
    return Series(label, style, x, mean, low, high, marks=(x[judged], mean[judged]))


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def _is_drawn(row: Row) -> bool:
    return _is_number(row["dose"]) and _is_number(row["effect"])


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _missing(rows: Sequence[Row]) -> str:
    """Return a sentence on the doses that are not drawn."""
    gone = [f"{row['cell'] or ''} {number(row['dose'])}".strip() for row in rows if not _is_drawn(row)]
    return f" Not drawn, see doses.csv: {', '.join(dict.fromkeys(gone))}." if gone else ""
