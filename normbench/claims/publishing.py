"""The part of a study's records that its verdicts and their figures were made from, in small files."""

import csv
import io
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import compress
from pathlib import Path

import numpy as np

from normbench.analysis.folders import table_path
from normbench.analysis.study import read_cells
from normbench.claims.designs import designs
from normbench.claims.estimands.evaluations import Evaluations
from normbench.claims.spec import Claim
from normbench.errors import StudyError
from normbench.record.columns import CURVES
from normbench.record.files import write_bytes_whole

_TABLES = ("runs.csv", "curves.csv", "provenance.csv")

_PLACE = ("run_id", "epoch", "step")
"""Columns that every row of curves.csv has."""


def check_places(study: Path, folder: Path) -> None:
    """Check that a study has the tables and that a folder may hold published ones; create the folder.

    Raises:
        StudyError: A table is missing, or the folder is a study that is trained into or cannot be created.
    """
    if lacking := next((name for name in _TABLES if not table_path(study, name).is_file()), None):
        raise StudyError(f"{study} has no {lacking}: no run of it has ended yet, or the file was moved")
    if live := next((name for name in (*_TABLES, "plan.jsonl") if (folder / name).exists()), None):
        raise StudyError(f"{folder} has {live}, so it is a study that is trained into; name another folder.")
    try:
        (folder / "claims").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"cannot create {folder}: {error.strerror}; name another folder.") from error


def publish_designs(study: Path, folder: Path) -> None:
    """Copy the designs and findings of a study; those that it does not have are removed from the folder.

    Raises:
        StudyError: A file cannot be written.
    """
    contents = {path.name: path.read_bytes() for path in sorted((study / "claims").glob("*.json"))}
    for name, content in contents.items():
        write_bytes_whole(folder / "claims" / name, content)
    for path in (folder / "claims").glob("*.json"):
        if path.name not in contents:
            path.unlink()


def publish_runs(study: Path, folder: Path, claims: Mapping[str, Claim]) -> None:
    """Write the runs that designs name, and their provenance.

    Args:
        study: The study.
        folder: Where the tables go, compressed.
        claims: The catalogue.

    Raises:
        StudyError: A table of the study is damaged, or a file cannot be written.
    """
    named = {run_id for _, design in designs(study, claims) for run_id in design.runs}
    _write(folder / "runs.csv.xz", _of_runs(table_path(study, "runs.csv"), named, study=folder.name))
    _write(folder / "provenance.csv.xz", _of_runs(table_path(study, "provenance.csv"), named))


def publish_curves(study: Path, folder: Path, curves: Evaluations) -> None:
    """Write the cells of curves.csv that were read.

    Args:
        study: The study.
        folder: Where the table goes, compressed.
        curves: The study's evaluations, after all that the published ones must allow was done with them.

    Raises:
        StudyError: The table of the study is damaged, or the file cannot be written.
    """
    _write(folder / "curves.csv.xz", _read_of(table_path(study, "curves.csv"), curves))


def _of_runs(path: Path, named: Set[str], **changed: str) -> Iterator[Sequence[str]]:
    """Yield the header of a table and the rows of some runs, with another value in some columns."""
    rows = read_cells(path)
    header = next(rows)
    yield header
    place = header.index("run_id")
    for row in rows:
        if row[place] in named:
            yield [changed.get(name, cell) for name, cell in zip(header, row, strict=True)]


def _read_of(path: Path, curves: Evaluations) -> Iterator[Sequence[str]]:
    """Yield the header and rows of curves.csv with the cells that were read; the others are empty or left out."""
    read = curves.cells_read()
    cells = read_cells(path)
    header = next(cells)
    kept = [name in CURVES or name in read for name in header]
    names = list(compress(header, kept))
    yield names
    nothing = np.zeros(len(curves), dtype=np.bool_)
    rows = np.logical_or.reduce([nothing, *read.values()])
    is_read = np.stack([rows if name in _PLACE else read.get(name, nothing) for name in names], axis=1)[rows]
    for row, own in zip(compress(cells, rows), is_read.tolist(), strict=True):
        yield [cell if shown else "" for cell, shown in zip(compress(row, kept), own, strict=True)]


def _write(path: Path, rows: Iterable[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_bytes_whole(path, lzma.compress(text.getvalue().encode(), preset=9 | lzma.PRESET_EXTREME))
