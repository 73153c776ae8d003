"""The records as estimands read them: divergence made plain, failed runs left out, arms picked by their config."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from normbench.claims.estimands.contrast import MissingCells, in_words
from normbench.errors import StudyError
from normbench.record.columns import cell_text

Arm = Mapping[str, Any]
"""Config columns and the value that an arm has there; of a list, any; None is an empty cell."""

Mask = NDArray[np.bool_]

_SCORES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy")


@dataclass(frozen=True, eq=False)
class Records:
    """The runs and curves of one claim.

    Attributes:
        runs: One row a run that did not fail, in a fresh index. A finished run with a NaN score has the status
            `diverged`.
        curves: One row a run and evaluation.
        seeds: Every seed of the claim's runs, ascending, those that failed included.
    """

    runs: pd.DataFrame
    curves: pd.DataFrame
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, runs: pd.DataFrame, curves: pd.DataFrame) -> "Records":
        """Return the records of a claim's runs.

        Args:
            runs: As `load_runs` returns them, only those of the claim.
            curves: As `load_curves` returns them.

        Raises:
            StudyError: A run is there twice, or a run does not say how many classes its data have.
        """
        if runs["run_id"].duplicated().any():
            raise StudyError(f"run {runs['run_id'][runs['run_id'].duplicated()].iloc[0]} is there twice")
        kept = runs[runs["status"] != "failed"].reset_index(drop=True)
        if kept["num_classes"].isna().any():
            raise StudyError(f"run {kept['run_id'][kept['num_classes'].isna()].iloc[0]} has no num_classes")
        broken = kept[list(_SCORES)].isna().any(axis=1)
        seeds = tuple(sorted(int(seed) for seed in runs["seed"].unique()))
        return cls(kept.assign(status=kept["status"].mask(broken, "diverged")), curves, seeds)

    def rows(self, arm: Arm, over: Sequence[str]) -> pd.DataFrame:
        """Return the runs of an arm, having seen that each seed has all that some seed has.

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


def is_trained(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return which runs ended with finite numbers and a training accuracy above halfway from chance to 1."""
    halfway = (1 + 1 / runs["num_classes"].astype("float64")) / 2
    return (runs["status"] == "finished") & (runs["train_accuracy"] > halfway)


def has_collapsed(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Return which runs were to train and did not; of those of a single step, which diverged."""
    single = (runs["steps"] == 1).fillna(False)
    return ~is_trained(runs) & ((runs["status"] != "finished") | ~single)


def _keys(column: "pd.Series[Any]") -> list[Any]:
    return [None if pd.isna(value) else value for value in column.tolist()]
