"""Exploratory contrasts: further numbers of the runs of a cell, which decide nothing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from normbench.claims.designs import Design, designs
from normbench.claims.estimands.contrast import Contrast
from normbench.claims.signed_rank import hodges_lehmann, interval
from normbench.claims.spec import Cell, Claim, Exploratory
from normbench.claims.tables import Tables, contrast_of
from normbench.errors import StudyError

CONTRAST_COLUMNS = (
    "claim",
    "contrast",
    "effect",
    "unit",
    "ci_low",
    "ci_high",
    "n_seeds",
    "n_collapsed",
    "reason",
    "cell",
)
"""Of contrasts.csv, the exploratory contrasts: they decide nothing, and their error rate is not controlled."""


def contrast_rows(study: Path, claims: Mapping[str, Claim], tables: Tables) -> list[dict[str, object]]:
    """Return the rows of contrasts.csv: typical effect and unadjusted 95 % interval of each exploratory contrast."""
    return [
        row
        for cell, design in designs(study, claims)
        for extra in cell.exploratory
        for row in _rows(cell, extra, design, tables)
    ]


def _rows(cell: Cell, extra: Exploratory, design: Design, tables: Tables) -> Iterator[dict[str, object]]:
    row: dict[str, object] = dict.fromkeys(CONTRAST_COLUMNS)
    row |= {"claim": cell.claim, "cell": cell.name, "contrast": extra.label, "unit": extra.unit}
    try:
        contrast = contrast_of(extra.estimand, design, tables)
    except StudyError as error:
        yield row | {"reason": str(error)}
        return
    for level, numbers in typical(contrast):
        yield row | {"contrast": f"{extra.label}, {level}" if level else extra.label} | numbers


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
