"""The columns of a study's tables, and how a cell is written."""

import json
import re
from typing import Literal, NamedTuple

PACKED = (".xz", ".gz")
"""Suffixes of compressed tables, used to keep a study small."""

Role = Literal["key", "config", "size", "metric", "outcome"]


class FixedColumn(NamedTuple):
    """One column of `runs.csv`: its pandas dtype after reading, and its role."""

    dtype: Literal["str", "int64", "Int64", "float64"]
    role: Role


FIXED: dict[str, FixedColumn] = {
    "run_id": FixedColumn("str", "key"),
    "study": FixedColumn("str", "key"),
    "status": FixedColumn("str", "outcome"),
    "model": FixedColumn("str", "config"),
    "norm": FixedColumn("str", "config"),
    "data": FixedColumn("str", "config"),
    "batch_size": FixedColumn("int64", "config"),
    "norm_batch_size": FixedColumn("Int64", "config"),
    "lr": FixedColumn("float64", "config"),
    "seed": FixedColumn("int64", "key"),
    "epochs": FixedColumn("Int64", "config"),
    "steps": FixedColumn("Int64", "config"),
    "num_params": FixedColumn("Int64", "size"),
    "num_classes": FixedColumn("Int64", "size"),
    "train_loss": FixedColumn("float64", "metric"),
    "train_accuracy": FixedColumn("float64", "metric"),
    "val_loss": FixedColumn("float64", "metric"),
    "val_accuracy": FixedColumn("float64", "metric"),
    "test_loss": FixedColumn("float64", "metric"),
    "test_accuracy": FixedColumn("float64", "metric"),
    "test_accuracy_precise": FixedColumn("float64", "metric"),
    "test_accuracy_batch": FixedColumn("float64", "metric"),
    "steps_to_target": FixedColumn("Int64", "metric"),
    "diverged_at_step": FixedColumn("Int64", "outcome"),
    "error": FixedColumn("str", "outcome"),
}
"""Every column that each `runs.csv` has, in order.

Further metrics of a task follow (`is_metric`), then the config values that vary in the study, under dotted names.
"""

_METRIC = re.compile(r"(train|val|test|chance)_\w+")

METRIC_COLUMNS = tuple(name for name, column in FIXED.items() if column.role == "metric")
STATUSES = ("finished", "diverged", "failed")

CURVES = {
    "run_id": "str",
    "epoch": "float64",
    "step": "Int64",
    "lr": "float64",
    "train_loss": "float64",
    "train_accuracy": "float64",
    "val_loss": "float64",
    "val_accuracy": "float64",
}
"""Every column that each `curves.csv` has, in order, with its dtype; further metrics and scalars of probes follow."""

PROBE = "probe."
"""Prefix of the columns of probes."""


def is_metric(column: str) -> bool:
    """Return whether a column of runs.csv or curves.csv has the name of a metric, such as ``test_map_precise``."""
    return _METRIC.fullmatch(column) is not None


def cell_text(value: object) -> str:
    """Return a value as a cell of these tables: None and NaN empty, booleans as in YAML, lists and dicts as JSON."""
    if isinstance(value, str):
        return value
    if value is None or value != value:
        return ""
    if isinstance(value, bool | list | tuple | dict):
        return json.dumps(value, separators=(",", ":"), sort_keys=True)
    return repr(value) if isinstance(value, float) else str(value)
