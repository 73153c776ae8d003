"""Reader for old shards, whose cells were identified by their position in a CSV line."""

import csv
import io
from collections.abc import Mapping
from typing import Any

_RESULT = {
    "num_params": int,
    "num_classes": int,
    "train_loss": float,
    "train_accuracy": float,
    "val_loss": float,
    "val_accuracy": float,
    "test_loss": float,
    "test_accuracy": float,
    "test_accuracy_precise": float,
    "test_accuracy_batch": float,
    "steps_to_target": int,
    "diverged_at_step": int,
    "error": str,
}
_CURVES = {
    "epoch": float,
    "step": int,
    "lr": float,
    "train_loss": float,
    "train_accuracy": float,
    "val_loss": float,
    "val_accuracy": float,
}
_PROVENANCE = {
    "seed": int,
    "block": int,
    "pack": int,
    "pack_size": int,
    "mode": str,
    "threads": int,
    "device": str,
    "device_name": str,
    "started": str,
    "wall_time_s": float,
    "peak_memory_mb": float,
    "norm_layers": str,
    "remark": str,
    "git_commit": str,
    "git_dirty": str,
    "git_diff": str,
    "python": str,
    "normbench": str,
    "torch": str,
    "torchvision": str,
    "numpy": str,
    "scikit_learn": str,
    "hydra_core": str,
    "platform": str,
    "compiler": str,
}
"""The columns at that time, in order; today there may be more."""


def named(row: Mapping[str, str], *, texts: bool) -> dict[str, Any]:
    """Return the fields of a record from a run of such a shard.

    Args:
        row: `run_id`, `status`, cells of runs.csv as a line (`result`), whole lines of curves.csv (`curves`), the line
            of provenance.csv (`provenance`), and the names of the probes' scalars with commas between (`probes`).
        texts: Whether to keep numbers as text.

    Raises:
        ValueError: If the cells of a line do not match its columns, or one is not a number.
        KeyError: If a field is missing.
    """

    def told(kind: type, text: str) -> Any:
        number = kind(text)
        return text if texts else number

    probes = row["probes"].split(",") if row.get("probes") else []
    columns = {**_CURVES, **dict.fromkeys(probes, float)}
    lines = [line.split(",")[1:] for line in row["curves"].splitlines()]
    result = zip(_RESULT.items(), _cells(row["result"]), strict=True)
    # Earlier versions wrote fewer columns of provenance.csv.
    origin = zip(_PROVENANCE.items(), _cells(row["provenance"])[1:], strict=False)
    return {
        "run_id": row["run_id"],
        "status": row["status"],
        "result": {name: told(kind, text) for (name, kind), text in result if text},
        "curves": {
            name: [told(kind, text) if text else None for text in column]
            for (name, kind), column in zip(columns.items(), zip(*lines, strict=True), strict=bool(lines))
        },
        "provenance": {name: told(kind, text) if text else "" for (name, kind), text in origin},
    }


def _cells(line: str) -> list[str]:
    (cells,) = csv.reader(io.StringIO(line, newline=""), strict=True)
    return cells
