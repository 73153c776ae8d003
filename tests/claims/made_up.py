"""Made-up records, and estimands of them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from normbench.claims.estimands import Contrast, evaluate
from normbench.claims.estimands.evaluations import Evaluations
from normbench.record.columns import CURVES, FIXED

DEFAULTS: dict[str, Any] = {
    "study": "mine",
    "status": "finished",
    "model": "mlp",
    "norm": "batch",
    "data": "digits",
    "batch_size": 32,
    "lr": 0.5,
    "seed": 0,
    "steps": 64,
    "num_classes": 10,
    "train_loss": 0.5,
    "train_accuracy": 0.9,
    "val_loss": 0.5,
    "val_accuracy": 0.9,
    "test_loss": 0.5,
    "test_accuracy": 0.9,
}

Row = dict[str, Any]


def table(rows: list[Row]) -> pd.DataFrame:
    """Return runs with these values and the defaults, in the dtypes that `load_runs` gives."""
    named = [{**DEFAULTS, "run_id": f"{place:012x}", **row} for place, row in enumerate(rows)]
    extra = [name for name in dict.fromkeys(key for row in named for key in row) if name not in FIXED]
    columns = {name: pd.Series([row.get(name) for row in named], dtype=spec.dtype) for name, spec in FIXED.items()}
    return pd.DataFrame({**columns, **{name: [row.get(name) for row in named] for name in extra}})


def curves_table(rows: list[Row]) -> Evaluations:
    """Return evaluations with these values; what is not given is missing."""
    extra = [name for name in dict.fromkeys(key for row in rows for key in row) if name not in CURVES]
    dtypes = {**CURVES, **dict.fromkeys(extra, "float64")}
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=dtypes[name]) for name in dtypes}
    return Evaluations([pd.DataFrame(columns)])


def runs_of(arm: Row, scores: Mapping[int, Mapping[float, float | None]]) -> list[Row]:
    """Return a run a seed and rate, its score both validation and test accuracy; None is a diverged run."""
    return [
        {**arm, "seed": seed, "lr": lr}
        | ({"status": "diverged"} if score is None else {"val_accuracy": score, "test_accuracy": score})
        for seed, row in scores.items()
        for lr, score in row.items()
    ]


def judged(name: str, rows: list[Row], *, curves: list[Row] | None = None, **args: Any) -> Contrast:
    """Return an estimand of hand-made runs."""
    return evaluate(name, args, table(rows), curves_table(curves or []))


def seeds_of(contrast: Contrast) -> dict[int, float]:
    """Return the contrast's number of each seed, rounded to what a float subtraction leaves exact."""
    assert isinstance(contrast.values, pd.Series)
    return {int(str(seed)): round(value, 9) for seed, value in contrast.values.items()}


def batch_minus_none(rows: list[Row], measure: Row, **more: Any) -> Contrast:
    """Return the difference of a measure between batch norm and none."""
    return judged("difference", rows, measure=measure, treatment={"norm": "batch"}, control={"norm": "none"}, **more)


BATCH: Row = {"norm": "batch"}
NONE: Row = {"norm": "none"}
SCORE = {"name": "tuned_score"}
