"""The records as estimands read them: divergence made explicit, failed runs left out, arms selected by their config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any, NewType

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.analysis.chance import chance, finished_values
from normbench.analysis.tasks import Mask, tasks
from normbench.claims.estimands.contrast import MissingCells, in_words
from normbench.claims.estimands.evaluations import Evaluations
from normbench.errors import StudyError
from normbench.metrics import METRICS, metric_column
from normbench.record.columns import FIXED, cell_text

Arm = Mapping[str, Any]
"""Config columns and the value that an arm has there; of a list, any; None is an empty cell."""

Threshold = NewType("Threshold", float)
"""The share of the way from chance to the best value at which a run counts as trained, between 0 and 1."""

HALFWAY = Threshold(0.5)

_RUNNING = {(part, "running") for part in ("train", "val", "test")}
"""Parts and statistics that a run is scored on as it trains; precise statistics may fail where these do not."""


@dataclass(frozen=True, eq=False)
class Records:
    """The runs and curves of one claim.

    Attributes:
        runs: One row per run that did not fail, in a fresh index. A finished run that lacks a score of its task has the
            status `diverged`.
        curves: Their evaluations; rows of other runs do no harm.
        seeds: Every seed of the claim's runs, ascending, those that failed included.
    """

    runs: pd.DataFrame
    curves: Evaluations
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, runs: pd.DataFrame, curves: Evaluations) -> "Records":
        """Return the records of a claim's runs.

        Args:
            runs: As `load_runs` returns them, only those of the claim.
            curves: Those of the study.

        Raises:
            StudyError: A run occurs twice, or a run that should have an accuracy does not say how many classes its
                data have.
        """
        if runs["run_id"].duplicated().any():
            raise StudyError(f"run {runs['run_id'][runs['run_id'].duplicated()].iloc[0]} occurs twice")
        kept = runs[runs["status"] != "failed"].reset_index(drop=True)
        broken = np.zeros(len(kept), dtype=np.bool_)
        for first, own in tasks(kept):
            rows = kept[own]
            unknown = np.isnan(chance(rows, "train_accuracy"))
            if first == "accuracy" and unknown.any():
                raise StudyError(f"run {rows['run_id'][unknown].iloc[0]} has no num_classes")
            broken[own] = rows[_scores(rows, first)].isna().any(axis=1)
        seeds = tuple(sorted(int(seed) for seed in runs["seed"].unique()))
        return cls(kept.assign(status=kept["status"].mask(broken, "diverged")), curves, seeds)

    def rows(self, arm: Arm, over: Sequence[str]) -> pd.DataFrame:
        """Return the runs of an arm, after checking that all seeds have the same points.

        Args:
            arm: The config values that make the arm.
            over: The columns that vary within it.

        Raises:
            MissingCells: The arm has no run, or a seed lacks one.
        """
        chosen = np.ones(len(self.runs), dtype=np.bool_)
        for key, value in arm.items():
            chosen &= self._has(key, value)
        rows = self.runs[chosen]
        if rows.empty:
            raise MissingCells([f"{in_words(dict(arm))}, every seed"])
        names = [name for name in over if name in rows.columns]
        there = set(zip(*(_keys(rows[name]) for name in [*names, "seed"]), strict=True))
        points = sorted({point[:-1] for point in there}, key=str)
        lacking = [(point, seed) for point, seed in product(points, self.seeds) if (*point, seed) not in there]
        if lacking:
            cells = [{**arm, **dict(zip(names, point, strict=True)), "seed": seed} for point, seed in lacking]
            raise MissingCells(map(in_words, cells))
        return rows

    def _has(self, key: str, value: Any) -> Mask:
        if isinstance(value, list | tuple):
            return reduce(np.logical_or, (self._has(key, one) for one in value))
        if key not in self.runs.columns:  # no run of the study has it off its default
            return np.full(len(self.runs), value is None)
        column = self.runs[key]
        if value is None:
            return column.isna().to_numpy(dtype=np.bool_)
        if is_bool_dtype(column) or is_numeric_dtype(column):
            equal = column == value if isinstance(value, bool | int | float) else column.isna() & False
        else:
            equal = column == cell_text(value)
        mask: Mask = equal.fillna(False).to_numpy(dtype=np.bool_)
        return mask


def _scores(runs: pd.DataFrame, first: str) -> list[str]:
    """Return the columns that every run of a task has when it finishes: a fixed one, or one that another run has.

    Args:
        runs: The runs of one task.
        first: Its first metric; accuracy has fixed columns, which mean nothing to other tasks.
    """
    found = {name: metric_column(name) for name in map(str, runs)}
    own = {name: column.metric for name, column in found.items() if column and column[::2] in _RUNNING}
    return [
        name
        for name, metric in own.items()
        if (name in FIXED and metric in ("loss", first)) or runs[name].notna().any()
    ]


def is_trained(runs: pd.DataFrame, threshold: Threshold = HALFWAY) -> "pd.Series[bool]":
    """Return which runs finished with the first training metric of their task above a threshold.

    For accuracy, halfway is ``(1 / C + 1) / 2``. A metric without a best value has to be better than chance; where
    chance is not known, every run that finished is trained.

    Args:
        runs: One row per run.
        threshold: The share of the way from chance to the best value.

    Raises:
        StudyError: Another threshold than halfway, for a metric without a best value.
    """
    beyond = np.zeros(len(runs), dtype=np.bool_)
    for first, own in tasks(runs):
        rows, column = runs[own], f"train_{first}"
        metric, guess = METRICS[first], chance(rows, column)
        if metric.best is None and threshold != HALFWAY:
            raise StudyError(f"{column} has no best value, so there is no threshold of {threshold:g}: omit it")
        # Halves are exact: at 0.5 this is (chance + best) / 2 to the bit.
        limit = guess if metric.best is None else (1 - threshold) * guess + threshold * metric.best
        beyond[own] = np.isnan(guess) | (metric.sign * finished_values(rows, column) > metric.sign * limit)
    return (runs["status"] == "finished") & beyond


def has_collapsed(runs: pd.DataFrame, threshold: Threshold = HALFWAY) -> "pd.Series[bool]":
    """Return which runs should have trained and did not; of runs with a single step, which diverged."""
    single = (runs["steps"] == 1).fillna(False)
    return ~is_trained(runs, threshold) & ((runs["status"] != "finished") | ~single)


def _keys(column: "pd.Series[Any]") -> list[Any]:
    return [None if pd.isna(value) else value for value in column.tolist()]
