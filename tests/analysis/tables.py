"""Small tables of runs, made by hand."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd

from normbench.record.columns import FIXED, cell_text

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


def write_study(folder: Path, *rows: dict[str, Any]) -> Path:
    """Write a `runs.csv` with these values and the defaults, as the writer of records would."""
    named = [{**DEFAULTS, "study": folder.name, "run_id": f"{place:012x}", **row} for place, row in enumerate(rows)]
    names = list(dict.fromkeys([*FIXED, *(key for row in named for key in row)]))
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([names, *([cell_text(row.get(name)) for name in names] for row in named)])
    return folder
