"""The records of a study as claims read them."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from normbench.analysis.folders import table_path
from normbench.analysis.study import load_runs, read_curves
from normbench.claims.designs import Design
from normbench.claims.estimands import Contrast, MissingCells, evaluate
from normbench.claims.estimands.evaluations import Evaluations
from normbench.claims.spec import Estimand


@dataclass(frozen=True, eq=False)
class Tables:
    """The records of a study, as far as claims need them."""

    runs: pd.DataFrame
    curves: Evaluations

    @classmethod
    def of(cls, study: Path) -> "Tables":
        """Read the tables of a study; one that has none yet has no runs.

        Raises:
            StudyError: If they are damaged; the message names file and line.
        """
        if not table_path(study, "runs.csv").exists():
            return cls(pd.DataFrame({"run_id": []}), Evaluations([]))
        return cls(load_runs(study), Evaluations(read_curves(study)))


def contrast_of(estimand: Estimand, design: Design, tables: Tables) -> Contrast:
    """Return an estimand computed from the runs of a design only.

    Raises:
        MissingCells: Runs of the design have no record, or failed.
        StudyError: The records cannot answer.
    """
    runs = tables.runs[tables.runs["run_id"].isin(design.runs)]
    if len(runs) < len(design.runs):
        lacking = sorted(set(design.runs) - set(runs["run_id"]))
        raise MissingCells([f"{len(lacking)} of {len(design.runs)} runs, the first {lacking[0]}"])
    return evaluate(estimand.name, estimand.args, runs, tables.curves)
