"""Small tables of runs, made by hand."""

import csv
import itertools
from pathlib import Path
from typing import Any

import pandas as pd

from normbench.record.columns import CURVES, FIXED, cell_text

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


NO_SKILL = {"chance_loss": 1.0, "chance_r2": 0.0, "chance_mse": 2.0}
"""What the mean of the targets scores in the study of `write_regression`."""


def regression_rows() -> list[dict[str, Any]]:
    """Return the runs of a task without classes: two norms, three rates (the highest diverges), three seeds."""
    rows = []
    for norm, rate, seed in itertools.product(("batch", "none"), (0.1, 0.2, 8.0), range(3)):
        own = {"norm": norm, "lr": rate, "seed": seed, "num_classes": None, **NO_SKILL}
        if rate == 8.0:
            rows.append({**own, "status": "diverged", "diverged_at_step": 3})
            continue
        r2 = (0.9 if norm == "batch" else 0.6) - rate + 0.01 * seed
        scores = {"loss": 1 - r2, "r2": r2, "mse": 2 * (1 - r2)}
        parts = {f"{part}_{name}": score for name, score in scores.items() for part in ("train", "val", "test")}
        more = {f"test_{name}_{how}": scores[name] for name in ("r2", "mse") for how in ("precise", "batch")}
        rows.append({**own, **parts, **more})
    return rows


def write_regression(folder: Path) -> Path:
    """Write `runs.csv` and `curves.csv` of these runs, as the writer of records would."""
    rows = regression_rows()
    write_study(folder, *rows)
    metrics = [f"{part}_{name}" for name in ("r2", "mse") for part in ("train", "val")]
    names = [*CURVES, *metrics]
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for place, row in enumerate(rows):
            for step in (50, 100) if row.get("status") != "diverged" else ():
                point = {**row, "run_id": f"{place:012x}", "epoch": step / 100, "step": step}
                writer.writerow([cell_text(point.get(name)) for name in names])
    return folder
