"""Which metrics a table of runs has, and which of them its runs are chosen and shown by."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.cells import cells
from normbench.metrics import METRICS, Metric, metric_column
from normbench.record.columns import FIXED
from normbench.record.columns import METRICS as FIXED_COLUMNS

STEPS = Metric(higher_is_better=False, low=1.0, digits=(0, 1))
"""The steps to the target, which are counted and have no chance level."""

_PARTS = {"train": "training", "val": "validation", "test": "test", "chance": "chance"}


def metric_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of runs.csv that can be averaged: those of every table, then the further ones it has.

    Args:
        names: The columns of the table. Chance levels are no results, and left out.
    """
    further = [
        name for name in names if name not in FIXED and (found := metric_column(name)) and found.part != "chance"
    ]
    return [*FIXED_COLUMNS, *further]


def metric_of(column: str) -> Metric:
    """Return the metric of a column that `metric_columns` returns."""
    found = metric_column(column)
    return STEPS if found is None else METRICS[found.metric]


def in_words(column: str) -> str:
    """Return a metric's column in words, such as ``validation accuracy``."""
    found = metric_column(column)
    assert found is not None, column
    return f"{_PARTS[found.part]} {found.metric.replace('_', ' ')}"


def as_shown(column: str) -> str:
    """Return a metric's column with the unit of its scaled values: ``test_accuracy in points``."""
    return f"{column} in points" if metric_of(column).scale == 100 else column


def first_metric(runs: pd.DataFrame) -> str:
    """Return the metric that the runs of one task are chosen and shown by.

    That is accuracy where they have it, else the first other metric that they have, else the loss. Where no run has
    finished, the chance levels tell the metrics.
    """
    found = [metric_column(name) for name in runs.columns]
    others = [column.metric for column in found if column and column.part in ("val", "chance")]
    names = ["accuracy", *(name for name in others if name not in ("accuracy", "loss")), "loss"]
    for part in ("val", "chance"):
        for name in names:
            if (column := f"{part}_{name}") in runs and runs[column].notna().any():
                return name
    return "accuracy"


def tasks(runs: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield the first metric of each task and which of the runs are its own, shape (runs,).

    A study that varies no task has a single one, and does not record it: so studies are held apart too.
    """
    keys = [name for name in ("study", "task") if name in runs and runs[name].nunique(dropna=False) > 1]
    numbers = cells(runs, keys)[0]
    for number in np.unique(numbers):
        own = numbers == number
        yield first_metric(runs[own]), own
