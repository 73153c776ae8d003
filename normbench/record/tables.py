"""The tables of a study: rows as CSV text, merged from the shards and sorted by run_id."""

import csv
import gc
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from normbench.errors import StudyError
from normbench.record.columns import CURVES, FIXED, PROBE, cell_text
from normbench.record.files import write_whole
from normbench.record.planned import Planned
from normbench.record.shards import CellValue, Record
from normbench.record.store import Study

_CONFIG = [name for name in FIXED if name not in ("run_id", "study", "status")]
RESULT = _CONFIG[_CONFIG.index("num_params") :]
"""Columns of runs.csv that the training fills."""

_POINT = [name for name in CURVES if name != "run_id"]
_SETTINGS = _CONFIG[: _CONFIG.index("num_params")]

_PLAIN = re.compile(r"[\w.+-]*")

PROVENANCE = (
    "run_id", "seed", "block", "pack", "pack_size", "mode", "threads", "device", "device_name", "started",
    "wall_time_s", "peak_memory_mb", "norm_layers", "remark", "git_commit", "git_dirty", "git_diff", "python",
    "normbench", "torch", "torchvision", "numpy", "scikit_learn", "hydra_core", "platform", "compiler",
)  # fmt: skip
"""Columns of provenance.csv."""


def line(values: Iterable[object]) -> str:
    """Return one CSV line without its newline: numbers in full precision, None empty."""
    text = io.StringIO()
    # The writer quotes only the line breaks that are in its terminator.
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
    with _garbage_kept():
        rows = study.results(_row)
        ids = sorted(rows)
        planned = Planned(study.blocks())
        if lost := [run_id for run_id in ids if run_id not in planned.entries]:
            raise StudyError(
                f"{study.folder / 'plan.jsonl'} lacks run {lost[0]}, which has a shard: restore the file from a backup."
            )
        ordered = [rows[run_id] for run_id in ids]
        write_whole(study.folder / "runs.csv", _runs(study.name, ids, ordered, planned))
        write_whole(study.folder / "curves.csv", _curves(ordered))
        write_whole(study.folder / "provenance.csv", _provenance(row.provenance for row in ordered))
    return len(ids)


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Disable garbage collection: millions of new objects without cycles take a fifth of the time of a large merge."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def provenance_text(study: Study) -> str:
    """Return provenance.csv from the shards.

    Raises:
        StudyError: If a shard is damaged.
    """
    lines = study.results(_provenance_line)
    return "".join(_provenance(lines[run_id] for run_id in sorted(lines)))


class _Row(NamedTuple):
    """A record as text: the cells of 100,000 records as objects would not fit into memory.

    Attributes:
        status: As in the record.
        result: Its cells under `RESULT`.
        further: Its other metrics, by column.
        columns: Columns of `curves` in addition to the fixed ones.
        curves: Its lines in curves.csv.
        provenance: Its line in provenance.csv.
    """

    status: str
    result: str
    further: Mapping[str, str]
    columns: tuple[str, ...]
    curves: str
    provenance: str


def _row(record: Record) -> _Row:
    """Convert a record whose numbers are text; in its result only an error may need quotes."""
    result = {**record.result, "error": _cell(record.error)}
    columns = tuple(sorted(record.curves.keys() - CURVES.keys(), key=_metrics_first))
    count = max(map(len, record.curves.values()), default=0)
    curves = [_filled(record.curves.get(name, [None] * count)) for name in (*_POINT, *columns)]
    head = f"{_cell(record.run_id)},"
    return _Row(
        record.status,
        ",".join([str(result.get(name, "")) for name in RESULT]),
        {name: str(cell) for name, cell in result.items() if name not in FIXED},
        columns,
        "".join([f"{head}{','.join(point)}\n" for point in zip(*curves, strict=True)]),
        _provenance_line(record),
    )


def _filled(column: Sequence[CellValue | None]) -> Iterable[str]:
    return map(cell_text, column)


def _metrics_first(column: str) -> tuple[bool, str]:
    return column.startswith(PROBE), column


def _runs(study: str, ids: Sequence[str], rows: Sequence[_Row], planned: Planned) -> Iterator[str]:
    # In the order of the task's metrics: runs are selected by the first one. Chance levels come last.
    found = dict.fromkeys(name for row in rows for name in row.further)
    metrics = sorted(found, key=lambda name: name.startswith("chance_"))
    yield f"{line([*FIXED, *metrics, *planned.columns])}\n"
    own = _cell(study)
    for run_id, row in zip(ids, rows, strict=True):
        head = (_cell(run_id), own, row.status, *map(_cell, planned.cells(run_id, _SETTINGS)))
        further = (row.further.get(name, "") for name in metrics)
        tail = map(_cell, planned.cells(run_id, planned.columns))
        yield ",".join((*head, row.result, *further, *tail)) + "\n"


def _curves(rows: Sequence[_Row]) -> Iterator[str]:
    """Yield the lines of curves.csv, with empty cells for columns that a run does not have."""
    kinds = {row.columns for row in rows}
    columns = tuple(sorted({name for kind in kinds for name in kind}, key=_metrics_first))
    yield f"{line([*CURVES, *columns])}\n"
    places = {kind: [kind.index(name) if name in kind else -1 for name in columns] for kind in kinds}
    for row in rows:
        if row.columns == columns:
            yield row.curves
            continue
        for text in row.curves.splitlines():
            # Only numbers and a run_id: nothing is quoted.
            cells = text.split(",")
            own = [*cells[len(CURVES) :], ""]
            yield ",".join((*cells[: len(CURVES)], *(own[place] for place in places[row.columns]))) + "\n"


def _provenance_line(record: Record) -> str:
    cells = record.provenance
    return ",".join([_cell(record.run_id), *[_quoted(str(cells.get(name, ""))) for name in PROVENANCE[1:]]])


def _provenance(lines: Iterable[str]) -> Iterator[str]:
    yield f"{line(PROVENANCE)}\n"
    yield from (f"{text}\n" for text in lines)


def _cell(value: object) -> str:
    """Return a value as one cell of a line: like `line`, but without a csv writer if nothing needs quotes."""
    return _quoted(cell_text(value))


@lru_cache(maxsize=2**16)
def _quoted(text: str) -> str:
    # With a second cell, because a line of one empty cell would be quoted.
    return text if _PLAIN.fullmatch(text) else line([text, ""])[:-1]
