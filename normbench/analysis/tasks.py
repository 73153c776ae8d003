"""Which runs belong to one task, and the metric that they are tuned and shown by."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.cells import cells
from normbench.metrics import metric_column

Mask = NDArray[np.bool_]


def first_metric(runs: pd.DataFrame) -> str:
    """Return the metric that the runs of one task are tuned and shown by.

    That is accuracy if they have it, else the first other metric that they have, else the loss. If no run has
    finished, the metrics are read from the chance levels.
    """
    for part in ("val", "chance"):
        found = [column.metric for name in runs.columns if (column := metric_column(name)) and column.part == part]
        there = [metric for metric in found if runs[f"{part}_{metric}"].notna().any()]
        if there:
            return min(there, key=lambda metric: (metric == "loss") - (metric == "accuracy"))
    return "accuracy"


def tasks(runs: pd.DataFrame) -> Iterator[tuple[str, Mask]]:
    """Yield the first metric of each task and which of the runs are its own, shape (runs,).

    A study that varies no task has a single one and does not record it, so each study is treated separately too.
    """
    keys = [name for name in ("study", "task") if name in runs and runs[name].nunique(dropna=False) > 1]
    numbers = cells(runs, keys)[0]
    for number in np.unique(numbers):
        own = numbers == number
        yield first_metric(runs[own]), own


def by_first_metric(runs: pd.DataFrame) -> dict[str, Mask]:
    """Return a mask of runs for each first metric, shape (runs,): two such sets cannot share one axis."""
    found: dict[str, Mask] = {}
    for first, own in tasks(runs):
        found[first] = found[first] | own if first in found else own
    return found
