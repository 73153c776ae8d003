"""`normbench claims calibrate`: runs the whole procedure on cases whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd

from normbench.analysis.summary import csv_text
from normbench.claims.calibration import SEEDS, Rate, compare_with_itself, simulate
from normbench.claims.estimands import MEASURES
from normbench.claims.estimands.records import Records
from normbench.claims.evidence import Evidence, Verdict
from normbench.claims.judge import judge_family
from normbench.claims.spec import Cell, Estimand, Over
from normbench.claims.tables import Tables
from normbench.commands.claiming import Request, carry_out, first_look
from normbench.errors import StudyError
from normbench.record.files import write_whole
from normbench.record.store import Study
from normbench.report.power import power_curve

POOL_SEEDS = range(2000, 2512)
"""Seeds for comparing an arm with itself; no claim uses them."""

POOL = Cell(
    "pool",
    "",
    "An arm is better than itself.",
    "digits",
    (("norm=batch", "batch_size=32", "steps=100", "eval_every=100"),),
    Over("lr", -9, -1, 2),
    Estimand("difference", {"measure": {"name": "tuned_score"}, "treatment": {"norm": "batch"}, "control": {}}),
    "greater",
    0.0,
    "accuracy points",
)
BROKEN = Cell(
    "broken",
    "",
    "Batch norm is better than batch norm whose running statistics stay where they began.",
    "digits",
    (("norm=batch", "norm.momentum=0.1,0", "batch_size=32", "steps=100", "eval_every=100", "lr=0.03125"),),
    None,
    Estimand(
        "difference",
        {
            "measure": {"name": "tuned_score", "over": []},
            "treatment": {"norm.momentum": 0.1},
            "control": {"norm.momentum": 0.0},
        },
    ),
    "greater",
    1.0,
    "accuracy points",
)


def calibrate(request: Request, *, families: int) -> tuple[list[Rate], list[Verdict]]:
    """Judge cases with known answers; write calibration.csv and its power curve, calibration.svg.

    Args:
        request: Where the runs go; a family has as many cells as its catalogue.
        families: Simulated families of each scenario.

    Returns:
        How often verdicts were false, or true; and the verdicts on a broken batch norm. Running statistics must show
        that it is broken, precise statistics must not.
    """
    cells = sum(len(claim.cells) for claim in request.claims.values())
    Study(request.study).create()
    pool = _runs(request, POOL, POOL_SEEDS)
    scores = MEASURES["tuned_score"](Records.of(pool.runs, pool.curves), {"norm": "batch"}).values
    rates = [*simulate(families, cells), *compare_with_itself(np.asarray(scores, dtype=np.float64), families)]
    write_whole(request.study / "calibration.csv", [csv_text(pd.DataFrame([rate.row() for rate in rates]))])
    write_whole(request.study / "calibration.svg", [power_curve(rates)])
    return rates, _broken(request)


def _broken(request: Request) -> list[Verdict]:
    tables = _runs(request, BROKEN, range(SEEDS))
    found: list[Evidence] = []
    for metric in ("test_accuracy", "test_accuracy_precise"):
        measure = MEASURES["tuned_score"]
        records = Records.of(tables.runs, tables.curves)
        sound, broken = (
            measure(records, {"norm.momentum": momentum}, metric=metric, over=()).values for momentum in (0.1, 0.0)
        )
        values = np.asarray(sound - broken, dtype=np.float64)
        found.append(Evidence(f"broken by {metric}", "greater", 1.0, values=values, unit="accuracy points"))
    return judge_family(found)


def _runs(request: Request, cell: Cell, seeds: range) -> Tables:
    """Train a design, and return only its rows."""
    session, planned = request.session([(cell, replace(first_look(cell), seeds=tuple(seeds)))])
    if failed := carry_out(session, planned):
        raise StudyError(failed[0])
    tables = Tables.of(request.study)
    return replace(tables, runs=tables.runs[tables.runs["run_id"].isin(list(session.plan.runs))])
