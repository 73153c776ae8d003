"""What an experiment claim's verdict is made of: the arms it compares, a number a seed, and the runs behind it."""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.intervals import Floats
from normbench.analysis.metric_columns import as_shown
from normbench.claims.designs import Design
from normbench.claims.estimands import MEASURES, REGISTRY, Contrast, MissingCells, check
from normbench.claims.estimands.arguments import Measure
from normbench.claims.estimands.choice import Criterion, chosen
from normbench.claims.estimands.contrast import in_words
from normbench.claims.estimands.measures import Measured
from normbench.claims.estimands.records import Arm, Records
from normbench.claims.spec import Claim
from normbench.claims.verdicts import Tables
from normbench.record.columns import FIXED


@dataclass(frozen=True, eq=False)
class ArmSeen:
    """One arm of a comparison.

    Attributes:
        arm: Its config values.
        measure: What was measured of it.
        measured: A number a seed.
        runs: The runs that the seeds are scored on, ordered by seed.
    """

    arm: Arm
    measure: Measure
    measured: Measured
    runs: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Findings:
    """The records of one claim, and what its estimand made of them.

    Attributes:
        claim: The claim.
        records: Its runs and curves.
        contrast: The number a seed that is judged.
        arms: What the estimand asked for, once each.
    """

    claim: Claim
    records: Records
    contrast: Contrast
    arms: tuple[ArmSeen, ...]


@dataclass(frozen=True)
class _Listening:
    """A measure that keeps what it was asked: an estimand itself says which arms it compares."""

    measure: Measure
    heard: list[tuple[Measure, Arm, Measured]]

    @property
    def tuned(self) -> str:
        return self.measure.tuned

    def __call__(self, records: Records, arm: Arm) -> Measured:
        measured = self.measure(records, arm)
        self.heard.append((self.measure, arm, measured))
        return measured


def findings(claim: Claim, design: Design, tables: Tables) -> Findings:
    """Return what the records of a study hold on an experiment claim.

    Args:
        claim: The claim.
        design: Its expanded design.
        tables: The records.

    Raises:
        MissingCells: Runs are missing or failed.
        StudyError: The records cannot answer.
    """
    assert claim.estimand is not None
    own = set(design.runs)
    runs = tables.runs[tables.runs["run_id"].isin(own)]
    if len(runs) < len(own):
        raise MissingCells([f"{len(own) - len(runs)} of {len(own)} runs"])
    foreign = [name for name in runs.columns if name not in FIXED and runs[name].isna().all()]
    runs = runs.drop(columns=foreign)  # what other claims vary: pandas copies every column at every choice
    records = Records.of(runs, tables.curves[tables.curves["run_id"].isin(own)])
    heard: list[tuple[Measure, Arm, Measured]] = []
    given = check(claim.estimand.name, claim.estimand.args)
    listening = {
        name: _Listening(value, heard) if isinstance(value, Measure) else value for name, value in given.items()
    }
    contrast = REGISTRY[claim.estimand.name](records, **listening)
    if not heard:
        heard = [_loss_of(records, given, side) for side in ("treatment", "control")]
    seen = {(in_words(dict(arm)), str(measure)): (measure, arm, found) for measure, arm, found in heard}
    arms = [ArmSeen(arm, measure, found, scored_runs(records, measure, arm)) for measure, arm, found in seen.values()]
    return Findings(claim, records, contrast, tuple(arms))


def _loss_of(records: Records, given: dict[str, Any], side: str) -> tuple[Measure, Arm, Measured]:
    """Return the validation loss of an arm, for an estimand that compares whole curves and measures no arm alone."""
    measure = Measure("tuned_score", {"metric": "val_loss", "over": given.get("over", ("lr",))})
    return measure, given[side], measure(records, given[side])


def argument(measure: Measure, name: str) -> Any:
    """Return an argument of a measure, its default where none is given, and None where it takes no such argument."""
    parameters = inspect.signature(MEASURES[measure.name]).parameters
    return measure.args.get(name, parameters[name].default) if name in parameters else None


def scored_runs(records: Records, measure: Measure, arm: Arm) -> pd.DataFrame:
    """Return the runs that the seeds of an arm are scored on, ordered by seed; of a grid, all of it."""
    over = argument(measure, "over")
    if measure.name == "largest_rate":
        return records.rows(arm, ()).sort_values(["seed", over[0]], kind="stable")
    by: Criterion = argument(measure, "by")
    return chosen(records, arm, over, grid=argument(measure, "grid") or (), by=by)


def measure_words(measure: Measure) -> str:
    """Return what is measured, in words short enough for an axis."""
    metric = argument(measure, "metric")
    if measure.name == "probe":
        column = str(argument(measure, "column")).removeprefix("probe.")
        column = f"|{column}|" if argument(measure, "absolute") else column
        return f"log2 {column}" if argument(measure, "log2") else column
    scored = as_shown(metric) if metric else ""
    return {
        "tuned_score": scored,
        "worst_case": f"worst {scored}",
        "grid_share": "share of the grid that is near the best",
        "largest_rate": "log2 of the largest rate that trains",
        "steps_to_target": "log2 of the steps to the target",
        "trained": "trains (1) or not (0)",
    }.get(measure.name, measure.name)


def values_by_level(contrast: Contrast) -> dict[str, Floats]:
    """Return the number a seed of each level, in the order of the seeds; without levels, under an empty name."""
    if isinstance(contrast.values, pd.DataFrame):
        return {str(name): contrast.values[name].to_numpy(dtype=np.float64) for name in contrast.values.columns}
    return {"": np.asarray(contrast.values, dtype=np.float64)}
