"""Compares norms: each with every setting of the other factors, at the rate that its seeds choose."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from normbench.analysis.cells import Ints, cells, factors
from normbench.analysis.select import arm_columns, best
from normbench.dashboard.naming import names

TUNED = "lr"
"""What each seed chooses on its own validation set, if it varies."""


@dataclass(frozen=True, slots=True)
class ComparedArms:
    """Which runs are compared.

    Attributes:
        norms: Names of the norms; norms with different `norm.*` values count as different.
        settings: Names of the settings of all other factors; one empty name where there are none.
        groups: The place of each run in norms x settings, row by row, shape (runs,); -1 where it was not chosen.
        tuned: Whether seeds had a rate to choose.
    """

    norms: list[str]
    settings: list[str]
    groups: Ints
    tuned: bool


def arms(runs: pd.DataFrame) -> ComparedArms:
    """Return norms and settings, and the runs that each seed of each has chosen.

    Args:
        runs: One row per run, numbered from 0.

    Raises:
        StudyError: If a run has no validation metric to choose by.
    """
    tuned = TUNED in factors(runs)
    chosen = best(runs, [TUNED]) if tuned else runs[runs["status"] != "failed"]
    lines = norm_columns(runs)
    others = [name for name in arm_columns(runs, [TUNED]) if name not in lines]
    norm, norm_rows = cells(chosen, lines)
    setting, setting_rows = cells(chosen, others)
    groups = np.full(len(runs), -1, dtype=np.int64)
    groups[chosen.index.to_numpy()] = norm * max(len(setting_rows), 1) + setting
    return ComparedArms(names(norm_rows, "norm"), names(setting_rows, "rest") if others else [""], groups, tuned)


def norm_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns that distinguish norms."""
    return ["norm", *(name for name in factors(runs) if name.startswith("norm."))]
