"""Records of runs, and the shards that hold those of one finished pack: cells by name, as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normbench.errors import StudyError
from normbench.record.files import reading
from normbench.record.positional import named

Cell = str | int | float


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of one run, by the names of the columns.

    Attributes:
        run_id: Identity of the run.
        status: `finished`, `diverged` or `failed`.
        result: Cells of runs.csv that the training fills; an empty one is left out.
        curves: Columns of curves.csv after `run_id`, a cell an evaluation; None is an empty cell.
        provenance: Cells of provenance.csv after `run_id`; an empty one is an empty text.
    """

    run_id: str
    status: str
    result: Mapping[str, Cell]
    curves: Mapping[str, Sequence[int | float | None]]
    provenance: Mapping[str, Cell]

    @property
    def error(self) -> str:
        """Why the run failed; empty where it did not."""
        return str(self.result.get("error", ""))


def shard_text(records: Sequence[Record]) -> str:
    """Return a shard: the runs, and apart from them the cells of provenance.csv that all have in common."""
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


def read_shard(path: Path) -> tuple[int, list[Record]]:
    """Return the number of a shard's block, and its records; also of a shard from before cells had names.

    Raises:
        StudyError: If it is damaged.
    """
    with reading(path):
        content = path.read_bytes()
    try:
        return int(path.name.partition("-")[0]), list(_records(json.loads(content)))
    except (ValueError, TypeError, KeyError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise StudyError(f"{path} is damaged ({reason}): delete it, its runs will be trained again.") from error


def _records(shard: Any) -> Iterable[Record]:
    if isinstance(shard, list):
        yield from (Record(**named(row)) for row in shard)
        return
    for run in shard["runs"]:
        yield Record(**{**run, "provenance": {**shard["provenance"], **run["provenance"]}})
