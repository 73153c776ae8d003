"""Curves of many runs as one: the mean over the seeds at each step, and its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normbench.analysis.cells import Ints
from normbench.analysis.intervals import Floats, t_interval

COUNT = "n_runs"
"""Tag of the number of runs behind a point; diverged runs drop out early."""

KEYS = ("run", "run_id", "epoch", "step")
"""Columns of a table of curves that are no scalars."""


@dataclass(frozen=True, slots=True)
class Points:
    """Curves of one group.

    Attributes:
        tags: Their tags.
        steps: Ascending, shape (steps,).
        values: Shape (steps, tags); NaN if there is none.
    """

    tags: Sequence[str]
    steps: Ints
    values: Floats


def tag(column: str) -> str:
    """Return the tag of a column of curves.csv, the one that a run's own log has: ``val_loss`` is ``loss/val``."""
    part, _, kind = column.partition("_")
    return f"{kind}/{part}" if part in ("train", "val") and kind else column.replace(".", "/")


def with_interval(mean: str) -> tuple[str, str, str]:
    """Return the tag of a mean and those of the ends of its interval, which TensorBoard lists apart from the means."""
    return mean, f"interval/{mean}_low", f"interval/{mean}_high"


def averages(curves: pd.DataFrame, groups: Ints) -> pd.DataFrame:
    """Average curves over the runs of each group.

    Args:
        curves: One row per run and evaluation, as curves.csv, with the position of its run in the column `run`.
        groups: The group of each run from 0, shape (runs,); a run of group -1 is left out.

    Returns:
        One row per group and step, ordered by both, which are its index. For each scalar its tag (the mean of the
        finite values), with two values or more the ends of its 95 % t interval, and `n_runs`.
    """
    columns = [name for name in curves.columns if name not in KEYS]
    numbers = groups[curves["run"].to_numpy()]
    kept = numbers >= 0
    values = curves.loc[kept, columns].astype(np.float64)
    values = values.where(np.isfinite(values))
    grouped = values.groupby([numbers[kept], curves["step"].to_numpy(dtype=np.int64)[kept]])
    mean, sd, n = grouped.mean(), grouped.std(), grouped.count()
    low, high = t_interval(mean, sd, n)
    parts = {}
    for place, name in enumerate(columns):
        center, below, above = with_interval(tag(name))
        parts[center] = mean[name]
        if name != "lr":  # the seeds share it
            parts[below], parts[above] = low[:, place], high[:, place]
    return pd.DataFrame({**parts, COUNT: grouped.size()})


def by_group(table: pd.DataFrame) -> dict[int, Points]:
    """Return the curves of each group of what `averages` returns."""
    groups, steps = (table.index.get_level_values(level).to_numpy(dtype=np.int64) for level in (0, 1))
    values, starts = table.to_numpy(dtype=np.float64), np.unique(groups, return_index=True)[1]
    ends = np.append(starts, len(groups))[1:]
    return {
        int(groups[start]): Points(list(table.columns), steps[start:end], values[start:end])
        for start, end in zip(starts, ends, strict=True)
    }
