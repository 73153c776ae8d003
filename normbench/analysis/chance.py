"""What a run without skill scores, which is what a diverged run counts as."""

import numpy as np
import pandas as pd

from normbench.analysis.intervals import Floats


def finished_values(runs: pd.DataFrame, metric: str) -> Floats:
    """Return the metric of the finished runs, and NaN for all others."""
    values = runs[metric].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(runs["status"] == "finished", values, np.nan)


def chance(runs: pd.DataFrame, metric: str) -> Floats:
    """Return a metric of guessing among C classes: accuracy ``1 / C``, loss ``ln C``, NaN for anything else."""
    classes = runs["num_classes"].to_numpy(dtype=np.float64, na_value=np.nan)
    if "accuracy" in metric:
        return 1 / classes
    return np.log(classes) if metric.endswith("loss") else np.full(len(runs), np.nan)


def imputed_values(runs: pd.DataFrame, metric: str) -> Floats:
    """Return the metric of the finished runs, chance for the diverged ones, and NaN for the failed ones."""
    return np.where(runs["status"] == "diverged", chance(runs, metric), finished_values(runs, metric))
