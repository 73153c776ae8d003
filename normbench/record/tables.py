"""The tables of a study: rows as CSV text, merged from the shards and sorted by run_id."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED, cell_text
from normbench.record.files import write_whole
from normbench.record.store import Block, Record, Study

_CONFIG = [name for name in FIXED if name not in ("run_id", "study", "status")]
RESULT = _CONFIG[_CONFIG.index("num_params") :]
"""Columns of runs.csv that the training fills."""

_PLACE = {"data.download"}
"""Keys that never get a column: a cell whose data were fetched is the same as one whose data were there."""

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
    # The writer quotes a line break only where its own terminator has it.
    csv.writer(text, lineterminator="\r\n").writerow([cell_text(value) for value in values])
    return text.getvalue().removesuffix("\r\n")


def merge(study: Study) -> int:
    """Write runs.csv, curves.csv and provenance.csv from the shards.

    Args:
        study: The study.

    Returns:
        The number of runs.

    Raises:
        StudyError: If a shard or the plan is damaged, or a table cannot be written.
    """
    records = [record for _, (_, record) in sorted(study.records().items())]
    blocks = study.blocks()
    configs = {run_id: run["config"] for block in blocks for run_id, run in block.runs.items()}
    lost = [record.run_id for record in records if record.run_id not in configs]
    if lost:
        raise StudyError(
            f"{study.folder / 'plan.jsonl'} lacks run {lost[0]}, which has a shard: restore it from a copy."
        )
    changed = _changed(blocks, configs.values())
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


def _changed(blocks: Iterable[Block], configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns that this study needs beyond the fixed ones."""
    keys = {key for block in blocks for key in block.header["changed"]} | set(_edited(configs))
    return sorted(keys - FIXED.keys() - _PLACE)


def _edited(configs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the keys in which equal choices differ: nobody typed them, a YAML changed between two commands."""
    seen: dict[tuple[str, str], set[str]] = {}
    for config in configs:
        for group, part in config.items():
            if not isinstance(part, Mapping):
                continue
            seen.setdefault((group, ""), set()).add(part["name"])
            for key, value in part.items():
                seen.setdefault((f"{group}.{key}", part["name"]), set()).add(cell_text(value))
    yield from (key for (key, _), values in seen.items() if len(values) > 1 and key not in ("data.root", *_PLACE))


def _value(config: Mapping[str, Any], key: str) -> object:
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value["name"] if isinstance(value, Mapping) and "name" in value else value
