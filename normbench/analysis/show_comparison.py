"""What changed between two studies, as text."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import require
from normbench.analysis.column import Column
from normbench.analysis.comparison import Comparison
from normbench.analysis.digits import MISSING, decimals, fixed, value_text
from normbench.analysis.escape import visible
from normbench.analysis.grid import grid
from normbench.analysis.render import FORMATS, noted
from normbench.analysis.summary import csv_text

SECTIONS = ("cells", "verdicts", "speed", "versions")


@dataclass(frozen=True, slots=True)
class _Section:
    title: str
    columns: list[Column]
    notes: list[str]


def show_comparison(
    comparison: Comparison,
    format: str = "table",
    show: Sequence[str] = SECTIONS,
    *,
    width: int = 80,
    color: bool = False,
) -> str:
    """Return a comparison as text that ends in a newline.

    Args:
        comparison: What to show.
        format: One of `FORMATS`; `csv` has every row and digit of the first part of `show`, and no other.
        show: Which parts, of `SECTIONS`.
        width: Columns of the terminal, for `table`.
        color: Whether `table` may hold escape codes.

    Raises:
        ConfigError: The format or a part is unknown.
    """
    require(format, FORMATS, "format")
    for name in show:
        require(name, SECTIONS, "part")
    if format == "csv":
        frames = (comparison.cells.rows, comparison.verdicts, comparison.speed, comparison.versions)
        return csv_text(dict(zip(SECTIONS, frames, strict=True))[show[0]])
    builders = {"cells": _cells, "verdicts": _verdicts, "speed": _speed, "versions": _versions}
    return "\n".join(_text(builders[name](comparison), format, width, color) for name in show)


def _text(section: _Section, form: str, width: int, color: bool) -> str:
    title = visible(section.title)
    heads = {"table": f"{title}\n\n", "markdown": f"## {title}\n\n", "latex": f"% {title}\n"}
    rows = bool(section.columns and section.columns[0].cells)
    table = grid(section.columns, form, width=width, color=color) if rows else ""
    if form == "latex":
        return heads[form] + "".join(f"% {visible(note)}\n" for note in section.notes) + table
    gap = "\n" if rows and section.notes else ""
    return heads[form] + table + gap + "".join(f"{line}\n" for line in noted(section.notes, width))


def _cells(comparison: Comparison) -> _Section:
    cells, (a, b) = comparison.cells, comparison.names
    shown = cells.rows[~cells.rows["equal"]]
    halves = (shown["ci_high"] - shown["ci_low"]) / 2
    places = decimals(cells.metric, shown["mean_a"], shown["mean_b"], halves)
    same = [name for name in cells.by if shown[name].nunique(dropna=False) == 1 and len(shown) > 1]
    columns = [replace(_column(name, shown[name]), key=True) for name in cells.by if name not in same]
    columns.append(Column("seeds", [_seeds(*row) for row in _rows(shown, "pairs", "n_a", "n_b")], True))
    if shown[["diverged_a", "diverged_b"]].to_numpy().any():
        diverged = [f"{before} → {after}" for before, after in _rows(shown, "diverged_a", "diverged_b")]
        columns.append(Column("diverged", diverged, True))
    columns += [Column(name, [fixed(mean, places) for mean in shown[f"mean_{name.lower()}"]], True) for name in "AB"]
    estimates = _rows(shown, "change", "ci_low", "ci_high")
    changes = [_estimate(change, low, high, places) for change, low, high in estimates]
    columns.append(Column("change", changes, True, breaks=True))
    notes = _cell_notes(comparison, shown)
    if same:
        values = ", ".join(f"{name} = {value_text(shown[name].iloc[0])}" for name in same)
        notes.insert(0, f"All rows: {values}.")
    return _Section(f"{cells.metric}: A = {a}, B = {b}", columns, notes)


def _cell_notes(comparison: Comparison, shown: pd.DataFrame) -> list[str]:
    cells = comparison.cells
    total, differ = len(cells.rows), len(shown)
    notes = [
        f"Cells in both: {total}, only in A: {cells.only[0]}, only in B: {cells.only[1]}. "
        f"Runs in both: {cells.same_runs}, identical in every digit of every metric: {cells.same_results}."
    ]
    if total > differ:
        notes.append(f"Cells not shown, as {cells.metric} is the same in every seed: {total - differ}.")
    apart = int(((shown["ci_low"] > 0) | (shown["ci_high"] < 0)).sum())
    if judged := int(shown["ci_low"].notna().sum()):
        notes.append(
            "change: B minus A, with its 95 % interval, over the seeds that both have; diverged runs count as chance. "
            f"{apart} of {judged} intervals exclude 0; by chance alone {0.05 * judged:.2g} would."
        )
    if (shown["design"] == "unpaired").any():
        notes.append("seeds with a +: none is shared, so all of A are compared with all of B (Welch's interval).")
    if comparison.unknown:
        notes.append(f"Pooled: {', '.join(comparison.unknown)}, which only one of the two studies records.")
    return notes


def _verdicts(comparison: Comparison) -> _Section:
    rows = comparison.verdicts
    both = rows["verdict_a"].notna() & rows["verdict_b"].notna()
    moved = (rows["effect_a"] != rows["effect_b"]) & ~(rows["effect_a"].isna() & rows["effect_b"].isna())
    shown = rows[both & (rows["changed"] | moved | ~rows["same_spec"].fillna(True).astype(bool))]
    columns = [
        Column("claim", [str(name) for name in shown["claim"]], False),
        Column("verdict", [_verdict(*row) for row in _rows(shown, "verdict_a", "verdict_b")], False),
        *(Column(f"effect in {name}", _effects(shown, name.lower()), False) for name in "AB"),
        Column("spec", ["same" if same else "changed" for same in shown["same_spec"]], False),
    ]
    notes = [
        f"{name} was never judged: it has no verdicts."
        for name, is_ in zip("AB", comparison.judged, strict=True)
        if not is_
    ]
    if all(comparison.judged):
        notes.append(
            f"Claims and cells in both: {int(both.sum())}, with a different verdict: {int(rows['changed'].sum())}, "
            f"only in A: {int(rows['verdict_b'].isna().sum())}, only in B: {int(rows['verdict_a'].isna().sum())}. Not "
            f"shown, as neither verdict, effect nor design changed: {int(both.sum()) - len(shown)}."
        )
        if (~shown["same_spec"].fillna(True).astype(bool)).any():
            notes.append("spec changed: the claim itself was edited between A and B.")
    return _Section("verdicts", columns, notes)


def _verdict(before: str, after: str) -> str:
    before, after = before.replace("_", " "), after.replace("_", " ")
    return before if before == after else f"{before} → {after}"


def _effects(rows: pd.DataFrame, side: str) -> list[str]:
    names = [f"{name}_{side}" for name in ("effect", "ci_low", "ci_high", "n_seeds", "unit")]
    return [
        MISSING if math.isnan(effect) else f"{effect:+.3g} [{low:+.3g}, {high:+.3g}] {value_text(unit)}, n {n}"
        for effect, low, high, n, unit in _rows(rows, *names)
    ]


def _speed(comparison: Comparison) -> _Section:
    rows = comparison.speed
    columns = [Column("mode", [str(mode) for mode in rows["mode"]], False)]
    for name in "AB":
        columns.append(_column(f"runs {name}", rows[f"runs_{name.lower()}"]))
        columns.append(Column(f"s a run {name}", [_seconds(value) for value in rows[f"seconds_{name.lower()}"]], True))
    columns.append(Column("B / A", [fixed(ratio, 2) for ratio in rows["ratio"].astype("float64")], True))
    if rows.empty:
        return _Section("speed", [], ["No recorded times of cells that both studies have."])
    notes = ["Medians of a pack's wall time divided by its runs, over the cells that both studies have."]
    if other := comparison.other_machine:
        notes.append(f"Not the same machine or threads: {', '.join(other)} differ, so the ratio has no clear cause.")
    elif len(comparison.versions):
        notes.append(f"The same machine, but {', '.join(comparison.versions['name'])} differ.")
    return _Section("speed", columns, notes)


def _versions(comparison: Comparison) -> _Section:
    rows = comparison.versions
    columns = [Column("", list(rows["name"]), False)]
    for name in "AB":
        columns.append(Column(name, [_short(value) for value in rows[name.lower()]], False))
    return _Section(
        "versions", columns, [] if len(rows) else ["No recorded version, commit, device or thread count differs."]
    )


def _short(values: str) -> str:
    """Return values with commits and hashes cut to twelve characters, and at most three of them."""
    parts = [part[:12] if len(part) >= 40 and part.isalnum() else part for part in values.split(", ")]
    return ", ".join(parts[:3]) + (f" and {len(parts) - 3} more" if len(parts) > 3 else "") or MISSING


def _seeds(pairs: int, n_a: int, n_b: int) -> str:
    return str(pairs) if pairs else f"{n_a} + {n_b}"


def _estimate(change: float, low: float, high: float, places: int) -> str:
    shown = fixed(change, places, sign="+")
    return shown if math.isnan(low) else f"{shown} [{fixed(low, places, sign='+')}, {fixed(high, places, sign='+')}]"


def _seconds(value: float) -> str:
    return MISSING if math.isnan(value) else f"{value:.3g}"


def _column(name: str, values: "pd.Series[Any]") -> Column:
    is_number = is_numeric_dtype(values) and not is_bool_dtype(values)
    return Column(name, [value_text(value) for value in values], is_number)


def _rows(table: pd.DataFrame, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name] for name in names), strict=True)
