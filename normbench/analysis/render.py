"""Results tables as text: for a terminal, a spreadsheet, a README or a paper."""

import textwrap
from typing import Any

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.cells import cells, require
from normbench.analysis.column import Column
from normbench.analysis.digits import MISSING, decimals, estimates, fixed, value_text
from normbench.analysis.escape import visible
from normbench.analysis.grid import grid
from normbench.analysis.pivot import pivot_columns, pivot_note, pivot_rows
from normbench.analysis.summary import csv_text
from normbench.analysis.table import ResultsTable

FORMATS = ("table", "csv", "markdown", "latex")


def render(table: ResultsTable, format: str = "table", *, width: int = 80, color: bool = False) -> str:
    """Return a results table as text that ends in a newline.

    Args:
        table: What to show.
        format: One of `FORMATS`: `table` has the notes under it, and the others leave `notes` to the caller; `csv` has
            every digit.
        width: Columns of the terminal, for `table`; headers and then text wrap, and a number is never cut: what cannot
            fit is wider. A pivoted table puts intervals under their means, and then comes in parts.
        color: Whether `table` may hold escape codes, as on a terminal: without them, nothing is bold there.

    Raises:
        ConfigError: The format is unknown.
    """
    require(format, FORMATS, "format")
    if format == "csv":
        return csv_text(table.rows if table.pivot is None else pivot_rows(table))
    text = grid(_columns(table), format, width=width, color=color, title=_title(table))
    if format != "table":
        return text
    return "\n".join([text, *noted(notes(table, bold=color), width), ""])


def notes(table: ResultsTable, *, bold: bool) -> list[str]:
    """Return the sentences that belong under a table.

    Args:
        table: What is shown.
        bold: Whether the output can show bold.
    """
    own = [] if table.pivot is None else [pivot_note(table)]
    if bold and any(_bold(table)):
        everything = "each task" if "task" in table.by else "all rows"
        among = everything if table.pivot is None else f"each row, over {table.pivot}"
        own.append(
            f"Bold: the best of {among}, and all that joint 95 % intervals of the differences (paired by seed if seeds "
            "are shared) do not separate from it; diverged runs count as chance."
        )
    return [*own, *table.notes]


def noted(sentences: list[str], width: int) -> list[str]:
    """Return sentences in lines for a terminal."""
    return [textwrap.fill(visible(sentence), max(width, 40)) for sentence in sentences]


def _title(table: ResultsTable) -> str:
    return "" if table.pivot is None else f"{table.metric} by {table.pivot}"


def _columns(table: ResultsTable) -> list[Column]:
    rows = table.rows
    keys = [_value_column(name, rows[name]) for name in table.by if name != table.pivot]
    bold = _bold(table)
    if table.pivot is not None:
        return pivot_columns(table, keys, bold)
    columns = keys if table.best is None else keys + _choice_columns(rows, table.best)
    counts = [name for name in ("n", "diverged", "failed") if name == "n" or (name in rows and rows[name].any())]
    columns += [_value_column(name, rows[name]) for name in counts]
    halves = (rows["ci_high"] - rows["ci_low"]) / 2
    places = decimals(table.metric, rows["mean"], halves)
    columns.append(Column(table.metric, estimates(rows["mean"], halves, places), True, bold))
    if "mean_chance_imputed" in rows:
        imputed = [fixed(mean, places) for mean in rows["mean_chance_imputed"]]
        columns.append(Column("chance-imputed", imputed, True))
    return columns


def _bold(table: ResultsTable) -> list[bool]:
    """Return which rows are bold: those among the best that have a mean, unless their whole contest is."""
    rows = table.rows
    best = rows["among_best"].astype("boolean")
    keys = [name for name in table.by if table.pivot is not None and name != table.pivot]
    told = (~best).fillna(False).groupby(cells(rows, keys)[0]).transform("any")
    return [bool(value) for value in best.fillna(False) & told & rows["mean"].notna()]


def _choice_columns(rows: pd.DataFrame, best: str) -> list[Column]:
    shown = _value_column(best, rows[best])
    votes = zip(shown.cells, rows["chosen_by"], rows["n"], strict=True)
    texts = [f"{cell} ({vote}/{n})" if n else MISSING for cell, vote, n in votes]
    edges = [] if rows["at_edge"].isna().all() else [_value_column("at edge", rows["at_edge"])]
    return [Column(best, texts, shown.is_number), *edges]


def _value_column(name: str, values: "pd.Series[Any]") -> Column:
    is_number = is_numeric_dtype(values) and not is_bool_dtype(values)
    return Column(name, [value_text(value) for value in values], is_number)
