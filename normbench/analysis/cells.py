"""Which runs belong together: a cell is every seed of one setting."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.errors import ConfigError, nearest
from normbench.metrics import metric_column
from normbench.record.columns import FIXED

Ints = NDArray[np.int64]

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)
"""A number as Python and JSON write it; `007` and `1_000` are text."""


def config_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns that hold a run's config without its seed, in the order of the table."""
    return [
        name for name in runs.columns if (FIXED[name].role == "config" if name in FIXED else not metric_column(name))
    ]


def factors(runs: pd.DataFrame) -> list[str]:
    """Return the config columns in which the runs differ; a missing value counts as a value."""
    return [name for name in config_columns(runs) if runs[name].nunique(dropna=False) > 1]


def ranks(column: "pd.Series[Any]") -> Ints:
    """Return each value's place among the distinct ones: numbers by size, then text, a missing value last."""
    codes, values = pd.factorize(column)
    order = sorted(range(len(values)), key=lambda position: _place(values[position]))
    place = np.empty(len(values) + 1, dtype=np.int64)
    place[order] = np.arange(len(values))
    place[-1] = len(values)  # factorize gives a missing value the code -1
    return place[codes]


def _place(value: object) -> tuple[int, float, str]:
    text = str(value)
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        return 1, 0.0, text
    return 0, float(text) if isinstance(value, str) else float(value), text  # type: ignore[arg-type] # object


def cells(runs: pd.DataFrame, by: Sequence[str] | None = None) -> tuple[Ints, pd.DataFrame]:
    """Number the cells of a table of runs.

    Args:
        runs: One row per run.
        by: The columns that distinguish cells; None means every config column but the seed.

    Returns:
        The cell number of each run, shape (runs,), and the cells' values of `by` in the order of the numbers: sorted
        by the first column, then the second, as `ranks` orders them.
    """
    names = config_columns(runs) if by is None else list(by)
    numbers = np.zeros(len(runs), dtype=np.int64)
    for name in names:
        places = ranks(runs[name])
        if places.size and places.max() > places.min():
            numbers = np.unique(numbers * (places.max() + 1) + places, return_inverse=True)[1]
    first = np.unique(numbers, return_index=True)[1]
    return numbers, runs[names].iloc[first].reset_index(drop=True)


def require(name: str, known: Iterable[str], kind: str) -> None:
    """Raise if a name is not among the known ones.

    Args:
        name: The name that was given.
        known: The names allowed here.
        kind: What it should name, such as ``"metric"``.

    Raises:
        ConfigError: It is unknown; the message has the nearest and all known names.
    """
    allowed = list(known)
    if name not in allowed:
        raise ConfigError(f"unknown {kind} '{name}'{nearest(name, allowed)}")
