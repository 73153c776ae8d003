"""The tables of a study: rows as CSV text, merged from the shards and sorted by run_id."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED, cell_text
from normbench.record.files import write_whole
from normbench.record.store import Block, Record, Study

_CONFIG = [name for name in FIXED if name not in ("run_id", "study", "status")]
RESULT = _CONFIG[_CONFIG.index("num_params") :]
"""Columns of runs.csv that the training fills."""

_PLACE = {"data.download", "probes"}
"""Keys that never get a column: a cell whose data were fetched, or that was looked into, is the same as any other."""

_SETTINGS = _CONFIG[: _CONFIG.index("num_params")]

_PLAIN = re.compile(r"[\w.+-]*")

PROVENANCE = (
    "run_id", "seed", "block", "pack", "pack_size", "mode", "threads", "device", "device_name", "started",
    "wall_time_s", "peak_memory_mb", "norm_layers", "remark", "git_commit", "git_dirty", "git_diff", "python",
    "normbench", "torch", "torchvision", "numpy", "scikit_learn", "hydra_core", "platform", "compiler",
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
    records = sorted(study.results().values(), key=lambda record: record.run_id)
    blocks = study.blocks()
    configs = {run_id: run["config"] for block in blocks for run_id, run in block.runs.items()}
    lost = [record.run_id for record in records if record.run_id not in configs]
    if lost:
        raise StudyError(
            f"{study.folder / 'plan.jsonl'} lacks run {lost[0]}, which has a shard: restore it from a copy."
        )
    changed = _changed(blocks, configs.values())
    write_whole(study.folder / "runs.csv", _runs(study.name, records, configs, changed))
    write_whole(study.folder / "curves.csv", _curves(records))
    write_whole(
        study.folder / "provenance.csv",
        [f"{line(PROVENANCE)}\n", *(f"{record.provenance}\n" for record in records)],
    )
    return len(records)


def error_of(record: Record) -> str:
    """Return why a run failed; empty where it did not."""
    names = list(FIXED)
    return next(csv.reader([record.result]))[names.index("error") - names.index("num_params")]


def _curves(records: Sequence[Record]) -> Iterator[str]:
    """Yield the lines of curves.csv: a run's scalars stand under their columns, whatever other runs were probed for."""
    kinds = {record.probes: record.probes.split(",") if record.probes else [] for record in records}
    probes = sorted({name for names in kinds.values() for name in names})
    yield f"{line([*CURVES, *probes])}\n"
    places = {kind: [names.index(name) if name in names else -1 for name in probes] for kind, names in kinds.items()}
    for record in records:
        if not probes or kinds[record.probes] == probes:
            yield record.curves
            continue
        for row in record.curves.splitlines():
            # Numbers alone, and a run_id: nothing is quoted.
            cells = row.split(",")
            own = [*cells[len(CURVES) :], ""]
            yield ",".join((*cells[: len(CURVES)], *(own[place] for place in places[record.probes]))) + "\n"


def _runs(
    study: str, records: Sequence[Record], configs: Mapping[str, Mapping[str, Any]], changed: Sequence[str]
) -> Iterable[str]:
    yield f"{line([*FIXED, *changed])}\n"
    own = _cell(study)
    for record in records:
        config = configs[record.run_id]
        head = (_cell(record.run_id), own, record.status, *(_cell(_value(config, key)) for key in _SETTINGS))
        tail = (_cell(_value(config, key)) for key in changed)
        yield ",".join((*head, record.result, *tail)) + "\n"


def _cell(value: object) -> str:
    """Return a value as one cell of a line: like `line`, but without a writer where nothing can need quotes."""
    text = cell_text(value)
    # Beside another cell, as a line of one empty cell would be quoted.
    return text if _PLAIN.fullmatch(text) else line([text, ""])[:-1]


def _changed(blocks: Iterable[Block], configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns that this study needs beyond the fixed ones."""
    keys = {key for block in blocks for key in block.header["changed"]} | set(_edited(configs))
    return sorted(keys - FIXED.keys() - _PLACE)


def _edited(configs: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the keys in which equal choices differ: nobody typed them, a YAML changed between two commands."""
    seen: dict[tuple[str, str], set[str]] = {}
    looked_at: set[tuple[str, int]] = set()
    for config in configs:
        for group, part in config.items():
            # The study shares one object among equal parts, so that few of them are new.
            if (group, id(part)) in looked_at or not isinstance(part, dict):
                continue
            looked_at.add((group, id(part)))
            seen.setdefault((group, ""), set()).add(part["name"])
            for key, value in part.items():
                seen.setdefault((f"{group}.{key}", part["name"]), set()).add(cell_text(value))
    yield from (key for (key, _), values in seen.items() if len(values) > 1 and key not in ("data.root", *_PLACE))


def _value(config: Mapping[str, Any], key: str) -> object:
    value: Any = config.get(key)
    if key in config and not isinstance(value, dict):
        return value
    value = config
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value["name"] if isinstance(value, dict) and "name" in value else value
