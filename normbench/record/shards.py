"""Records of runs, and shards: the records of one finished pack as JSON, cells by name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.errors import StudyError
from normbench.record.files import reading
from normbench.record.positional import named

CellValue = str | int | float


@dataclass(frozen=True, slots=True)
class Record:
    """The record of one run, by column name.

    Attributes:
        run_id: Identity of the run.
        status: `finished`, `diverged` or `failed`.
        result: Cells of runs.csv that the training fills; empty ones are left out.
        curves: Columns of curves.csv after `run_id`, one cell per evaluation; None is an empty cell.
        provenance: Cells of provenance.csv after `run_id`; an empty cell is an empty string.
    """

    run_id: str
    status: str
    result: Mapping[str, CellValue]
    curves: Mapping[str, Sequence[CellValue | None]]
    provenance: Mapping[str, CellValue]

    @property
    def error(self) -> str:
        """Why the run failed; empty if it did not."""
        return str(self.result.get("error", ""))


def shard_text(records: Sequence[Record]) -> str:
    """Return a shard: the runs, and separately the cells of provenance.csv that all share."""
    first, *others = (record.provenance.items() for record in records)
    common = dict(item for item in first if all(item in other for other in others))
    runs = [
        {
            "run_id": record.run_id,
            "status": record.status,
            "result": record.result,
            "curves": record.curves,
            "provenance": {name: cell for name, cell in record.provenance.items() if name not in common},
        }
        for record in records
    ]
    return json.dumps({"provenance": common, "runs": runs}, separators=(",", ":")) + "\n"


def read_shard(path: Path, *, texts: bool = False) -> tuple[int, list[Record]]:
    """Return the number of a shard's block, and its records; old shards without cell names are read too.

    Args:
        path: The shard.
        texts: Whether to keep numbers as the text in the shard, for writing tables: formatting millions of floats again
            takes longer than everything else.

    Raises:
        StudyError: If it is damaged.
    """
    with reading(path):
        content = path.read_bytes()
    try:
        return int(path.name.partition("-")[0]), list(_records(content.decode(), texts=texts))
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise StudyError(f"{path} is damaged ({reason}): delete it, and its runs are trained again.") from error


def _records(text: str, *, texts: bool) -> Iterator[Record]:
    kept: dict[str, Any] = {"parse_int": str, "parse_float": str, "parse_constant": _infinity} if texts else {}
    shard = json.loads(text, **kept)
    if isinstance(shard, list):
        yield from (Record(**named(row, texts=texts)) for row in shard)
        return
    for run in shard["runs"]:
        yield Record(**{**run, "provenance": {**shard["provenance"], **run["provenance"]}})


def _infinity(name: str) -> str:
    """Return JavaScript's name of an infinity as Python writes it."""
    return repr(float(name))
