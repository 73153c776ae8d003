"""What a study's folder holds, read for the page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.study import load_provenance
from normbench.claims.contrasts import CONTRAST_COLUMNS
from normbench.claims.doses import DOSE_COLUMNS
from normbench.claims.spec import KINDS, VERDICTS, Claim
from normbench.claims.tables import Tables
from normbench.claims.verdicts import COLUMNS
from normbench.errors import StudyError

Row = Mapping[str, Any]

_NUMBERS = (
    "effect", "ci_low", "ci_high", "p", "p_adjusted", "margin", "collapse_low", "collapse_high", "n_seeds",
    "n_collapsed", "seeds_needed",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Contents:
    """A study as the page needs it.

    Attributes:
        folder: The study's.
        tables: Its runs and curves.
        verdicts: Rows of verdicts.csv; none if the study has not been judged.
        contrasts: Rows of contrasts.csv.
        doses: Rows of doses.csv, `dose` a number where it is one and `primary` a bool.
        claims: The catalogue.
        provenance: The distinct values of a few columns of provenance.csv.
        command: The overrides of its last planned block.
    """

    folder: Path
    tables: Tables
    verdicts: tuple[Row, ...]
    contrasts: tuple[Row, ...]
    doses: tuple[Row, ...]
    claims: Mapping[str, Claim]
    provenance: Mapping[str, tuple[str, ...]]
    command: tuple[str, ...]


def read_study(folder: Path, claims: Mapping[str, Claim], tables: Tables | None = None) -> Contents:
    """Read a study.

    Args:
        folder: The study's.
        claims: The catalogue, for the texts of claims.
        tables: The records, where they have been read already.

    Raises:
        StudyError: A file is missing or damaged.
    """
    return Contents(
        folder,
        tables or Tables.of(folder),
        _rows(folder / "verdicts.csv", COLUMNS[:15]),
        _rows(folder / "contrasts.csv", CONTRAST_COLUMNS[:9]),
        tuple(map(_dose, _rows(folder / "doses.csv", DOSE_COLUMNS))),
        claims,
        _provenance(folder),
        _command(folder / "plan.jsonl"),
    )


def _rows(path: Path, needed: tuple[str, ...]) -> tuple[Row, ...]:
    """Return the rows of a file of verdicts, those of an older one without cells; none if there is no such file."""
    if not path.exists():
        return ()
    try:
        table = pd.read_csv(path, dtype="str", keep_default_na=False)
        _reject_unknown(path, table)
        if missing := [name for name in needed if name not in table.columns]:
            raise StudyError(f"{path}, line 1: missing columns: {', '.join(missing)}")
        numbers = [name for name in _NUMBERS if name in table.columns]
        table = table.assign(**{name: [float(cell or "nan") for cell in table[name]] for name in numbers})
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        if isinstance(error, StudyError):
            raise
        raise StudyError(f"{path} is damaged ({error}); `normbench claims verdict` writes it again.") from error
    rows = table.to_dict("records")
    return tuple({"cell": ""} | {str(name): value for name, value in row.items()} for row in rows)


def _dose(row: Row) -> Row:
    number = pd.to_numeric(row["dose"], errors="coerce")
    return {**row, "dose": row["dose"] if np.isnan(number) else float(number), "primary": row["primary"] == "true"}


def _reject_unknown(path: Path, table: pd.DataFrame) -> None:
    for name, known in (("kind", KINDS), ("verdict", VERDICTS)):
        if name in table and not (right := table[name].isin(known)).all():
            raise StudyError(f"{path}: {name} is '{table[name][~right].iloc[0]}'; allowed: {', '.join(known)}")


def _provenance(folder: Path) -> dict[str, tuple[str, ...]]:
    wanted = ("git_commit", "git_dirty", "normbench", "torch", "device_name", "platform")
    table = load_provenance(folder)
    return {name: tuple(sorted(table[name].dropna().unique())) for name in wanted if name in table.columns}


def _command(path: Path) -> tuple[str, ...]:
    """Return the overrides of the last block of a plan; nothing if there is no plan."""
    last: tuple[str, ...] = ()
    if path.exists():
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.startswith('{"block"'):
                    try:
                        last = tuple(map(str, json.loads(line).get("command", ())))
                    except ValueError as error:
                        raise StudyError(f"{path} is damaged ({error})") from error
    return last
