"""The metric columns of a table of runs, by their names alone."""

from collections.abc import Iterable

from normbench.metrics import METRICS, Metric, metric_column
from normbench.record.columns import FIXED, METRIC_COLUMNS

STEPS = Metric("the step at which the target was first reached", higher_is_better=False, low=1.0, digits=(0, 1))
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
    return [*METRIC_COLUMNS, *further]


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
