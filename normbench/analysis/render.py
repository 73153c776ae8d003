"""Results tables as text: for a terminal, a spreadsheet, a README or a paper."""

import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import require
from normbench.analysis.summary import csv_text
from normbench.analysis.table import ResultsTable

MISSING = "–"  # noqa: RUF001 - an en dash, as tables have it
LATEX = {**{sign: f"\\{sign}" for sign in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
LATEX |= {"^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "<": r"\textless{}", ">": r"\textgreater{}"}  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class _Column:
    header: str
    cells: list[str]
    is_number: bool


def render(table: ResultsTable, format: str = "table", *, width: int = 80, color: bool = False) -> str:
    """Return a results table as text that ends in a newline.

    Args:
        table: What to show.
        format: One of `FORMATS`: `table` has the notes under it, and the others leave `table.notes` to the caller;
            `csv` has every digit.
        width: Columns of the terminal, for `table`; headers and then text wrap, and a number is never cut: what cannot
            fit is wider.
        color: Whether `table` may hold escape codes, as on a terminal.

    Raises:
        ConfigError: The format is unknown.
    """
    require(format, FORMATS, "format")
    return FORMATS[format](table, width, color)


def _csv(table: ResultsTable, _width: int, _color: bool) -> str:
    return csv_text(table.rows)


def _markdown(table: ResultsTable, _width: int, _color: bool) -> str:
    columns = _columns(table)
    rule = ["---:" if column.is_number else "---" for column in columns]
    lines = [[column.header for column in columns], rule, *zip(*(column.cells for column in columns), strict=True)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _latex(table: ResultsTable, _width: int, _color: bool) -> str:
    columns = _columns(table)
    head = " & ".join(_escape(column.header) for column in columns)
    body = [" & ".join(map(_escape, line)) for line in zip(*(column.cells for column in columns), strict=True)]
    shape = "".join("r" if column.is_number else "l" for column in columns)
    lines = [rf"\begin{{tabular}}{{{shape}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    return "\n".join([*lines, *(rf"{line} \\" for line in body), r"\bottomrule", r"\end{tabular}", ""])


def _escape(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def _terminal(table: ResultsTable, width: int, color: bool) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = _columns(table)
    headers, widths = _layout(columns, width)
    grid = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for header, column, room in zip(headers, columns, widths, strict=True):
        side: Literal["left", "right"] = "right" if column.is_number else "left"
        grid.add_column(Text(header), justify=side, width=room)
    for line in zip(*(column.cells for column in columns), strict=True):
        cells = zip(line, columns, widths, strict=True)
        grid.add_row(*(Text(cell if column.is_number else _broken(cell, room)) for cell, column, room in cells))
    colors: Literal["standard"] | None = "standard" if color else None
    console = Console(width=max(width, sum(widths) + 2 * len(widths)), force_terminal=color, color_system=colors)
    with console.capture() as capture:
        console.print(grid)
    notes = [textwrap.fill(note, max(width, 40)) for note in table.notes]
    lines = [line.rstrip() for line in capture.get().splitlines()]
    return "\n".join([*lines, "", *notes, ""])


FORMATS: dict[str, Callable[[ResultsTable, int, bool], str]] = {
    "table": _terminal,
    "csv": _csv,
    "markdown": _markdown,
    "latex": _latex,
}


def _layout(columns: list[_Column], width: int) -> tuple[list[str], list[int]]:
    """Return headers and column widths: as they are where they fit, else with headers broken, then text wrapped."""
    cells = [max((len(cell) for cell in column.cells), default=0) for column in columns]
    headers = [column.header for column in columns]
    gaps = 2 * (len(columns) - 1)
    widths = [max(cell, len(header)) for cell, header in zip(cells, headers, strict=True)]
    if sum(widths) + gaps > width:
        headers = [_broken(header, cell) for header, cell in zip(headers, cells, strict=True)]
        longest = [max(map(len, header.split("\n"))) for header in headers]
        widths = [max(cell, header) for cell, header in zip(cells, longest, strict=True)]
    floors = [_narrowest(column, header) for column, header in zip(columns, headers, strict=True)]
    while sum(widths) + gaps > width:
        wide = [place for place, floor in enumerate(floors) if widths[place] > floor]
        if not wide:
            break
        widths[max(wide, key=lambda place: widths[place])] -= 1
    return headers, widths


def _narrowest(column: _Column, header: str) -> int:
    """Return how narrow a column may become: text breaks between its pieces, a number never."""
    pieces = [header, *(cell if column.is_number else _broken(cell, 0) for cell in column.cells)]
    return max(len(line) for piece in pieces for line in piece.split("\n"))


def _broken(text: str, room: int) -> str:
    """Return text in lines of at most `room` signs where breaks after dots, underscores, dashes and spaces allow it."""
    lines = [""]
    for piece in re.split(r"(?<=[._ -])", text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > room:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _columns(table: ResultsTable) -> list[_Column]:
    rows = table.rows
    columns = [_value_column(name, rows[name]) for name in table.by]
    if table.best is not None:
        columns += _choice_columns(rows, table.best)
    counts = [name for name in ("n", "diverged", "failed") if name == "n" or (name in rows and rows[name].any())]
    columns += [_value_column(name, rows[name]) for name in counts]
    decimals = _decimals(rows, table.metric)
    halves = (rows["ci_high"] - rows["ci_low"]) / 2
    columns.append(_Column(table.metric, _estimates(rows["mean"], halves, decimals), True))
    if "mean_chance_imputed" in rows:
        imputed = [_fixed(mean, decimals) for mean in rows["mean_chance_imputed"]]
        columns.append(_Column("chance-imputed", imputed, True))
    return columns


def _choice_columns(rows: pd.DataFrame, best: str) -> list[_Column]:
    shown = _value_column(best, rows[best])
    votes = zip(shown.cells, rows["chosen_by"], rows["n"], strict=True)
    cells = [f"{cell} ({vote}/{n})" if n else MISSING for cell, vote, n in votes]
    edges = [] if rows["at_edge"].isna().all() else [_value_column("at edge", rows["at_edge"])]
    return [_Column(best, cells, shown.is_number), *edges]


def _value_column(name: str, values: "pd.Series[Any]") -> _Column:
    is_number = is_numeric_dtype(values) and not is_bool_dtype(values)
    return _Column(name, [_value(value) for value in values], is_number)


def _value(value: object) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _decimals(rows: pd.DataFrame, metric: str) -> int:
    """Return how many decimals show the first digit of the smallest number, within what suits the metric."""
    low, high = {"accuracy": (3, 4), "loss": (3, 6)}.get(metric.split("_")[1], (0, 1))
    shown = np.concatenate([rows["mean"].abs(), (rows["ci_high"] - rows["ci_low"]) / 2]).astype(np.float64)
    shown = shown[np.isfinite(shown) & (shown > 1e-9)]  # rounding leaves equal values an interval of 1e-17
    needed = math.ceil(-math.log10(shown.min())) if shown.size else low
    return min(max(needed, low), high)


def _estimates(means: "pd.Series[float]", halves: "pd.Series[float]", decimals: int) -> list[str]:
    """Return each `mean ± half`, halves of one width so that right-aligned cells stand under another; no half, no ±."""
    centers = [_fixed(mean, decimals) for mean in means]
    ends = [_fixed(half, decimals) for half in halves]
    room = max(map(len, ends), default=0)
    return [
        center if end == MISSING else f"{center} ± {end:>{room}}" for center, end in zip(centers, ends, strict=True)
    ]


def _fixed(value: float, decimals: int) -> str:
    if math.isnan(value):
        return MISSING
    return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.4g}"
