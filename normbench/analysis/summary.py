"""One row per cell: how many runs, and the mean, spread and interval of every metric."""

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype

from normbench.analysis.cells import Ints, cells
from normbench.analysis.chance import finished_values, imputed_values
from normbench.analysis.intervals import Floats, moments, t_interval
from normbench.analysis.metric_columns import metric_columns
from normbench.record.columns import STATUSES
from normbench.record.files import write_whole


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """Return `summary.csv`: one row per cell, ordered by its config.

    Args:
        runs: One row per run, as `load_runs` returns them.

    Returns:
        The cell's config, `n` (all its runs), `n_finished`, `n_diverged`, `n_failed`, `n_reached_target`, and for each
        metric m the columns `m_mean_finished`, `m_mean_chance_imputed`, `m_sd`, `m_ci_low` and `m_ci_high`.
    """
    numbers, keys = cells(runs)
    columns = {f"n_{status}": count_status(runs, numbers, len(keys), status) for status in STATUSES}
    columns["n_reached_target"] = _counts(numbers, len(keys), ~np.isnan(finished_values(runs, "steps_to_target")))
    statistics = {
        f"{metric}_{name}": values
        for metric in metric_columns(runs.columns)
        for name, values in metric_statistics(runs, numbers, len(keys), metric).items()
    }
    n = _counts(numbers, len(keys), np.ones(len(runs), dtype=np.bool_))
    return pd.concat([keys, pd.DataFrame({"n": n, **columns, **statistics})], axis=1)


def metric_statistics(runs: pd.DataFrame, numbers: Ints, count: int, metric: str) -> dict[str, Floats]:
    """Return the statistics of one metric, each an array of shape (count,).

    Args:
        runs: One row per run.
        numbers: The group in 0 to count - 1 of each run.
        count: How many groups there are.
        metric: One of `metric_columns`.

    Returns:
        `mean_finished`, `mean_chance_imputed`, and of the finished runs `sd`, `ci_low` and `ci_high` (95 % t interval).
        Steps to a target have no chance level: there both means are over the runs that reached it.
    """
    n, mean, variance = moments(finished_values(runs, metric), numbers, count)
    sd = np.sqrt(variance)
    imputed = moments(imputed_values(runs, metric), numbers, count)[1]
    with np.errstate(invalid="ignore"):  # an infinite loss has no interval
        low, high = t_interval(mean, sd, n)
    return {"mean_finished": mean, "mean_chance_imputed": imputed, "sd": sd, "ci_low": low, "ci_high": high}


def count_status(runs: pd.DataFrame, numbers: Ints, count: int, status: str) -> Ints:
    """Return how many runs of each group ended with this status, shape (count,)."""
    return _counts(numbers, count, (runs["status"] == status).to_numpy(dtype=np.bool_))


def write_summary(runs: pd.DataFrame, path: Path) -> None:
    """Write `summarize(runs)` as CSV, atomically.

    Raises:
        StudyError: If it cannot be written.
    """
    write_whole(path, [csv_text(summarize(runs))])


def csv_text(frame: pd.DataFrame) -> str:
    """Return a table as CSV with every digit, missing values empty and booleans as in the other files."""
    flags = [name for name in frame.columns if is_bool_dtype(frame[name])]
    written = frame.assign(**{name: frame[name].map({True: "true", False: "false"}) for name in flags})
    return written.to_csv(index=False, lineterminator="\n")


def _counts(numbers: Ints, count: int, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Ints:
    return np.bincount(numbers[chosen], minlength=count).astype(np.int64)
