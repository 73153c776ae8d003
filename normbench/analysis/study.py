"""The tables of studies as DataFrames."""

import csv
import gzip
import io
import lzma
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd

from normbench.analysis.cells import NUMBER
from normbench.analysis.folders import find_studies as find_studies
from normbench.analysis.folders import table_path
from normbench.analysis.tasks import first_metric
from normbench.errors import StudyError
from normbench.metrics import METRICS, metric_column
from normbench.record.columns import CURVES, FIXED, STATUSES, cell_text
from normbench.record.planned import Planned
from normbench.record.store import Study

BOOLEANS = {"true": True, "false": False, "True": True, "False": False}
VERDICT_TYPES = {
    **dict.fromkeys(["claim", "kind", "verdict", "outcome", "unit", "spec_sha256"], "str"),
    **dict.fromkeys(["effect", "ci_low", "ci_high"], "float64"),
    "n_seeds": "Int64",
}
PROVENANCE_TYPES = {"run_id": "str", "mode": "str", "pack_size": "Int64", "wall_time_s": "float64"}
_PART_SIZE = 1 << 26
"""Characters of a table that are parsed at once."""

WANTED = {"float64": "a number", "Int64": "a whole number", "int64": "a whole number"}


def load_runs(*folders: Path) -> pd.DataFrame:
    """Return the runs of one or more studies, one row per run, in the order of the files.

    `run_id`, `error` and other text stay text. An empty cell is a missing value: NaN in float and text columns, pd.NA
    in columns of whole numbers. A metric beyond `FIXED` is a float; any other column holds booleans, whole
    numbers or floats if all its values are such, else text as it was written.

    Args:
        *folders: The studies, each with a `runs.csv`, plain or compressed. A column that only some have is
            missing for the others.

    Raises:
        StudyError: A `runs.csv` is missing, truncated or damaged; the message names the file and the line.
    """
    runs = pd.concat([_read_runs(table_path(folder, "runs.csv")) for folder in folders], ignore_index=True)
    return runs.assign(**{name: _inferred(runs[name]) for name in runs.columns if _is_recorded_text(name)})


def load_curves(folder: Path) -> pd.DataFrame:
    """Return `curves.csv` of a study: one row per run and evaluation.

    Raises:
        StudyError: The file is missing, truncated or damaged; the message names the file and the line.
    """
    return pd.concat(read_curves(folder))


def read_curves(folder: Path) -> Iterator[pd.DataFrame]:
    """Yield `curves.csv` of a study in parts, of which one at least; their indices go on from one to the next.

    Raises:
        StudyError: The file is missing, truncated or damaged; the message names the file and the line.
    """
    path = table_path(folder, "curves.csv")
    for part in _read_parts(path, CURVES, others="float64"):
        _reject_impossible(path, part)
        yield part


def load_verdicts(folder: Path) -> pd.DataFrame:
    """Return `verdicts.csv` of a study, one row per claim and per named cell; no rows if it was never judged.

    Raises:
        StudyError: The file is truncated or damaged; the message names the file and the line.
    """
    return _read_if_there(table_path(folder, "verdicts.csv"), VERDICT_TYPES)


def load_provenance(folder: Path) -> pd.DataFrame:
    """Return `provenance.csv` of a study, one row per run, versions as text; no rows if there is none.

    Raises:
        StudyError: The file is truncated or damaged; the message names the file and the line.
    """
    return _read_if_there(table_path(folder, "provenance.csv"), PROVENANCE_TYPES)


def load_pair(first: Path, second: Path) -> tuple[pd.DataFrame, pd.DataFrame, tuple[str, ...]]:
    """Return the runs of two studies, as `load_runs` does, with the same columns.

    A study records only what it varies. What the other one records is taken from its plan.

    Args:
        first: One study.
        second: The other.

    Returns:
        Both tables, and the columns that they lack because one study records them and the other has no plan.

    Raises:
        StudyError: A file is missing, truncated or damaged; the message names the file and the line.
    """
    tables = [_read_runs(table_path(folder, "runs.csv")) for folder in (first, second)]
    unknown: list[str] = []
    for place, folder in enumerate((first, second)):
        missing = [name for name in map(str, tables[1 - place]) if name not in tables[place]]
        missing = [name for name in missing if _is_recorded_text(name)]
        if missing and (folder / "plan.jsonl").is_file():
            tables[place] = _planned(tables[place], Study(folder), missing)
        else:
            unknown += missing
    both = pd.concat(tables, ignore_index=True).drop(columns=unknown)
    both = both.assign(**{name: _inferred(both[name]) for name in both.columns if _is_recorded_text(name)})
    return both.iloc[: len(tables[0])], both.iloc[len(tables[0]) :].reset_index(drop=True), tuple(unknown)


def _planned(runs: pd.DataFrame, study: Study, names: Sequence[str]) -> pd.DataFrame:
    """Return runs with columns that their study does not record, as its plan has them."""
    planned = Planned(study.blocks())
    unknown = [None] * len(names)
    known = [planned.cells(run_id, names) if run_id in planned.entries else unknown for run_id in runs["run_id"]]
    columns = {name: [cell_text(cells[place]) or None for cells in known] for place, name in enumerate(names)}
    return runs.assign(**{name: pd.Series(cells, dtype="str") for name, cells in columns.items()})


def read_cells(path: Path) -> Iterator[list[str]]:
    """Yield the header of a table, then its rows, every cell as it is written.

    Raises:
        StudyError: The file is missing or damaged; the message names it.
    """
    lines = _lines(path)
    yield _header(lines)
    for _, row in _records(path, lines):
        yield row


def _read_if_there(path: Path, dtypes: Mapping[str, str]) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in dtypes.items()})
    return _read_table(path, dtypes, others="str")


def _read_runs(path: Path) -> pd.DataFrame:
    runs = _read_table(path, {name: column.dtype for name, column in FIXED.items()}, others="str")
    run_id, status, classes = runs["run_id"], runs["status"], runs["num_classes"]
    _reject(path, runs, "run_id", run_id.isna(), "every run needs one")
    _reject(path, runs, "run_id", run_id.duplicated(), "an earlier line has the same one")
    _reject(path, runs, "status", ~status.isin(STATUSES), f"allowed: {', '.join(STATUSES)}")
    if first_metric(runs) == "accuracy":
        unknown = classes.isna() & (status == "diverged") & runs[_chances(runs)].isna().all(axis=1)
        _reject(path, runs, "num_classes", unknown, "a diverged run counts as chance, 1 / num_classes")
    _reject(path, runs, "num_classes", (classes < 1).fillna(False), "it must be at least 1")
    _reject_impossible(path, runs)
    for name in ("train_loss", "val_loss", "test_loss"):
        infinite = runs[name].isin([math.inf, -math.inf]) & (status == "finished")
        _reject(path, runs, name, infinite, "a run with a non-finite loss has the status diverged")
    return runs


def _chances(runs: pd.DataFrame) -> list[str]:
    return [name for name in runs.columns if (found := metric_column(name)) and found.part == "chance"]


def _is_recorded_text(name: str) -> bool:
    """Return whether a column of runs.csv holds values of the config beyond the fixed ones, as text."""
    return name not in FIXED and metric_column(name) is None


def _reject_impossible(path: Path, table: pd.DataFrame) -> None:
    """Raise if a metric is out of its bounds."""
    for name in table.columns:
        if found := metric_column(name):
            metric = METRICS[found.metric]
            if metric.low is not None:
                _reject(path, table, name, table[name] < metric.low, f"{found.metric} is at least {metric.low:g}")
            if metric.high is not None:
                _reject(path, table, name, table[name] > metric.high, f"{found.metric} is at most {metric.high:g}")


def _reject(path: Path, table: pd.DataFrame, name: str, wrong: "pd.Series[bool]", reason: str) -> None:
    if wrong.any():
        lines = _lines(path)
        _header(lines)
        line, record = next(islice(_records(path, lines), int(wrong.index.to_numpy()[wrong.argmax()]), None))
        cell = record[list(table.columns).index(name)]
        value = f"'{cell}'" if cell else "empty"
        raise StudyError(f"{path}, line {line}: {name} is {value}; {reason}")


def _read_table(path: Path, dtypes: Mapping[str, str], others: str) -> pd.DataFrame:
    return pd.concat(_read_parts(path, dtypes, others))


def _read_parts(path: Path, dtypes: Mapping[str, str], others: str) -> Iterator[pd.DataFrame]:
    """Read a CSV file with these columns, further metrics as floats, and more of dtype `others`.

    An empty cell is missing, and nothing else is.
    """
    lines = _lines(path)
    header = _header(lines)
    if missing := [name for name in dtypes if name not in header]:
        raise StudyError(f"{path}, line 1: missing columns: {', '.join(missing)}")
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise StudyError(f"{path}, line 1: duplicate columns: {', '.join(twice)}")
    all_dtypes = {name: dtypes.get(name, "float64" if metric_column(name) else others) for name in header}
    start = 0
    for part in _parts(lines):
        text = "".join([",".join(header), "\n", *part])
        try:
            # As bytes: StringIO takes four bytes for each character.
            table = pd.read_csv(io.BytesIO(text.encode()), dtype=all_dtypes, keep_default_na=False, na_values=[""])
        except (ValueError, TypeError, OverflowError) as error:  # each from another dtype's parser
            raise _fault(path, all_dtypes) or StudyError(f"{path}: {error}") from error
        if not _is_rectangular(part, len(header)):
            raise _fault(path, all_dtypes) or StudyError(f"{path}: its lines have different numbers of fields")
        yield table.set_index(pd.RangeIndex(start, start + len(table)))
        start += len(table)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a table with their ends.

    Raises:
        StudyError: The file is missing, damaged or truncated.
    """
    line, count = "", 0
    try:
        with _opened(path) as file:
            for line in file:
                count += 1
                yield line
    except FileNotFoundError as error:
        raise StudyError(f"{path} is missing: no run of this study has ended yet, or the file was moved") from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is unreadable: {error}") from error
    if not line.endswith("\n"):
        raise StudyError(f"{path}, line {max(count, 1)}: the file ends in the middle of a line")


def _header(lines: Iterator[str]) -> list[str]:
    return next(lines).rstrip("\r\n").split(",")


def _parts(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield lines in parts of about `_PART_SIZE` characters, one part at least, and none that ends within quotes."""
    part: list[str] = []
    size = quotes = given = 0
    for line in lines:
        part.append(line)
        size += len(line)
        quotes += line.count('"')
        if size >= _PART_SIZE and quotes % 2 == 0:
            yield part
            part, size, given = [], 0, given + 1
    if part or not given:
        yield part


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8-sig")
    if path.suffix == ".xz":
        return lzma.open(path, "rt", newline="", encoding="utf-8-sig")
    return path.open(newline="", encoding="utf-8-sig")


def _is_rectangular(lines: Sequence[str], fields: int) -> bool:
    """Return whether every line has `fields` fields, given that pandas has read them.

    pandas refuses a long line, but takes a long first one for an index, and fills a short one silently.
    """
    try:
        if len(next(csv.reader(lines, strict=True), [""] * fields)) != fields:
            return False
    except csv.Error:
        return False
    outside = "".join(lines).split('"')[::2]
    return sum(part.count(",") for part in outside) == (fields - 1) * sum(part.count("\n") for part in outside)


def _records(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield each row below the header, with the line it ends on.

    Raises:
        StudyError: A quote is out of place, even if pandas would accept it.
    """
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for record in reader:
            line = reader.line_num + 1
            yield line, record
    except csv.Error as error:
        raise StudyError(f"{path}, below line {line}: {error}") from error


def _fault(path: Path, dtypes: Mapping[str, str]) -> StudyError | None:
    """Return what is wrong with the first bad line, found by a slow second read."""
    lines = _lines(path)
    _header(lines)
    for line, record in _records(path, lines):
        if len(record) != len(dtypes):
            return StudyError(f"{path}, line {line}: {len(record)} fields, but the header has {len(dtypes)}")
        for (name, dtype), cell in zip(dtypes.items(), record, strict=True):
            if not _is_cell(cell, dtype):
                return StudyError(f"{path}, line {line}: {name} is '{cell}', not {WANTED[dtype]}")
    return None


def _is_cell(cell: str, dtype: str) -> bool:
    if dtype == "str" or (cell == "" and dtype != "int64"):
        return True
    try:
        number = float(cell) if dtype == "float64" else int(cell)
    except ValueError:
        return False
    return not math.isnan(number) and "_" not in cell  # Python reads nan and 1_000, pandas does not


def _inferred(text: "pd.Series[Any]") -> "pd.Series[Any]":
    values = set(text.dropna())
    if values and values <= BOOLEANS.keys():
        return text.map(BOOLEANS).astype("boolean")
    if not values or not all(NUMBER.fullmatch(value) for value in values):
        return text
    whole = all(value.lstrip("-").isdigit() and len(value) < 19 for value in values)  # int64 ends at 19 digits
    parse = int if whole else float
    return text.map({value: parse(value) for value in values}).astype("Int64" if whole else "float64")
