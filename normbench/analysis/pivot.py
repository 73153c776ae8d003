"""A results table with the values of one column side by side."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from normbench.analysis.cells import Ints, cells
from normbench.analysis.column import Column
from normbench.analysis.digits import MISSING, decimals, estimates, value_text
from normbench.analysis.table import ResultsTable

REMARKS = (("diverged", "diverged"), ("failed", "failed"), ("at_edge", "at edge"))


def pivot_columns(table: ResultsTable, keys: list[Column], bold: list[bool]) -> list[Column]:
    """Return the keys and a column for each value of `table.pivot`: the estimate, with its remarks below.

    Args:
        table: With a pivot.
        keys: The columns of `table.by` but the pivot, one cell a row of `table`.
        bold: Which rows of `table` are bold.
    """
    rows = table.rows
    halves = (rows["ci_high"] - rows["ci_low"]) / 2
    shown = estimates(rows["mean"], halves, decimals(table.metric, rows["mean"], halves))
    lines, values, places = _places(table)
    first = [int(places[line][places[line] >= 0][0]) for line in range(lines)]
    columns = [Column(key.header, [key.cells[place] for place in first], key.is_number, key=True) for key in keys]
    usual = _usual_n(rows)
    for header, own in zip(values, places.T, strict=True):
        texts = [_remarked(shown[place], rows, place, usual) if place >= 0 else "" for place in own]
        columns.append(Column(header, texts, True, [place >= 0 and bold[place] for place in own], breaks=True))
    return columns


def pivot_rows(table: ResultsTable) -> pd.DataFrame:
    """Return the rows of a table with a pivot as CSV has them: every number of each value under `mean[norm=batch]`."""
    lines, values, places = _places(table)
    keys = [name for name in table.by if name != table.pivot]
    first = [int(places[line][places[line] >= 0][0]) for line in range(lines)]
    columns = {name: table.rows[name].iloc[first].reset_index(drop=True) for name in keys}
    numbers = table.rows.drop(columns=list(table.by))
    numbers = numbers.astype({name: "Int64" for name in ("n", "diverged", "failed") if name in numbers})
    for value, own in zip(values, places.T, strict=True):
        named = value if "=" in value else f"{table.pivot}={value}"
        spread = numbers.reindex(own).reset_index(drop=True)  # no row has the number -1
        columns |= {f"{name}[{named}]": spread[name] for name in spread}
    return pd.DataFrame(columns, index=range(lines))


def pivot_note(table: ResultsTable) -> str:
    """Return how many runs are behind a cell."""
    return f"{table.metric} by {table.pivot}; n = {_usual_n(table.rows)} runs per cell unless stated."


def _places(table: ResultsTable) -> tuple[int, list[str], Ints]:
    """Return how many lines the table has, its column headers, and the row of each cell, -1 for none."""
    assert table.pivot is not None
    keys = [name for name in table.by if name != table.pivot]
    numbers, lines = cells(table.rows, keys)
    order, values = cells(table.rows, [table.pivot])
    places = np.full((len(lines), len(values)), -1, dtype=np.int64)
    places[numbers, order] = np.arange(len(table.rows))
    return len(lines), list(_headers(table.pivot, values[table.pivot])), places


def _headers(pivot: str, values: "pd.Series[Any]") -> Iterator[str]:
    """Yield a text as it is, and anything else with its name: `lr=0.1`."""
    for value in values:
        text = value_text(value)
        yield text if isinstance(value, str) and not is_numeric_dtype(values) else f"{pivot}={text}"


def _usual_n(rows: pd.DataFrame) -> int:
    return int(rows["n"].mode().max()) if len(rows) else 0


def _remarked(text: str, rows: pd.DataFrame, place: int, usual: int) -> str:
    row = rows.iloc[place]
    remarks = [f"{row[name]}/{row['n']} {word}" for name, word in REMARKS if name in rows and _any(row[name])]
    if row["n"] != usual and not remarks:
        remarks = [f"n {row['n']}"]
    return "\n".join([text or MISSING, *remarks])


def _any(count: Any) -> bool:
    return not pd.isna(count) and bool(count)
