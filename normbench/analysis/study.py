"""Studies on disk: where they are, and their tables as DataFrames."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from normbench.analysis.cells import NUMBER
from normbench.errors import StudyError, nearest
from normbench.record.columns import CURVES, FIXED, STATUSES

MARKERS = ("runs.csv", "plan.jsonl")
BOOLEANS = {"true": True, "false": False, "True": True, "False": False}
WANTED = {"float64": "a number", "Int64": "a whole number", "int64": "a whole number"}


def find_studies(names: Sequence[str], results_dir: Path) -> list[Path]:
    """Return the folders of the studies that a user means.

    Args:
        names: Names of studies under `results_dir`, or folders; a name wins over a folder. None given means all studies
            under `results_dir`.
        results_dir: Where studies lie.

    Raises:
        StudyError: A name is neither, or none is given and there are none.
    """
    if names:
        return list(dict.fromkeys(_find(name, results_dir) for name in names))
    known = _studies(results_dir)
    if not known:
        raise StudyError(f"no study under {results_dir}; `normbench train` makes one, --results-dir looks elsewhere")
    return known


def _find(name: str, results_dir: Path) -> Path:
    for folder in (results_dir / name, Path(name)):
        if _is_study(folder):
            return folder
    if Path(name).is_dir():
        raise StudyError(f"{name} is no study: it holds neither {' nor '.join(MARKERS)}")
    known = [folder.name for folder in _studies(results_dir)]
    tail = nearest(name, known) if known else "; there is none at all."
    raise StudyError(f"no study '{name}' under {results_dir}, and no such folder{tail}")


def _studies(results_dir: Path) -> list[Path]:
    return sorted(folder for folder in results_dir.iterdir() if _is_study(folder)) if results_dir.is_dir() else []


def _is_study(folder: Path) -> bool:
    return any((folder / marker).is_file() for marker in MARKERS)


def load_runs(*folders: Path) -> pd.DataFrame:
    """Return the runs of one or more studies, one row a run, in the order of the files.

    `run_id`, `error` and other text stay text. An empty cell is a missing value: NaN in float and text columns, pd.NA
    in columns of whole numbers. A column beyond `FIXED` holds booleans, whole numbers or floats where all its values
    are such, and else text as it was written.

    Args:
        *folders: The studies, each with a `runs.csv`. A column that only some have is missing for the others.

    Raises:
        StudyError: A `runs.csv` is missing, truncated or damaged; the message names the file and the line.
    """
    runs = pd.concat([_read_runs(folder / "runs.csv") for folder in folders], ignore_index=True)
    return runs.assign(**{name: _inferred(runs[name]) for name in runs.columns if name not in FIXED})


def load_curves(folder: Path) -> pd.DataFrame:
    """Return `curves.csv` of a study: one row a run and evaluation.

    Raises:
        StudyError: The file is missing, truncated or damaged; the message names the file and the line.
    """
    return _read_table(folder / "curves.csv", CURVES, others="float64")


def _read_runs(path: Path) -> pd.DataFrame:
    runs = _read_table(path, {name: column.dtype for name, column in FIXED.items()}, others="str")
    run_id, status, classes = runs["run_id"], runs["status"], runs["num_classes"]
    _reject(path, run_id, run_id.isna(), "a run needs a name")
    _reject(path, run_id, run_id.duplicated(), "an earlier line has it too")
    _reject(path, status, ~status.isin(STATUSES), f"allowed: {', '.join(STATUSES)}")
    _reject(path, classes, classes.isna() & (status == "diverged"), "a diverged run counts as chance, one in that many")
    return runs


def _reject(path: Path, column: "pd.Series[Any]", wrong: "pd.Series[bool]", reason: str) -> None:
    if wrong.any():
        position = int(wrong.argmax())
        line, _ = next(islice(_records(_read_text(path)), position, None))
        value = "empty" if pd.isna(column.iloc[position]) else f"'{column.iloc[position]}'"
        raise StudyError(f"{path}, line {line}: {column.name} is {value}; {reason}")


def _read_table(path: Path, dtypes: Mapping[str, str], others: str) -> pd.DataFrame:
    """Read a CSV file, with these columns and more of dtype `others`; an empty cell is missing, and nothing else is."""
    text = _read_text(path)
    header = text[: text.index("\n")].rstrip("\r").split(",")
    if missing := [name for name in dtypes if name not in header]:
        raise StudyError(f"{path}, line 1: missing columns: {', '.join(missing)}")
    if twice := [name for name, count in Counter(header).items() if count > 1]:
        raise StudyError(f"{path}, line 1: columns given twice: {', '.join(twice)}")
    all_dtypes = {name: dtypes.get(name, others) for name in header}
    try:
        table = pd.read_csv(io.StringIO(text), dtype=all_dtypes, keep_default_na=False, na_values=[""])
    except (ValueError, TypeError, OverflowError) as error:  # each from another dtype's parser
        raise _fault(path, text, all_dtypes) or StudyError(f"{path}: {error}") from error
    if not _is_rectangular(text, len(header)):
        raise _fault(path, text, all_dtypes) or StudyError(f"{path}: its lines differ in their number of fields")
    return table


def _read_text(path: Path) -> str:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError as error:
        raise StudyError(f"{path} is missing: no run of this study has ended yet, or the file was moved") from error
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"{path} is unreadable: {error}") from error
    if not text.endswith("\n"):
        raise StudyError(f"{path}, line {text.count(chr(10)) + 1}: the file ends in the middle of a line")
    return text


def _is_rectangular(text: str, fields: int) -> bool:
    """Return whether every line has as many fields, given that pandas has read it.

    pandas refuses a long line, but takes a long first one for an index, and fills a short one without a word.
    """
    if any(len(record) != fields for _, record in islice(_records(text), 1)):
        return False
    outside = text.split('"')[::2]
    return sum(part.count(",") for part in outside) == (fields - 1) * sum(part.count("\n") for part in outside)


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row below the header, with the line it ends on."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    next(reader)
    for record in reader:
        yield reader.line_num, record


def _fault(path: Path, text: str, dtypes: Mapping[str, str]) -> StudyError | None:
    """Return what is wrong with the first bad line, read slowly."""
    line = 1
    try:
        for line, record in _records(text):
            if len(record) != len(dtypes):
                return StudyError(f"{path}, line {line}: {len(record)} fields where the header has {len(dtypes)}")
            for (name, dtype), cell in zip(dtypes.items(), record, strict=True):
                if not _is_cell(cell, dtype):
                    return StudyError(f"{path}, line {line}: {name} is '{cell}', not {WANTED[dtype]}")
    except csv.Error as error:
        return StudyError(f"{path}, below line {line}: {error}")
    return None


def _is_cell(cell: str, dtype: str) -> bool:
    if dtype == "str" or (cell == "" and dtype != "int64"):
        return True
    try:
        float(cell) if dtype == "float64" else int(cell)
    except ValueError:
        return False
    return True


def _inferred(text: "pd.Series[Any]") -> "pd.Series[Any]":
    values = set(text.dropna())
    if values and values <= BOOLEANS.keys():
        return text.map(BOOLEANS).astype("boolean")
    if not values or not all(NUMBER.fullmatch(value) for value in values):
        return text
    whole = all(value.lstrip("-").isdigit() and len(value) < 19 for value in values)  # int64 ends at 19 digits
    parse = int if whole else float
    return text.map({value: parse(value) for value in values}).astype("Int64" if whole else "float64")
