"""The tables of a study: rows as CSV text, merged from the shards and sorted by run_id."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from normbench.record.columns import CURVES, FIXED, cell_text
from normbench.record.files import write_whole
from normbench.record.store import Block, Record, Study

_CONFIG = [name for name in FIXED if name not in ("run_id", "study", "status")]
RESULT = _CONFIG[_CONFIG.index("num_params") :]
"""Columns of runs.csv that the training fills."""

_SETTINGS = _CONFIG[: _CONFIG.index("num_params")]

PROVENANCE = (
    "run_id", "block", "pack", "pack_size", "mode", "threads", "device", "device_name", "started", "wall_time_s",
    "peak_memory_mb", "norm_layers", "git_commit", "git_dirty", "python", "normbench", "torch", "torchvision", "numpy",
    "scikit_learn", "hydra_core", "platform",
)  # fmt: skip
"""Columns of provenance.csv."""


def line(values: Iterable[object]) -> str:
    """Return one CSV line, without its newline: numbers in full, None empty."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([cell_text(value) for value in values])
    return text.getvalue()


def merge(study: Study) -> int:
    """Write runs.csv, curves.csv and provenance.csv from the shards.

    Args:
        study: The study.

    Returns:
        The number of runs.

    Raises:
        StudyError: If a shard is damaged or a table cannot be written.
    """
    records = [record for _, (_, record) in sorted(study.records().items())]
    blocks = study.blocks()
    configs = {run_id: run["config"] for block in blocks for run_id, run in block.runs.items()}
    changed = _changed(blocks)
    write_whole(study.folder / "runs.csv", _runs(study.name, records, configs, changed))
    write_whole(study.folder / "curves.csv", [f"{line(CURVES)}\n", *(record.curves for record in records)])
    write_whole(
        study.folder / "provenance.csv",
        [f"{line(PROVENANCE)}\n", *(f"{record.provenance}\n" for record in records)],
    )
    return len(records)


def _runs(
    study: str, records: Sequence[Record], configs: Mapping[str, Mapping[str, Any]], changed: Sequence[str]
) -> Iterable[str]:
    yield f"{line([*FIXED, *changed])}\n"
    for record in records:
        config = configs[record.run_id]
        head = line([record.run_id, study, record.status, *(_value(config, key) for key in _SETTINGS)])
        tail = line(["", *(_value(config, key) for key in changed)]) if changed else ""
        yield f"{head},{record.result}{tail}\n"


def _changed(blocks: Iterable[Block]) -> list[str]:
    """Return the columns that this study needs beyond the fixed ones."""
    keys = {key for block in blocks for key in block.header["changed"]}
    return sorted(keys - FIXED.keys())


def _value(config: Mapping[str, Any], key: str) -> object:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value["name"] if isinstance(value, Mapping) and "name" in value else value
