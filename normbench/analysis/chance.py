"""The chance level: what a run without skill scores. A diverged run counts as chance."""

import numpy as np
import pandas as pd

from normbench.analysis.intervals import Floats
from normbench.metrics import metric_column


def finished_values(runs: pd.DataFrame, metric: str) -> Floats:
    """Return the metric of the finished runs, and NaN for all others."""
    return np.where(runs["status"] == "finished", _floats(runs, metric), np.nan)


def chance(runs: pd.DataFrame, metric: str) -> Floats:
    """Return the chance level of each run in the column of a metric.

    That is the run's own `chance_M`; without it, guessing among C classes: accuracy ``1 / C``, loss ``ln C``;
    NaN if that is not known either.
    """
    found = metric_column(metric)
    if found is None:
        return np.full(len(runs), np.nan)
    classes = _floats(runs, "num_classes")
    guesses = {"accuracy": 1 / classes, "loss": np.log(classes)}
    recorded = _floats(runs, f"chance_{found.metric}")
    return np.where(np.isnan(recorded), guesses.get(found.metric, np.nan), recorded)


def imputed_values(runs: pd.DataFrame, metric: str) -> Floats:
    """Return the metric of the finished runs, chance for the diverged ones, and NaN for the failed ones."""
    return np.where(runs["status"] == "diverged", chance(runs, metric), finished_values(runs, metric))


def has_chance(runs: pd.DataFrame, metric: str) -> bool:
    """Return whether some run diverged and the chance level of every diverged run is known."""
    diverged = (runs["status"] == "diverged").to_numpy(dtype=np.bool_)
    return bool(diverged.any() and not np.isnan(chance(runs, metric)[diverged]).any())


def _floats(runs: pd.DataFrame, name: str) -> Floats:
    """Return a column as floats, NaN if a table lacks it: a metric has a column where some run has it."""
    if name not in runs:
        return np.full(len(runs), np.nan)
    return runs[name].to_numpy(dtype=np.float64, na_value=np.nan)
