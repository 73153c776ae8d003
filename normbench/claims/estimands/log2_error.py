"""The error of a tuned run in octaves, for arms of which none is far from perfect."""

from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.cells import config_columns
from normbench.analysis.chance import finished_values
from normbench.analysis.intervals import Floats
from normbench.analysis.metric_columns import metric_of
from normbench.claims.estimands.choice import TEST_ACCURACY, Criterion, ShareColumn, chosen, score
from normbench.claims.estimands.measures import Columns, Measured, Positive, of_choices
from normbench.claims.estimands.records import Arm, Records
from normbench.errors import StudyError

_ACCURACY = ShareColumn(TEST_ACCURACY)

_PRECISION = 1e-9
"""Of a share in the tables, which have nine digits."""

_MOST_SAMPLES = 100_000
"""Beyond it, multiples of one sample are too close together to be told apart in nine digits."""


def log2_error(
    records: Records,
    arm: Arm,
    *,
    metric: ShareColumn = _ACCURACY,
    over: Columns = ("lr",),
    by: Criterion = None,
    samples: Positive | None = None,
) -> Measured:
    """Return minus log2 of the share of errors of the run that each seed chooses: one more is half the errors.

    A run without errors counts as half an error. The tables do not have the number of samples: where it is not given
    and needed, it is the smallest number of which every score in this column on the same data is a whole multiple of
    one. That is the number of samples or a divisor of it, so that a perfect run is never made better than it is.

    Args:
        records: The runs.
        arm: The config values that make the arm.
        metric: The column, of a share.
        over: The tuned columns.
        by: What a seed chooses by, as in `tuned_score`.
        samples: The number of samples of the part.

    Raises:
        StudyError: A run has no errors, and the scores are no counts of samples.
    """
    rows = chosen(records, arm, over, by=by)
    errors = 1 - score(rows, metric) / metric_of(metric).scale
    perfect = errors < _PRECISION
    if perfect.any():
        errors[perfect] = rows[perfect].apply(lambda run: 0.5 / (samples or _samples(records, run, metric)), axis=1)
    return of_choices(records, arm, over, rows, -errors.map(np.log2), f"minus log2 of the errors in {metric}")


def _samples(records: Records, run: "pd.Series[Any]", metric: str) -> int:
    """Return the number of samples that the scores of all runs on the data of one are counts of."""
    same = np.ones(len(records.runs), dtype=np.bool_)
    for name in config_columns(records.runs):
        if name == "data" or name.startswith("data."):
            column = records.runs[name]
            same &= (column.isna() if pd.isna(run[name]) else column == run[name]).to_numpy(dtype=np.bool_)
    scores = finished_values(records.runs[same], metric)
    number = smallest_count(scores[np.isfinite(scores)])
    if number is None:
        raise StudyError(
            f"run {run['run_id']} has no error in {metric}, whose values are no counts: set samples to the number of "
            f"samples that it is taken over"
        )
    return number


def smallest_count(shares: Floats) -> int | None:
    """Return the smallest n for which all shares are multiples of 1 / n, or None if there is none."""
    counts = np.arange(1, _MOST_SAMPLES + 1)
    for share in np.unique(shares):
        exact = share * counts
        counts = counts[np.abs(exact - np.rint(exact)) <= _PRECISION * counts]
    return int(counts[0]) if len(counts) else None
