"""The rows of doses.csv: the curve of a claim over the dose of which its primary contrast is one point."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from normbench.claims.estimands.contrast import Contrast
from normbench.claims.estimands.curve import Scalar, curve
from normbench.claims.signed_rank import hodges_lehmann, interval
from normbench.claims.spec import Estimand

DOSE_COLUMNS = (
    "claim", "cell", "curve", "dose", "effect", "unit", "ci_low", "ci_high", "n_seeds", "n_collapsed", "primary",
    "reason",
)  # fmt: skip
"""Of doses.csv, in order. Intervals are of 95 % and unadjusted: only the primary point is judged, in verdicts.csv."""


class DoseCurve(Protocol):
    """A curve as a claim's YAML gives it."""

    @property
    def argument(self) -> Sequence[str | int]:
        """Where the dose is among the arguments of the estimand."""

    @property
    def values(self) -> Sequence[Scalar]:
        """The doses."""

    @property
    def label(self) -> str:
        """The name of the dose."""


def dose_rows(
    claim: str,
    cell: str,
    estimand: Estimand,
    unit: str,
    dose_curve: DoseCurve,
    *,
    runs: pd.DataFrame,
    curves: pd.DataFrame,
    seeds: Sequence[int] | None = None,
) -> list[dict[str, object]]:
    """Return the rows of one curve of one cell.

    Args:
        claim: The claim's id.
        cell: The cell's name.
        estimand: Its primary contrast.
        unit: What the effect is measured in.
        dose_curve: The curve.
        runs: The runs of the cell's design and no others.
        curves: The study's curves.csv.
        seeds: The seeds that the verdict is taken over; None takes all.

    Returns:
        One row per dose, or per dose and level where the estimand has levels; a dose that the records cannot answer has
        a reason instead of an effect.
    """
    rows: list[dict[str, object]] = []
    for dose in curve(estimand.name, estimand.args, dose_curve.argument, dose_curve.values, runs, curves):
        row: dict[str, object] = dict.fromkeys(DOSE_COLUMNS)
        row |= {"claim": claim, "cell": cell, "curve": dose_curve.label, "dose": dose.value, "unit": unit}
        row |= {"primary": dose.primary, "reason": dose.reason}
        if dose.contrast is None:
            rows.append(row)
            continue
        for level, numbers in typical(dose.contrast, seeds):
            rows.append(row | {"curve": f"{dose_curve.label}, {level}" if level else dose_curve.label} | numbers)
    return rows


def typical(contrast: Contrast, seeds: Sequence[int] | None = None) -> Iterator[tuple[str, dict[str, float | int]]]:
    """Yield each level of a contrast, empty if it has none, with typical effect and unadjusted 95 % interval.

    Args:
        contrast: The contrast.
        seeds: The seeds to take; None takes all.
    """
    chosen = list(contrast.collapsed.index if seeds is None else seeds)
    values = contrast.values.loc[chosen]
    levels = values if isinstance(values, pd.DataFrame) else values.to_frame("")
    counts = {"n_seeds": len(chosen), "n_collapsed": int(contrast.collapsed.loc[chosen].sum())}
    for level in levels:
        own = levels[level].to_numpy(dtype=np.float64)
        low, high = interval(own)
        yield str(level), {"effect": float(hodges_lehmann(own)), "ci_low": float(low), "ci_high": float(high), **counts}
