"""The basis of the verdict on a cell: the arms it compares, one number per seed, and the runs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from normbench.analysis.intervals import Floats
from normbench.claims.designs import Design
from normbench.claims.estimands import REGISTRY, Contrast, MissingCells, check
from normbench.claims.estimands.arms import MeasuredArm
from normbench.claims.estimands.contrast import in_words
from normbench.claims.estimands.records import Records
from normbench.claims.spec import Cell
from normbench.claims.tables import Tables
from normbench.record.columns import FIXED


@dataclass(frozen=True, eq=False)
class Findings:
    """The records of one cell, and its estimand's result.

    Attributes:
        cell: The cell.
        records: Its runs and curves.
        contrast: The number per seed that is judged.
        arms: The arms that the estimand compares, once each.
    """

    cell: Cell
    records: Records
    contrast: Contrast
    arms: tuple[MeasuredArm, ...]


def findings(cell: Cell, design: Design, tables: Tables) -> Findings:
    """Return what the records of a study say about a cell.

    Args:
        cell: The cell.
        design: Its expanded design.
        tables: The records.

    Raises:
        MissingCells: Runs are missing or failed.
        StudyError: The records cannot answer.
    """
    own = set(design.runs)
    runs = tables.runs[tables.runs["run_id"].isin(own)]
    if len(runs) < len(own):
        raise MissingCells([f"{len(own) - len(runs)} of {len(own)} runs"])
    foreign = [name for name in runs.columns if name not in FIXED and runs[name].isna().all()]
    runs = runs.drop(columns=foreign)  # what other cells vary: pandas copies every column at every choice
    records = Records.of(runs, tables.curves)
    contrast = REGISTRY[cell.estimand.name](records, **check(cell.estimand.name, cell.estimand.args))
    seen = {(in_words(dict(one.arm)), one.measured.words, str(one.measure)): one for one in contrast.arms}
    return Findings(cell, records, contrast, tuple(seen.values()))


def values_by_level(contrast: Contrast) -> dict[str, Floats]:
    """Return each level's number per seed, in the order of the seeds; without levels, under an empty name."""
    if isinstance(contrast.values, pd.DataFrame):
        return {str(name): contrast.values[name].to_numpy(dtype=np.float64) for name in contrast.values.columns}
    return {"": np.asarray(contrast.values, dtype=np.float64)}
