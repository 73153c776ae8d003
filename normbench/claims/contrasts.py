"""Exploratory contrasts: further numbers of the runs of a cell, which decide nothing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from normbench.claims.designs import Design, kept
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
    rows: list[dict[str, object]] = []
    for cell in (cell for claim in claims.values() for cell in claim.cells if cell.exploratory):
        try:
            design = kept(study, cell)
        except StudyError:
            continue  # Its verdict says why.
        if design is not None and not design.quick:
            rows += [row for extra in cell.exploratory for row in _rows(cell, extra, design, tables)]
    return rows


def _rows(cell: Cell, extra: Exploratory, design: Design, tables: Tables) -> Iterator[dict[str, object]]:
    row: dict[str, object] = dict.fromkeys(CONTRAST_COLUMNS)
    row |= {"claim": cell.claim, "cell": cell.name, "contrast": extra.label, "unit": extra.unit}
    try:
        contrast = contrast_of(extra.estimand, design, tables)
    except StudyError as error:
        yield row | {"reason": str(error)}
        return
    values = np.atleast_2d(contrast.values.to_numpy(dtype=np.float64).T)
    names = contrast.values.columns if isinstance(contrast.values, pd.DataFrame) else [""]
    for name, own in zip(names, values, strict=True):
        low, high = interval(own)
        label = f"{extra.label}, {name}" if name else extra.label
        numbers = {"effect": float(hodges_lehmann(own)), "ci_low": float(low), "ci_high": float(high)}
        counts = {"n_seeds": len(own), "n_collapsed": int(contrast.collapsed.sum())}
        yield row | {"contrast": label} | numbers | counts
