"""What changed between two studies: the effects of the cells that both have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from normbench.analysis.cells import Ints, cells, config_columns, factors, require
from normbench.analysis.chance import imputed_values
from normbench.analysis.intervals import Floats, moments, t_interval
from normbench.analysis.metric_columns import metric_columns
from normbench.analysis.summary import count_status
from normbench.analysis.tasks import first_metric
from normbench.errors import ConfigError

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CellChanges:
    """The cells of two studies side by side.

    Attributes:
        rows: One row per cell that both have: `by`; `n_a` and `n_b`, its runs; `design`, which is `paired` where seeds
            are shared, else `unpaired`; `pairs`, the seeds that were compared; `mean_a`, `mean_b` and `change`, their
            difference, with `ci_low` and `ci_high` (95 %); `diverged_a`, `diverged_b`; `equal`, whether every seed has
            the same value in A and B.
        by: The columns that distinguish cells.
        metric: What was compared.
        shared: Whether a run is in a cell that both have: for the runs of A and of B.
        only: How many cells A alone has, and B alone.
        same_runs: How many runs (by run_id) both have.
        same_results: How many of these have identical results, in every digit of every metric.
    """

    rows: pd.DataFrame
    by: tuple[str, ...]
    metric: str
    shared: tuple[Flags, Flags]
    only: tuple[int, int]
    same_runs: int
    same_results: int


def compare_cells(
    first: pd.DataFrame, second: pd.DataFrame, *, by: Sequence[str] | None = None, metric: str | None = None
) -> CellChanges:
    """Compare one metric in every cell that two studies share.

    The change of a cell is the mean of B minus that of A: over the seeds that both have, with Student's interval of the
    seeds' differences; if they share none, over all seeds, with Welch's. A seed counts once, with the mean of its
    runs in the cell; a diverged run counts as chance, a failed one not at all.

    Args:
        first: The runs of A.
        second: The runs of B, with the same columns.
        by: What distinguishes cells; None takes every factor of both together.
        metric: One of `metric_columns`; None takes the first metric on the test part.

    Raises:
        ConfigError: A column or the metric is unknown, or `by` has the seed.
    """
    both = pd.concat([first, second], ignore_index=True)
    if metric is None:
        metric = f"test_{first_metric(both)}"
    else:
        require(metric, metric_columns(both.columns), "metric")
    side = np.repeat([0, 1], [len(first), len(second)])
    names = _columns(both, by)
    numbers, keys = cells(both, names)
    runs = [np.bincount(numbers[side == place], minlength=len(keys)) for place in (0, 1)]
    shared = (runs[0] > 0) & (runs[1] > 0)
    columns = pd.concat(
        [_counts(both, numbers, side, len(keys)), _changes(both, numbers, side, len(keys), metric)], axis=1
    )
    rows = pd.concat([keys, columns], axis=1)[shared].reset_index(drop=True)
    inside = shared[numbers]
    return CellChanges(
        rows=rows,
        by=tuple(names),
        metric=metric,
        shared=(inside[side == 0], inside[side == 1]),
        only=(int(((runs[0] > 0) & ~shared).sum()), int(((runs[1] > 0) & ~shared).sum())),
        **_same(first, second),
    )


def _columns(both: pd.DataFrame, by: Sequence[str] | None) -> list[str]:
    if by is None:
        return factors(both) or ["norm"]
    for name in by:
        require(name, config_columns(both), "column to identify cells by (cells are compared seed by seed)")
    if not by:
        raise ConfigError("--by: got nothing, expected columns such as norm,batch_size.")
    return list(dict.fromkeys(by))


def _counts(both: pd.DataFrame, numbers: Ints, side: Ints, count: int) -> pd.DataFrame:
    columns: dict[str, Ints] = {}
    for place, name in enumerate("ab"):
        here = side == place
        columns[f"n_{name}"] = np.bincount(numbers[here], minlength=count).astype(np.int64)
        columns[f"diverged_{name}"] = count_status(both[here], numbers[here], count, "diverged")
    return pd.DataFrame(columns)[["n_a", "n_b", "diverged_a", "diverged_b"]]


def _changes(both: pd.DataFrame, numbers: Ints, side: Ints, count: int, metric: str) -> pd.DataFrame:
    """Return the numbers of each cell, one row per cell."""
    values = pd.DataFrame({"cell": numbers, "seed": both["seed"].to_numpy(), "side": side})
    values["value"] = imputed_values(both, metric)
    seeds = values.dropna().groupby(["cell", "seed", "side"])["value"].mean().unstack("side").reindex(columns=[0, 1])
    paired = seeds.notna().all(axis=1).to_numpy()
    of = seeds.index.get_level_values("cell").to_numpy(dtype=np.int64)
    a, b = seeds[0].to_numpy(dtype=np.float64), seeds[1].to_numpy(dtype=np.float64)
    pairs = np.bincount(of[paired], minlength=count)
    used = paired | (pairs[of] == 0)  # all seeds of a cell whose studies share none
    n_a, mean_a, variance_a = moments(a[used], of[used], count)
    n_b, mean_b, variance_b = moments(b[used], of[used], count)
    _, change, variance = moments(b[paired] - a[paired], of[paired], count)
    low, high = t_interval(change, np.sqrt(variance), pairs)
    half = _welch(variance_a, variance_b, n_a, n_b)
    gap = mean_b - mean_a
    has_pairs = pairs > 0
    differs = np.bincount(of[paired], weights=a[paired] != b[paired], minlength=count) + np.bincount(
        of[~paired], minlength=count
    )
    return pd.DataFrame(
        {
            "design": np.where(has_pairs, "paired", np.where((n_a > 0) & (n_b > 0), "unpaired", "")),
            "pairs": pairs,
            "mean_a": mean_a,
            "mean_b": mean_b,
            "change": np.where(has_pairs, change, gap),
            "ci_low": np.where(has_pairs, low, gap - half),
            "ci_high": np.where(has_pairs, high, gap + half),
            "equal": has_pairs & (differs == 0),
        }
    )


def _welch(variance_a: Floats, variance_b: Floats, n_a: Ints, n_b: Ints, level: float = 0.95) -> Floats:
    """Return the half-width of Welch's interval; NaN if a side has fewer than two seeds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = variance_a / n_a, variance_b / n_b
        freedom = (a + b) ** 2 / (a**2 / (n_a - 1) + b**2 / (n_b - 1))
        half = np.asarray(stdtrit(freedom, (1 + level) / 2) * np.sqrt(a + b))
    return np.where(a + b == 0, 0.0, half)


def _same(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, int]:
    """Return how many runs both studies have, and how many of them have identical results."""
    told = ["status", *metric_columns(first.columns)]
    a, b = first.set_index("run_id")[told], second.set_index("run_id")[told]
    common = a.index.intersection(b.index)
    a, b = a.loc[common], b.loc[common]
    alike = ((a == b).fillna(False).astype(bool) | (a.isna() & b.isna())).all(axis=1)
    return {"same_runs": len(common), "same_results": int(alike.sum())}
