"""Curves of doses.csv as figures."""

import re
from typing import Any

import numpy as np

from normbench.report.dose_figures import dose_figure
from normbench.report.draw import draw
from normbench.report.legend import swatch
from normbench.report.panels import Figure

Row = dict[str, Any]


def row(dose: object, effect: float | None, **more: object) -> Row:
    """Return a row of doses.csv."""
    ends = {"ci_low": None, "ci_high": None} if effect is None else {"ci_low": effect - 1, "ci_high": effect + 1}
    fixed = {"claim": "small", "cell": "digits", "curve": "batch size", "unit": "points", "primary": False}
    return {**fixed, "dose": dose, "effect": effect, **ends, **more}


CURVE = [row(8, 2.0), row(2, 30.0, primary=True), row(4, 10.0), row(32, 1.0)]


def figure(*rows: Row, **margins: tuple[float, ...]) -> Figure:
    """Return the figure of rows that have one."""
    found = dose_figure(rows or CURVE, margins, "small-batch-size")
    assert found is not None
    return found


def test_a_curve_has_its_doses_in_order_with_intervals() -> None:
    """The axis is logarithmic, for doses that double."""
    (panel,) = figure().panels
    (series,) = panel.series
    assert series.x.tolist() == [2, 4, 8, 32] and series.mean.tolist() == [30, 10, 2, 1]
    assert series.low.tolist() == [29, 9, 1, 0] and series.high.tolist() == [31, 11, 3, 2]
    assert (panel.title, panel.x_label, panel.y_label, panel.log) == ("digits", "batch size", "effect in points", True)


def test_the_primary_point_is_marked_and_the_margin_a_line() -> None:
    """One line for a margin, two for an equivalence."""
    panel = figure(digits=(1.0,)).panels[0]
    assert [values.tolist() for values in panel.series[0].marks] == [[2], [30]]
    assert [(one.label, one.mean.tolist()) for one in panel.series[1:]] == [("margin", [1, 1, 1, 1])]
    both = figure(digits=(-1.0, 1.0)).panels[0]
    assert [one.mean[0] for one in both.series[1:]] == [-1, 1]


def test_each_cell_has_its_panel_and_unit() -> None:
    """Cells may have other doses, units and margins."""
    scenes = [row(dose, 0.1, cell="scenes", unit="octaves") for dose in (2, 4)]
    made = figure(*CURVE, *scenes, digits=(1.0,), scenes=(0.322,))
    assert [(panel.title, panel.y_label) for panel in made.panels] == [
        ("digits", "effect in points"),
        ("scenes", "effect in octaves"),
    ]
    assert made.panels[1].series[1].mean[0] == 0.322
    assert list(made.legend) == ["effect", "margin"]


def test_levels_have_lines_of_their_own() -> None:
    """An estimand over levels has a curve for each."""
    rows = [row(dose, 1.0, curve=f"momentum, batch_size={size}") for size in (2, 32) for dose in (0.1, 0.2)]
    (panel,) = figure(*rows).panels
    assert panel.x_label == "momentum" and not panel.log
    assert [one.label for one in panel.series] == ["momentum, batch_size=2", "momentum, batch_size=32"]


def test_what_has_no_place_is_named() -> None:
    """A dose without records, or that is no number, is not drawn; without two that are, there is no figure."""
    made = figure(*CURVE, row(64, None, reason="missing"), row(None, 3.0))
    assert made.note.endswith(" Not drawn, see doses.csv: digits 64, digits –.")  # noqa: RUF001 - an en dash
    assert made.panels[0].series[0].x.tolist() == [2, 4, 8, 32]
    assert dose_figure([row(2, 1.0), row(4, None)], {}, "a") is None


def test_rows_that_were_read_from_a_table_are_drawn_the_same() -> None:
    """Their numbers are numpy's."""
    read = [{**one, "dose": np.int64(one["dose"]), "effect": np.float64(one["effect"])} for one in CURVE]
    assert draw(figure(*read).panels[0], "a") == draw(figure().panels[0], "a")


def test_it_is_drawn_with_whole_intervals() -> None:
    """No seed is shown, so that the axis has to hold the intervals; the margin's key has no marker."""
    wide = [{**one, "ci_high": 90.0} for one in CURVE]
    drawn = draw(figure(*wide, digits=(1.0,)).panels[0], "a")
    labels = [float(text) for text in re.findall(r">\s*(\d+)\s*<", drawn)]
    assert max(labels) > 60 and "stroke-dasharray" in drawn
    assert "<circle" not in swatch(figure(digits=(1.0,)).legend["margin"])
