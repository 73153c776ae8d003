"""`normbench claims calibrate`: runs the whole procedure on cases whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd

from normbench.analysis.summary import csv_text
from normbench.claims.calibration import SEEDS, Rate, compare_with_itself, simulate
from normbench.claims.estimands import MEASURES
from normbench.claims.estimands.records import Records
from normbench.claims.judge import Evidence, Verdict, judge_family
from normbench.claims.spec import Claim, Over
from normbench.claims.verdicts import Tables
from normbench.commands.claiming import Request, carry_out
from normbench.errors import StudyError
from normbench.record.files import write_whole
from normbench.record.store import Study
from normbench.report.power import power_curve

POOL_SEEDS = range(2000, 2256)
"""Seeds for comparing an arm with itself; no claim uses them."""

POOL = Claim(
    "pool",
    "experiment",
    "An arm that is compared with itself.",
    (),
    "open",
    "",
    design=(("norm=batch", "batch_size=32", "steps=100", "eval_every=100"),),
    over=Over("lr", -9, -1, 2),
)
BROKEN = Claim(
    "broken",
    "experiment",
    "Batch norm whose running statistics stay where they began.",
    (),
    "open",
    "",
    design=(("norm=batch", "norm.momentum=0.1,0", "batch_size=32", "steps=100", "eval_every=100", "lr=0.03125"),),
)


def calibrate(request: Request, *, families: int) -> tuple[list[Rate], list[Verdict]]:
    """Judge cases with known answers; write calibration.csv and its power curve, calibration.svg.

    Args:
        request: Where the runs go; a family has as many claims as its catalogue has experiment claims.
        families: Simulated families of each scenario.

    Returns:
        How often verdicts were false, or true; and the verdicts on a broken batch norm. Running statistics must show
        that it is broken, precise statistics must not.
    """
    claims = sum(claim.kind == "experiment" for claim in request.claims.values())
    Study(request.study).create()
    pool = _runs(request, POOL, POOL_SEEDS)
    scores = MEASURES["tuned_score"](Records.of(pool.runs, pool.curves), {"norm": "batch"}).values
    rates = [*simulate(families, claims), *compare_with_itself(np.asarray(scores, dtype=np.float64), families)]
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


def _runs(request: Request, claim: Claim, seeds: range) -> Tables:
    """Train a design, and return only its rows."""
    session = request.session(claim, seeds, claim.over)
    if failed := carry_out(session, claim):
        raise StudyError(failed[0])
    tables = Tables.of(request.study)
    return replace(tables, runs=tables.runs[tables.runs["run_id"].isin(list(session.plan.runs))])
