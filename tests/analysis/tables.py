"""Small tables of runs, made by hand."""

from typing import Any

import pandas as pd

from normbench.record.columns import FIXED

DEFAULTS: dict[str, Any] = {
    "study": "mine",
    "status": "finished",
    "model": "mlp",
    "norm": "batch",
    "data": "digits",
    "batch_size": 32,
    "lr": 0.1,
    "seed": 0,
    "steps": 100,
    "num_params": 1000,
    "num_classes": 10,
}


def runs_table(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return runs that have these values and the defaults, in the dtypes that `load_runs` gives."""
    named = [{**DEFAULTS, "run_id": f"{position:012x}", **row} for position, row in enumerate(rows)]
    extra = [name for name in dict.fromkeys(key for row in named for key in row) if name not in FIXED]
    columns = {name: pd.Series([row.get(name) for row in named], dtype=spec.dtype) for name, spec in FIXED.items()}
    return pd.DataFrame({**columns, **{name: [row.get(name) for row in named] for name in extra}})
