"""A small study of made-up numbers, as its tables have it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.summary import csv_text
from normbench.record.columns import CURVES, FIXED

STEPS = (10, 20, 30)

DEFAULTS: dict[str, Any] = {
    "status": "finished",
    "model": "mlp",
    "data": "digits",
    "batch_size": 2,
    "lr": 0.1,
    "epochs": 3,
    "num_params": 1000,
    "num_classes": 10,
}
NORMS = ("batch", "group")
RATES = (0.1, 0.5)
SEEDS = (0, 1, 2)


def sweep(**values: Any) -> list[dict[str, Any]]:
    """Return rows of two norms, two rates and three seeds."""
    return [{"norm": norm, "lr": lr, "seed": seed, **values} for norm in NORMS for lr in RATES for seed in SEEDS]


def write_study(folder: Path, rows: list[dict[str, Any]], probes: tuple[str, ...] = ()) -> Path:
    """Write runs.csv and curves.csv with random scores, of which the last evaluation is the final one."""
    draw = np.random.default_rng(0)
    runs, curves = [], []
    for place, row in enumerate(rows):
        run_id = f"{place:012x}"
        values = {**DEFAULTS, "run_id": run_id, "study": folder.name, **row}
        scores: dict[str, float] = {}
        for number, step in enumerate(STEPS):
            scores = {name: draw.random() for name in (*list(CURVES)[4:], *probes)}
            curves.append({"run_id": run_id, "epoch": number + 1.0, "step": step, "lr": values["lr"], **scores})
        if values["status"] == "finished":
            values |= {name: scores[name] for name in list(CURVES)[4:]}
            values |= {name: draw.random() for name in FIXED if name.startswith("test_")}
        runs.append(values)
    folder.mkdir(parents=True)
    extra = list(dict.fromkeys(name for row in runs for name in row if name not in FIXED))
    table = pd.DataFrame({name: [row.get(name) for row in runs] for name in (*FIXED, *extra)}, dtype=object)
    (folder / "runs.csv").write_text(csv_text(table), encoding="utf-8", newline="")
    (folder / "curves.csv").write_text(csv_text(pd.DataFrame(curves)), encoding="utf-8", newline="")
    return folder
