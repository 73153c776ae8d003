"""A probe's scalar as a measure."""

import numpy as np

from normbench.claims.estimands.choice import chosen
from normbench.claims.estimands.contrast import MissingCells, in_words
from normbench.claims.estimands.evaluations import StepChoice
from normbench.claims.estimands.measures import Columns, Measured, of_choices
from normbench.claims.estimands.records import Arm, Records
from normbench.errors import StudyError

_TINY = 2.0**-149
"""The smallest float32: what log2 takes for zero."""


def probe(
    records: Records,
    arm: Arm,
    *,
    column: str,
    step: StepChoice = "last",
    over: Columns = (),
    absolute: bool = False,
    log2: bool = False,
    if_diverged: float | None = None,
) -> Measured:
    """Return a column of curves.csv at a step of the run that the seed chooses.

    Args:
        records: The runs and curves.
        arm: The config values that make the arm.
        column: A probe's scalar.
        step: Its step, or the first or last one, or the mean over all.
        over: The tuned columns.
        absolute: Whether to take the absolute value.
        log2: Whether to take log2, after that; zero counts as the smallest float32.
        if_diverged: What a run counts as that diverged before that step (the last step and the mean being those of
            the whole budget), or whose number there is not finite.

    Raises:
        MissingCells: A finished run lacks the column at that step.
        StudyError: `if_diverged` is needed and not given.
    """
    rows = chosen(records, arm, over)
    own = records.curves.of_probe(rows["run_id"], column, step)
    if (gone := ~rows["run_id"].isin(own["run_id"]) & (rows["status"] == "finished")).any():
        raise MissingCells(
            f"{in_words(dict(arm))}: {column} at step {step} of run {run}" for run in rows["run_id"][gone]
        )
    found = own.groupby("run_id")[column].mean().reindex(rows["run_id"]).set_axis(rows.index)
    if step in ("last", "mean"):
        found = found.where(rows["status"] == "finished")
    found = found.abs() if absolute else found
    found = found.clip(lower=_TINY).map(np.log2) if log2 else found
    lost = ~np.isfinite(found)
    if lost.any() and if_diverged is None:
        run = rows["run_id"][lost].iloc[0]
        raise StudyError(f"run {run} has no finite {column} at step {step}: set if_diverged to the value it counts as")
    words = column.removeprefix("probe.")
    words = f"|{words}|" if absolute else words
    words = f"log2 {words}" if log2 else words
    return of_choices(records, arm, over, rows, found.mask(lost, if_diverged), words)
