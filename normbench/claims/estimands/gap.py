"""The generalisation gap of two arms that fit their training data equally well."""

from dataclasses import replace

import numpy as np
import pandas as pd

from normbench.analysis.chance import chance
from normbench.analysis.metric_columns import as_shown
from normbench.claims.estimands.arguments import Measure
from normbench.claims.estimands.arms import MeasuredArm
from normbench.claims.estimands.choice import MetricName
from normbench.claims.estimands.contrast import Contrast, MissingCells, in_words
from normbench.claims.estimands.measures import Columns
from normbench.claims.estimands.records import Arm, Records
from normbench.metrics import METRICS

LOSS = MetricName("loss")


def matched_gap(
    records: Records,
    *,
    treatment: Arm,
    control: Arm,
    over: Columns = ("lr",),
    metric: MetricName = LOSS,
) -> Contrast:
    """Return how much smaller the treatment's gap is than the control's at the same training loss.

    The training loss is the lowest that both chosen runs of a seed have reached; each is read where it first came down
    to it, between evaluations by linear interpolation. The gap is how much worse the metric is in validation than in
    training: of the loss in nats, of a share in points of 100.

    Args:
        records: The runs and curves.
        treatment: The arm that the claim says generalises better.
        control: The arm it is compared with.
        over: The tuned columns.
        metric: What the gap is measured in.

    Raises:
        MissingCells: An arm lacks runs, or a chosen run its curve.
    """
    measure = Measure("tuned_score", {"metric": f"val_{metric}", "over": over})
    arms = (treatment, control)
    measured = [measure(records, arm) for arm in arms]
    curves = [_curves(records, one.rows, arm, metric) for one, arm in zip(measured, arms, strict=True)]
    gaps: list[dict[int, float]] = [{}, {}]
    for seed in records.seeds:
        pair = [by_seed[seed] for by_seed in curves]
        level = max(curve["train_loss"].min() for curve in pair)
        for own, curve in zip(gaps, pair, strict=True):
            own[seed] = _gap_at(curve, level)
    values = [pd.Series(own, dtype="float64").rename_axis("seed") for own in gaps]
    words = f"gap of {as_shown(f'val_{metric}').removeprefix('val_')} at equal training loss"
    seen = [replace(one, values=own, words=words) for one, own in zip(measured, values, strict=True)]
    return Contrast(
        values=values[1] - values[0],
        collapsed=seen[0].collapsed | seen[1].collapsed,
        edges=tuple(sorted({edge for one in seen for edge in one.edges})),
        arms=tuple(MeasuredArm(arm, one, measure) for arm, one in zip(arms, seen, strict=True)),
    )


def _curves(records: Records, rows: pd.DataFrame, arm: Arm, metric: str) -> dict[int, pd.DataFrame]:
    """Return training loss and gap of each seed's chosen run by step; a diverged run stays at chance from the start."""
    own = records.curves.of_runs(rows["run_id"], ["train_loss", f"train_{metric}", f"val_{metric}"]).dropna()
    known = METRICS[metric]
    own = own.assign(gap=-known.sign * known.scale * (own[f"val_{metric}"] - own[f"train_{metric}"]))
    by_run = dict(iter(own[["train_loss", "gap"]].groupby(own["run_id"])))
    found = {}
    columns = (rows[name].tolist() for name in ("run_id", "seed", "status"))
    for run_id, seed, status, guess in zip(*columns, chance(rows, "train_loss"), strict=True):
        if status == "finished" and run_id not in by_run:
            raise MissingCells([f"{in_words(dict(arm))}: the curve of run {run_id}"])
        unskilled = pd.DataFrame({"train_loss": [guess], "gap": [0.0]})
        found[seed] = by_run[run_id] if status == "finished" else unskilled
    return found


def _gap_at(curve: pd.DataFrame, level: float) -> float:
    """Return the gap where the training loss first comes down to a level, which it reaches."""
    losses, gaps = curve["train_loss"].to_numpy(dtype=np.float64), curve["gap"].to_numpy(dtype=np.float64)
    after = int(np.argmax(losses <= level))
    if after == 0:
        return float(gaps[0])
    share = (losses[after - 1] - level) / (losses[after - 1] - losses[after])
    return float(gaps[after - 1] + share * (gaps[after] - gaps[after - 1]))
